//! A delivery of 10 messages goes out to 1,000 readers of one channel: without a filter, and through 1, 10 and 1,000
//! distinct ones. Each filter is evaluated once for a message, however many have it.
//!
//!     npm run bench:core -- --bench filters

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use courtside::auth::{App, Capability, Grant, Identity, KeyName};
use courtside::rpc::{Delivered, Delivery, RelayName, Response, Subscribed};
use courtside::filter;
use courtside::model::name::ChannelName;
use courtside::relay::session::Opening;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::model::serial::Position;
use courtside::model::Format;
use courtside::model::data::Data;
use courtside::model::message::{Content, Entry, Message};
use courtside::model::packed::Packed;
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;

const NOW_MS: u64 = 1_800_000_000_000;
const READERS: u32 = 1_000;
const MESSAGES: u64 = 10;

/// Readers of one channel, who share so many distinct filters, or have none.
fn crowd(distinct: u32) -> Relay {
    let app: App = serde_json::from_value(json!({"id": "demo", "keys": []})).expect("an app");
    let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, Rc::new(app), b"secret".to_vec());
    let capability = Capability::parse(r#"{"[*]*":["subscribe"]}"#).expect("a capability");
    let grant = Grant::of_key(KeyName::parse("demo.key").expect("a name"), capability);
    let grant = Grant { client_id: Identity::Anonymous, ..grant };
    for reader in 0..READERS {
        let opening = Opening::from_query(grant.clone(), &[], true);
        relay.open(SocketId(reader), opening, format!("connection{reader}"), NOW_MS);
        let query = reader.checked_rem(distinct).map(|number| ("filter".to_owned(), expression(number)));
        let channel = filter::named("room", query.as_slice());
        let attach = json!({"action": 10, "channel": channel}).to_string();
        for effect in relay.frame(SocketId(reader), attach.as_bytes(), Format::Json, NOW_MS) {
            let Effect::Call { ticket, .. } = effect else { continue };
            let (epoch, position) = ("life".to_owned(), Position(0));
            let subscribed = Subscribed { epoch, position, members: 0, reports: false, direct: true };
            relay.answered(ticket, Some(Ok(Response::Subscribed(subscribed))), NOW_MS);
        }
    }
    relay
}

/// One that a message in a hundred passes.
fn expression(number: u32) -> String {
    format!("name == 'goal' && headers.minute == `{}` && headers.team != '{number}'", number % 100)
}

/// Messages of which each passes one filter in a hundred.
fn delivery(prior: u64) -> Delivery {
    let mut entries = Packed::default();
    for at in prior + 1..=prior + MESSAGES {
        let extras = json!({"headers": {"minute": at % 100, "team": "home"}}).as_object().cloned();
        let data = Data::Text("x".repeat(100));
        let content =
            Content::Messages(vec![Message { name: Some("goal".to_owned()), data, extras, ..Message::default() }]);
        let id = format!("connection00:{at}");
        entries.append(&Packed::one(&Entry { position: Position(at), id, connection_id: None, content }));
    }
    let (prior, through) = (Position(prior), Position(prior + MESSAGES));
    let channel = ChannelName::parse("room").expect("a name");
    Delivery { channel, epoch: "life".to_owned(), prior, through, gap: false, entries, members: 0 }
}

fn filters(criterion: &mut Criterion) {
    for distinct in [0, 1, 10, 1_000] {
        let what = format!("10 messages to 1,000 readers with {distinct} distinct filters");
        let relay = RefCell::new(crowd(distinct));
        let (mut prior, mut now_ms) = (0, NOW_MS);
        criterion.bench_function(&what, |bencher| {
            bencher.iter_batched(
                || {
                    prior += MESSAGES;
                    now_ms += 7;
                    // Now and then they say something, as readers of so much do.
                    for reader in (0..READERS).filter(|_| prior % 100_000 == 0) {
                        relay.borrow_mut().frame(SocketId(reader), br#"{"action":0}"#, Format::Json, now_ms);
                    }
                    (delivery(prior - MESSAGES), now_ms)
                },
                |(delivery, now_ms)| {
                    let (answer, effects) = relay.borrow_mut().deliver(black_box(&delivery), now_ms);
                    assert_eq!(answer, Delivered::At(delivery.through));
                    effects
                },
                criterion::BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, filters);
criterion_main!(benches);
