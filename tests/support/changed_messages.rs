//! What is said of messages that change.

use courtside::model::Format;
use courtside::model::operation::{Operation, Patch, Reach};
use courtside::model::revision::Act;
use courtside::protocol::Encoded;
use courtside::protocol::dialect::Dialect;
use courtside::protocol::outbound::entries_frame;
use courtside::rpc::VersionsQuery;

use super::*;

/// An operation on a message.
fn operate(act: Act, serial: &str) -> Submission {
    let patch = Patch { data: Data::Text("30-0".into()), ..Patch::default() };
    let operation = Operation {
        act,
        serial: serial.to_owned(),
        patch,
        client_id: None,
        description: None,
        metadata: None,
        reach: Reach::Any,
    };
    Submission::Operation(operation.into())
}

#[test]
fn a_message_that_changes_keeps_what_was_said_of_it_and_a_deleted_one_tells_no_more() {
    let mut bench = Bench::new();
    let message = bench.message();
    bench.annotate(&message, vec![say("r:flag.v1", "+ann:")]);
    bench.commit(vec![operate(Act::Update, &message)]);
    assert_eq!(bench.counts(&message), json!({"r:flag.v1": list(&["ann"])}));

    bench.told.clear();
    bench.annotate(&message, vec![say("r:flag.v1", "+bob:")]);
    assert_eq!(bench.summaries(), [json!({"r:flag.v1": list(&["ann", "bob"])})]);
    let query =
        VersionsQuery { serial: message.clone(), latest: true, forwards: true, limit: 1, ..VersionsQuery::default() };
    let page = bench.channel.versions(&mut bench.store, &query, bench.now_ms).unwrap();
    let entry = page.entries.entries().unwrap().remove(0);
    assert_eq!(entry.messages()[0].data, Data::Text("30-0".into()));
    assert_eq!(entry.version(0).map(|version| version.number), Some(1), "an annotation is no version");
    assert_eq!(entry.counts(0).cloned().map(Value::Object), Some(json!({"r:flag.v1": list(&["ann", "bob"])})));

    bench.told.clear();
    bench.commit(vec![operate(Act::Delete, &message)]);
    bench.annotate(&message, vec![say("r:flag.v1", "+cy:")]);
    let last = Submission::Annotations { message: message.clone(), annotations: vec![say("r:flag.v1", "+dan:")] };
    bench.commit(vec![operate(Act::Update, &message), last.clone(), operate(Act::Delete, &message)]);
    assert_eq!(bench.told.iter().filter(|entry| entry.summary().is_some()).count(), 0);
    assert_eq!(bench.counts(&message), json!({"r:flag.v1": list(&["ann", "bob", "cy", "dan"])}));
    let from = ReadFrom::After { position: position(&message), epoch: EPOCH.to_owned() };
    let backlog = bench.channel.read(&mut bench.store, &from, bench.now_ms).unwrap();
    assert!(backlog.entries.entries().unwrap().iter().all(|entry| entry.summary().is_none()), "nor to who resumes");
}

/// The versions that summaries name, as readers get them.
fn versions_of_summaries(entries: &[Entry]) -> Vec<String> {
    let of_summary = |entry: &&Entry| entry.summary().is_some();
    let version = |entry: &Entry| {
        let told = entries_frame("c", EPOCH, &[entry], Dialect::Frames(Format::Json));
        let Some(Encoded::Text(text)) = told else { panic!("a frame") };
        let frame: Value = serde_json::from_str(&text).unwrap();
        frame["messages"][0]["version"]["serial"].as_str().expect("a version").to_owned()
    };
    entries.iter().filter(of_summary).map(version).collect()
}

#[test]
fn a_summary_names_the_version_that_its_message_is() {
    let mut bench = Bench::new();
    let message = bench.message();
    let mut versions = vec![message.clone()];
    bench.annotate(&message, vec![say("r:flag.v1", "+ann:")]);
    for (act, client) in [(Act::Update, "+bob:"), (Act::Append, "+cy:"), (Act::Append, "+dan:")] {
        let outcome = bench.commit(vec![operate(act, &message)]).remove(0);
        let Outcome::Accepted { position, .. } = outcome else { panic!("{outcome:?}") };
        versions.push(position.message_serial(EPOCH, 0));
        bench.annotate(&message, vec![say("r:flag.v1", client)]);
    }
    assert_eq!(versions_of_summaries(&bench.told), versions);
    // One who reads rows gets the last summary, and the version that it follows.
    let from = ReadFrom::After { position: position(&message), epoch: EPOCH.to_owned() };
    bench.channel = awake(&mut bench.store);
    let read = |bench: &mut Bench| bench.channel.read(&mut bench.store, &from, bench.now_ms).unwrap();
    assert_eq!(versions_of_summaries(&read(&mut bench).entries.entries().unwrap()), versions[3..]);
    // A version that the reader has not come to is not named ahead of itself: it might be taken for known.
    bench.commit(vec![operate(Act::Update, &message)]);
    bench.channel = awake(&mut bench.store);
    let entries = read(&mut bench).entries.entries().unwrap();
    assert_eq!(versions_of_summaries(&entries), versions[..1]);
    assert!(entries.last().expect("the update").is_operation());
}

/// An SDK takes a message without a summary for one of which nobody said anything.
#[test]
fn an_operation_goes_out_with_what_annotations_come_to() {
    let mut bench = Bench::new();
    let message = bench.message();
    bench.commit(vec![operate(Act::Update, &message)]);
    bench.annotate(&message, vec![say("r:flag.v1", "+ann:")]);
    bench.commit(vec![operate(Act::Update, &message), operate(Act::Append, &message)]);
    let of_operations = |entries: &[Entry]| -> Vec<Value> {
        entries.iter().filter(|entry| entry.is_operation()).map(|entry| json!(entry.counts(0))).collect()
    };
    let ann = json!({"r:flag.v1": list(&["ann"])});
    assert_eq!(of_operations(&bench.told), [json!(null), ann.clone(), ann.clone()]);
    let appended = bench.told.iter().find_map(Entry::fragment).expect("an append");
    assert_eq!((appended.counts(0), &appended.messages()[0].data), (None, &Data::Text("30-0".into())));
    // Those who read rows are told the counts of now, where an operation was as well.
    bench.channel = awake(&mut bench.store);
    let from = ReadFrom::After { position: position(&message), epoch: EPOCH.to_owned() };
    let read = bench.channel.read(&mut bench.store, &from, bench.now_ms).unwrap();
    assert_eq!(of_operations(&read.entries.entries().unwrap()), [ann.clone(), ann.clone(), ann]);
}

/// Whoever shows what was said of a message until a summary comes is told of what was said while it was deleted.
#[test]
fn a_message_that_is_restored_tells_what_was_said_of_it() {
    let mut bench = Bench::new();
    let message = bench.message();
    let annotates = |said: &str| {
        let annotations = vec![say("r:flag.v1", said)];
        Submission::Annotations { message: message.clone(), annotations }
    };
    bench.commit(vec![operate(Act::Delete, &message)]);
    bench.commit(vec![operate(Act::Update, &message)]);
    assert_eq!(bench.summaries(), [json!(null); 0], "nothing was said of it");
    for act in [Act::Update, Act::Append] {
        bench.commit(vec![operate(Act::Delete, &message)]);
        bench.commit(vec![annotates("+ann:")]);
        bench.told.clear();
        bench.commit(vec![operate(act, &message), operate(act, &message)]);
        assert_eq!(bench.summaries(), [json!({"r:flag.v1": list(&["ann"])})], "{act:?}");
        assert!(bench.told.last().is_some_and(|entry| entry.summary().is_some()), "behind what restores it");
    }
    let from = ReadFrom::After { position: position(&message), epoch: EPOCH.to_owned() };
    let resumed = bench.channel.read(&mut bench.store, &from, bench.now_ms).unwrap().entries.entries().unwrap();
    assert!(resumed.last().is_some_and(|entry| entry.summary().is_some()), "to who comes back, too");
    // What was taken back meanwhile, and what is said in the commit that restores it.
    bench.commit(vec![operate(Act::Delete, &message), annotates("-ann:")]);
    bench.told.clear();
    bench.commit(vec![operate(Act::Update, &message)]);
    assert_eq!(bench.summaries(), [json!({})]);
    bench.commit(vec![operate(Act::Delete, &message)]);
    bench.told.clear();
    bench.commit(vec![annotates("-bob:"), operate(Act::Update, &message), annotates("+bob:")]);
    assert_eq!(bench.summaries(), [json!({"r:flag.v1": list(&["bob"])})]);
    bench.commit(vec![operate(Act::Delete, &message), operate(Act::Update, &message), operate(Act::Delete, &message)]);
    assert_eq!(bench.summaries().len(), 1, "none of one that is deleted in the end");
}
