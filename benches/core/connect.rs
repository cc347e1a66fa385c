//! A connect with a token, in the core: reading and verifying the token, looking for what is revoked, and the session
//! up to its CONNECTED and its record; and the loss of the socket, so that the relay stays as it was.
//!
//!     npm run bench:core

use std::hint::black_box;
use std::rc::Rc;

use courtside::auth::{App, Attempts, Credentials, KeyName, Presented, Revocation, Surface, Target, TokenRequest};
use courtside::rpc::RelayName;
use courtside::limits::REVOCATIONS_MAX;
use courtside::relay::session::Opening;
use courtside::relay::{Relay, SocketId};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;

const NOW_MS: u64 = 1_800_000_000_000;

fn app() -> Rc<App> {
    let key = json!({"name": "brief", "secret": "local-only", "revocableTokens": true});
    Rc::new(serde_json::from_value(json!({"id": "demo", "keys": [key]})).expect("an app"))
}

fn key_name() -> KeyName {
    KeyName::parse("demo.brief").expect("a name")
}

fn credentials(query: &[(String, String)]) -> Credentials {
    let presented = Presented { query, ..Presented::default() };
    Credentials::parse(&presented, Surface::Realtime).expect("well formed")
}

/// Of a client who may do a few things on a few channels.
fn token(app: &App) -> String {
    let authority = credentials(&[("key".to_owned(), "demo.brief:local-only".to_owned())]);
    let authority = authority.verify(Some(app), NOW_MS).expect("the key");
    let capability = r#"{"chat:*":["history","presence","publish","subscribe"],"polls:*":["publish","subscribe"],"scores":["history","subscribe"]}"#;
    let request = json!({"keyName": "demo.brief", "clientId": "ann", "capability": capability});
    let request = TokenRequest::from_value(&request).expect("a request");
    request.approve(&key_name(), Some(app), Some(&authority), NOW_MS).expect("granted").issue([7; 8]).token
}

/// Of others: none of it concerns the client who connects.
fn revocations(count: usize) -> Vec<Revocation> {
    let target = |i| match i % 3 {
        0 => Target::ClientId(format!("client-{i}")),
        1 => Target::RevocationKey(format!("group-{i}")),
        _ => Target::Channel(format!("room:{i}")),
    };
    let of =
        |i| Revocation { key_name: key_name(), target: target(i), issued_before_ms: NOW_MS, applies_at_ms: NOW_MS };
    (0..count).map(of).collect()
}

fn connect(criterion: &mut Criterion) {
    for revoked in [0, REVOCATIONS_MAX] {
        let app = app();
        let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, app.clone(), b"secret".to_vec());
        relay.watch(revocations(revoked), Vec::new(), NOW_MS);
        let mut attempts = Attempts::default();
        let query = [("accessToken", token(&app)), ("format", "msgpack".to_owned()), ("v", "6".to_owned())]
            .map(|(name, value)| (name.to_owned(), value));
        let mut count = 0_u64;
        criterion.bench_function(&format!("a token connects, {revoked} targets revoked"), |bencher| {
            bencher.iter(|| {
                count += 1;
                let credentials = credentials(black_box(&query));
                let grant = attempts.verify(&credentials, Some(&app), "192.0.2.1", NOW_MS).expect("a good token");
                relay.admit(&grant, NOW_MS).expect("not revoked");
                let opening = Opening::from_query(grant, &query, true);
                let opened = relay.open(SocketId(1), opening, format!("connection{count}"), NOW_MS);
                black_box((opened, relay.lost(SocketId(1), NOW_MS)))
            });
        });
    }
}

criterion_group!(benches, connect);
criterion_main!(benches);
