//! What those are told who read later, from rows.

use courtside::limits::{RETENTION_MS, RETENTION_SLACK_MS};

use super::*;

/// Who was away gets each summary where it was, but with the counts of now, and only the last of a message.
#[test]
fn a_reader_of_rows_gets_the_latest_summary() {
    let mut bench = Bench::new();
    let message = bench.message();
    bench.annotate(&message, vec![say("r:flag.v1", "+ann:")]);
    bench.annotate(&message, vec![say("r:flag.v1", "+bob:")]);
    bench.channel = awake(&mut bench.store);
    let from = ReadFrom::After { position: position(&message), epoch: EPOCH.to_owned() };
    let entries = bench.channel.read(&mut bench.store, &from, NOW_MS).unwrap().entries.entries().unwrap();
    let told: Vec<Option<Value>> =
        entries.iter().map(|entry| entry.summary().map(|summary| json!(summary.counts.by_type))).collect();
    assert_eq!(told, [None, None, Some(json!({"r:flag.v1": list(&["ann", "bob"])}))]);
    let rewound = bench.channel.read(&mut bench.store, &ReadFrom::Last { messages: 1 }, NOW_MS).unwrap();
    let entries = rewound.entries.entries().unwrap();
    assert_eq!(entries.len(), 1, "the message, and nothing of what was said of it");
    assert_eq!(json!(entries[0].counts(0)), json!({"r:flag.v1": list(&["ann", "bob"])}));
}

/// What was said of it went with it, so its counts are not known; whoever still shows them keeps what they were told.
#[test]
fn of_a_message_that_has_expired_no_summary_is_read() {
    let mut bench = Bench::new();
    let message = bench.message();
    bench.now_ms += RETENTION_MS - 1_000;
    let before = bench.message();
    for said in ["+ann:", "-ann:"] {
        bench.annotate(&message, vec![say("r:flag.v1", said)]);
        bench.annotate(&before, vec![say("r:flag.v1", said)]);
    }
    bench.annotate(&message, vec![say("r:flag.v1", "+ann:")]);
    let read = |bench: &mut Bench| -> Vec<Value> {
        bench.channel = awake(&mut bench.store);
        let from = ReadFrom::After { position: position(&before), epoch: EPOCH.to_owned() };
        let entries = bench.channel.read(&mut bench.store, &from, bench.now_ms).unwrap().entries.entries().unwrap();
        assert_eq!(entries.iter().filter(|entry| !entry.annotations().is_empty()).count(), 5, "annotations are told");
        entries.iter().filter_map(Entry::summary).map(|summary| json!(summary.counts.by_type)).collect()
    };
    assert_eq!(read(&mut bench), [json!({}), json!({"r:flag.v1": list(&["ann"])})]);
    bench.now_ms += 2 * RETENTION_SLACK_MS + 2_000;
    bench.channel.tick(&mut bench.store, bench.now_ms);
    assert!(bench.store.said.counts.is_empty());
    assert_eq!(read(&mut bench), [json!({})], "of the other, of which all was taken back");
}
