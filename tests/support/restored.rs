//! Messages that were deleted, and live again: who was away meanwhile learns of them.

use super::*;

/// The place in its publish, and the text, of each message that was published.
fn created(entries: &Packed) -> Vec<(usize, String)> {
    let entries = entries.entries().expect("readable");
    let published = entries.iter().filter(|entry| !entry.is_operation());
    let text = |entry: &Entry, index: usize| String::from_utf8_lossy(entry.messages()[index].data.bytes()).into_owned();
    published.flat_map(|entry| (0..entry.count()).map(move |index| (entry.place(index), text(entry, index)))).collect()
}

#[test]
fn who_was_away_while_a_message_was_deleted_and_restored_learns_of_it_as_it_is_now() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let (places, _) =
        publish(&mut channel, &mut store, vec![say("four", &["secret 0", "one", "secret 2", "secret 3"])]);
    let serials = [0, 2, 3].map(|place| places[0].message_serial(EPOCH, place));
    for (index, serial) in serials.iter().enumerate() {
        publish(&mut channel, &mut store, vec![act(&format!("d{index}"), Act::Delete, serial, "gone")]);
    }
    publish(&mut channel, &mut store, vec![act("updated", Act::Update, &serials[0], "updated")]);
    publish(&mut channel, &mut store, vec![act("appended", Act::Append, &serials[1], ", appended")]);
    let live = [(0, "updated"), (1, "one"), (2, "gone, appended")].map(|(place, text)| (place, text.to_owned()));
    let then = ["2:gone", "2:gone", "2:gone", "1:updated", "1:gone, appended"];
    for _ in 0..2 {
        let resumed = replay(&mut channel, &mut store, from_the_start());
        assert_eq!((created(&resumed), &told(&resumed)[3..]), (live.to_vec(), &then.map(str::to_owned)[..]));
        let waited = history(&mut channel, &mut store, following());
        assert_eq!(told(&waited), told(&resumed), "a request that waits");
        channel = wake(&mut store);
    }
    // One that is deleted again is not told of as it was before that.
    publish(&mut channel, &mut store, vec![act("again", Act::Delete, &serials[0], "")]);
    let resumed = replay(&mut channel, &mut store, from_the_start());
    assert_eq!(created(&resumed), live[1..]);
    assert_eq!(told(&resumed)[2..], ["2:gone", "2:gone", "1:gone, appended", "2:"]);
}
