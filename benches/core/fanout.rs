//! A delivery of 100 messages goes out to 100 readers, in the core: read, rendered once for all, and counted to each.
//!
//!     npm run bench:core -- --bench fanout

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use courtside::auth::{App, Capability, Grant, Identity, KeyName};
use courtside::rpc::{Delivered, Delivery, RelayName, Request, Response, Subscribed};
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
const READERS: u32 = 100;
const MESSAGES: u64 = 100;

fn opening() -> Opening {
    let grant = Grant::of_key(KeyName::parse("demo.key").expect("a name"), Capability::full());
    Opening::from_query(Grant { client_id: Identity::Anonymous, ..grant }, &[], true)
}

fn crowd() -> Relay {
    let app: App = serde_json::from_value(json!({"id": "demo", "keys": []})).expect("an app");
    let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, Rc::new(app), b"secret".to_vec());
    for reader in 0..READERS {
        relay.open(SocketId(reader), opening(), format!("connection{reader:02}"), NOW_MS);
        let effects = relay.frame(SocketId(reader), br#"{"action":10,"channel":"room"}"#, Format::Json, NOW_MS);
        for effect in effects {
            let Effect::Call { ticket, call } = effect else { continue };
            assert!(matches!(call.request, Request::Subscribe(..)));
            let (epoch, position) = ("life".to_owned(), Position(0));
            let subscribed = Subscribed { epoch, position, members: 0, reports: false, direct: true };
            relay.answered(ticket, Some(Ok(Response::Subscribed(subscribed))), NOW_MS);
        }
    }
    relay
}

fn delivery(prior: u64) -> Delivery {
    let mut entries = Packed::default();
    for at in prior + 1..=prior + MESSAGES {
        let content = Content::Messages(vec![Message { data: Data::Text("x".repeat(100)), ..Message::default() }]);
        let id = format!("connection00:{at}");
        entries.append(&Packed::one(&Entry { position: Position(at), id, connection_id: None, content }));
    }
    let (prior, through) = (Position(prior), Position(prior + MESSAGES));
    let channel = ChannelName::parse("room").expect("a name");
    Delivery { channel, epoch: "life".to_owned(), prior, through, gap: false, entries, members: 0 }
}

fn fanout(criterion: &mut Criterion) {
    let relay = RefCell::new(crowd());
    let (mut prior, mut now_ms) = (0, NOW_MS);
    criterion.bench_function("100 messages to 100 readers", |bencher| {
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
                assert_eq!((answer, effects.is_empty()), (Delivered::At(delivery.through), false));
                effects
            },
            criterion::BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, fanout);
criterion_main!(benches);
