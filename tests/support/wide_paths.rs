//! Paths through objects that lead everywhere.

use courtside::channel::Effect;
use courtside::error::Code;
use courtside::limits::{OBJECT_PATH_READ_BYTES, OBJECT_PATHS_MAX_BYTES};
use courtside::model::objects::operation::{ObjectMessage, Operation, Proposal, Target, Value};
use courtside::rpc::{Outcome, Response};

use super::*;

/// Maps that each lead to themselves, and paths with a wildcard at each level: a thousand to the power of 63 ways.
#[test]
fn paths_lead_through_a_bounded_number_of_objects() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let id = |map: usize| format!("map:{map}@1");
    let set = |object_id: String, key: String, value: String| Operation {
        object_id,
        action: Action::MapSet { key, value: Value::Object(value) },
    };
    let own = |map: usize| if map == 1 { "x" } else { "n" };
    let sets = (1..=500)
        .flat_map(|map| [set("root".into(), format!("k{map}"), id(map)), set(id(map), own(map).to_owned(), id(map))]);
    let named = |operation| (operation, Target::Named);
    channel.publish(Ticket(0), vec![on_objects("maps", sets.map(named))]).unwrap();
    channel.commit(&mut store, NOW_MS);
    let path = Path::parse(&format!("{}x", "*.".repeat(63))).unwrap();
    let remove = Operation { object_id: String::new(), action: Action::MapRemove { key: "k".into() } };
    let attack = |id: &str| on_objects(id, (0..1_000).map(|_| (remove.clone(), Target::At(path.clone()))));
    let mut refusals = |ids: Vec<String>| {
        let before = store.rows_read;
        channel.publish(Ticket(1), ids.iter().map(|id| attack(id)).collect()).unwrap();
        let effects = channel.commit(&mut store, NOW_MS);
        let replies = effects.into_iter().filter_map(|effect| match effect {
            Effect::Reply(_, Ok(Response::Published(published))) => Some(published.outcomes),
            _ => None,
        });
        let code = |outcome| match outcome {
            Outcome::Refused(error) => error.code,
            other => panic!("{other:?}"),
        };
        (replies.flatten().map(code).collect::<Vec<u32>>(), store.rows_read - before)
    };
    // As much again to find the keys of a map as to read its entries.
    let most = 4 * OBJECT_PATHS_MAX_BYTES / OBJECT_PATH_READ_BYTES;
    let (codes, reads) = refusals(vec!["one".into()]);
    assert_eq!(codes, [Code::TooManyMessages.number()]);
    assert!(reads < most, "{reads}");
    let (codes, reads) = refusals((0..100).map(|id| id.to_string()).collect());
    assert_eq!(codes.last(), Some(&Code::PublishRateLimited.number()), "{codes:?}");
    assert!(reads < 3 * most, "{reads}");
}

/// A publish of operations on what they name.
fn on_objects(id: &str, operations: impl Iterator<Item = (Operation, Target)>) -> Publish {
    let proposal = |(operation, target)| {
        let message = ObjectMessage { id: None, client_id: None, extras: None, operation };
        Proposal { message, target }
    };
    let content = Submission::Objects(operations.map(proposal).collect());
    Publish { key: PublishKey::Request(id.into()), connection_id: None, by: Source::SERVER, content }
}
