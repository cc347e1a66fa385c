//! Which increments become a sum, and what those get who did some of them.

use super::*;

fn entry(position: u64, connection: &str, messages: Vec<(&str, Action)>) -> Entry {
    let message = |(object_id, action): (&str, Action)| {
        let operation = Operation { object_id: object_id.to_owned(), action };
        ObjectMessage { id: None, client_id: Some(connection.to_owned()), extras: None, operation }
    };
    let content = Content::Objects(messages.into_iter().map(message).collect());
    let connection_id = Some(connection.to_owned());
    Entry { position: Position(position), id: format!("p{position}"), connection_id, content }
}

fn tap(position: u64, connection: &str, counter: &str, by: f64) -> Entry {
    entry(position, connection, vec![(counter, Action::CounterStep(by))])
}

/// Ten increments of `a`, by two connections.
fn ten() -> Vec<Entry> {
    (1..=10).map(|at| tap(at, if at % 5 == 0 { "ann" } else { "bob" }, "counter:a@1", at as f64)).collect()
}

/// Each as its place, whose it is, and by how much it increments.
fn shown(entries: &[Entry]) -> Vec<(u64, Option<&str>, f64)> {
    let by = |entry: &Entry| step(entry).map_or(0.0, |(_, by)| by);
    entries.iter().map(|entry| (entry.position.0, entry.connection_id.as_deref(), by(entry))).collect()
}

fn own(entries: &[Entry], connection: &str) -> Vec<Entry> {
    let sums = Sums::of(entries).expect("sums");
    sums.with(&sums.own[connection])
}

#[test]
fn increments_in_a_row_are_one_in_the_place_of_the_last() {
    let entries = ten();
    assert_eq!(shown(&Sums::of(&entries).unwrap().entries), [(10, None, 55.0)]);
    assert!(Sums::of(&entries[..INCREMENTS_SUMMED_FROM - 1]).is_none(), "of a few each is told");
}

#[test]
fn who_did_some_gets_those_and_the_sum_of_the_others() {
    assert_eq!(shown(&own(&ten(), "ann")), [(5, Some("ann"), 5.0), (9, None, 40.0), (10, Some("ann"), 10.0)]);
    let of_bob = own(&ten(), "bob");
    assert_eq!((of_bob.len(), shown(&of_bob)[8]), (9, (10, None, 15.0)));
    assert!(shown(&of_bob)[..8].iter().all(|(place, whose, by)| *whose == Some("bob") && *place as f64 == *by));
    let all_own: Vec<Entry> = (1..=10).map(|at| tap(at, "ann", "counter:a@1", 1.0)).collect();
    assert_eq!(own(&all_own, "ann"), all_own, "nothing is left to sum");
}

/// A sum that took in what follows a deletion, or came before a create, would be dropped or taken as a whole.
#[test]
fn whatever_else_is_done_to_the_counter_ends_a_sum() {
    let mut entries = ten();
    entries.push(entry(11, "cy", vec![("root", Action::MapClear), ("counter:a@1", Action::CounterCreate(1.5))]));
    entries.extend((12..=20).map(|at| tap(at, "bob", "counter:a@1", 1.0)));
    let sums = Sums::of(&entries).unwrap();
    let places: Vec<u64> = sums.entries.iter().map(|entry| entry.position.0).collect();
    assert_eq!(places, [10, 11, 20]);
    let inexact = entry(21, "bob", vec![("counter:a@1", Action::CounterInc(0.5))]);
    let several = entry(22, "bob", vec![("counter:a@1", Action::CounterStep(1.0)), ("root", Action::MapClear)]);
    let broken = [&entries[..5], &[inexact], &entries[5..9], &[several]].concat();
    assert!(Sums::of(&broken).is_none(), "what is done together stays together, and what may not be summed as it is");
}

#[test]
fn counters_are_summed_side_by_side_and_the_order_of_all_else_stays() {
    let mut entries: Vec<Entry> =
        (1..=20).map(|at| tap(at, "bob", ["counter:a@1", "counter:b@1"][at as usize % 2], 1.0)).collect();
    entries.insert(10, entry(100, "cy", vec![("root", Action::MapClear)]));
    let sums = Sums::of(&entries).unwrap();
    let places: Vec<u64> = sums.entries.iter().map(|entry| entry.position.0).collect();
    assert_eq!(places, [100, 19, 20]);
}

/// Each list of its own would have all of the delivery.
#[test]
fn lists_of_their_own_are_bounded() {
    let large = vec![("root", Action::MapRemove { key: "k".repeat(60_000) })];
    let senders: Vec<String> = (0..200).map(|number| format!("conn{number}")).collect();
    let mut entries: Vec<Entry> = (1..).zip(&senders).map(|(at, sender)| tap(at, sender, "counter:a@1", 1.0)).collect();
    assert!(Sums::of(&entries).unwrap().is_own_listed);
    entries.push(entry(300, "cy", large));
    assert!(!Sums::of(&entries).unwrap().is_own_listed);
}
