//! Messages are updated, deleted and appended to at their channel: what is kept of it, and what readers are shown.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}
#[path = "support/endings.rs"]
mod endings;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "support/random.rs"]
mod random;
#[path = "support/restored.rs"]
mod restored;
#[path = "support/times_of_versions.rs"]
mod times_of_versions;

use courtside::base::pinned;
use courtside::channel::{Channel, Effect};
use courtside::error::{Code, ErrorInfo};
use courtside::limits::{MESSAGE_MAX_BYTES, RETENTION_MS, RETENTION_SLACK_MS, VERSIONS_MAX};
use courtside::model::data::Data;
use courtside::model::message::{Entry, Message};
use courtside::model::operation::{Operation, Patch, Reach};
use courtside::model::packed::Packed;
use courtside::model::revision::Act;
use courtside::model::serial::Position;
use courtside::rpc::Ticket;
use courtside::rpc::{HistoryQuery, Outcome, Publish, PublishKey, ReadFrom, Response, Submission, VersionsQuery};

use support::bench::*;
use support::memory_store::MemoryStore;

/// A channel with a message, and its serial.
fn begun() -> (MemoryStore, Channel, String) {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let (places, _) = publish(&mut channel, &mut store, vec![say("first", &["a secret"])]);
    (store, channel, places[0].message_serial(EPOCH, 0))
}

fn say(id: &str, texts: &[&str]) -> Publish {
    let message = |text: &&str| Message {
        data: Data::Text((*text).to_owned()),
        client_id: Some("ann".into()),
        ..Message::default()
    };
    let content = Submission::Messages(texts.iter().map(message).collect());
    Publish { key: PublishKey::Request(id.into()), connection_id: None, by: courtside::auth::Source::SERVER, content }
}

fn act(id: &str, act: Act, serial: &str, text: &str) -> Publish {
    let patch = Patch { data: Data::Text(text.into()), ..Patch::default() };
    let operation = Operation {
        act,
        serial: serial.into(),
        patch,
        client_id: None,
        description: None,
        metadata: None,
        reach: Reach::Any,
    };
    let content = Submission::Operation(operation.into());
    Publish { key: PublishKey::Request(id.into()), connection_id: None, by: courtside::auth::Source::SERVER, content }
}

fn outcomes(channel: &mut Channel, store: &mut MemoryStore, publishes: Vec<Publish>) -> Vec<Outcome> {
    channel.publish(Ticket(0), publishes).expect("there is room");
    let replies = channel.commit(store, NOW_MS).into_iter().filter_map(|effect| match effect {
        Effect::Reply(_, answer) => Some(answer.expect("published")),
        _ => None,
    });
    replies
        .flat_map(|answer| match answer {
            Response::Published(published) => published.outcomes,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn refusal(outcomes: &[Outcome]) -> &ErrorInfo {
    match outcomes {
        [Outcome::Refused(error)] => error,
        other => panic!("not refused: {other:?}"),
    }
}

/// Each message as its action and text.
fn told(entries: &Packed) -> Vec<String> {
    let entries = entries.entries().expect("readable");
    let one = |entry: &Entry, index: usize| {
        let action = entry.version(index).map_or(0, |version| version.shape.action());
        format!("{action}:{}", String::from_utf8_lossy(entry.messages()[index].data.bytes()))
    };
    entries.iter().flat_map(|entry| (0..entry.count()).map(move |index| one(entry, index))).collect()
}

fn history(channel: &mut Channel, store: &mut MemoryStore, query: HistoryQuery) -> Packed {
    channel.history(store, &HistoryQuery { limit: 100, ..query }, NOW_MS).expect("a page").entries
}

fn forwards() -> HistoryQuery {
    HistoryQuery { forwards: true, ..HistoryQuery::default() }
}

fn following() -> HistoryQuery {
    HistoryQuery { wait_ms: Some(1), ..forwards() }
}

fn all_versions(serial: &str) -> VersionsQuery {
    VersionsQuery {
        serial: serial.into(),
        latest: false,
        forwards: true,
        limit: 10,
        deleted: true,
        ..VersionsQuery::default()
    }
}

fn versions(channel: &mut Channel, store: &mut MemoryStore, query: VersionsQuery) -> Vec<String> {
    told(&channel.versions(store, &query, NOW_MS).expect("a page").entries)
}

fn replay(channel: &mut Channel, store: &mut MemoryStore, from: ReadFrom) -> Packed {
    channel.read(store, &from, NOW_MS).expect("a backlog").entries
}

/// All that a client gets which comes back.
fn replayed(channel: &mut Channel, store: &mut MemoryStore) -> Vec<String> {
    let (mut from, mut texts) = (from_the_start(), Vec::new());
    loop {
        let page = channel.read(store, &from, NOW_MS).expect("a backlog");
        texts.extend(told(&page.entries));
        if !page.more {
            return texts;
        }
        from = ReadFrom::After { position: page.through, epoch: EPOCH.into() };
    }
}

fn from_the_start() -> ReadFrom {
    ReadFrom::After { position: Position(Position::at(NOW_MS).0), epoch: EPOCH.into() }
}

#[test]
fn operations_that_come_together_follow_each_other() {
    let (mut store, mut channel, serial) = begun();
    let acts =
        [(Act::Update, "one"), (Act::Append, " two"), (Act::Append, " three"), (Act::Delete, ""), (Act::Update, "x")];
    let acts = acts.iter().enumerate().map(|(index, (what, text))| act(&index.to_string(), *what, &serial, text));
    let outcomes = outcomes(&mut channel, &mut store, acts.collect());
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { count: 1, .. })), "{outcomes:?}");
    for _ in 0..2 {
        let mut kept = all_versions(&serial);
        assert_eq!(
            versions(&mut channel, &mut store, kept.clone()),
            ["0:a secret", "1:one", "1:one two three", "2:", "1:x"]
        );
        kept.forwards = false;
        assert_eq!(
            versions(&mut channel, &mut store, kept.clone()),
            ["1:x", "2:", "1:one two three", "1:one", "0:a secret"]
        );
        kept.latest = true;
        assert_eq!(versions(&mut channel, &mut store, kept), ["1:x"]);
        assert_eq!(told(&history(&mut channel, &mut store, forwards())), ["1:x"]);
        // One that lost its memory knows the same.
        channel = wake(&mut store);
    }
}

#[test]
fn versions_come_page_by_page_in_both_directions() {
    let (mut store, mut channel, serial) = begun();
    for number in 1..8 {
        publish(&mut channel, &mut store, vec![act(&number.to_string(), Act::Update, &serial, &number.to_string())]);
    }
    for forwards in [true, false] {
        let mut query = VersionsQuery { forwards, limit: 3, ..all_versions(&serial) };
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let page = channel.versions(&mut store, &query, NOW_MS).expect("a page");
            found.extend(told(&page.entries));
            pages += 1;
            let Some((number, _)) = page.next else { break };
            query.after = Some(number.0 as u32);
        }
        let mut expected: Vec<String> = (1..8).map(|number| format!("1:{number}")).collect();
        expected.insert(0, "0:a secret".into());
        expected.sort_by_key(|text| if forwards { text.clone() } else { String::new() });
        if !forwards {
            expected.reverse();
        }
        assert_eq!((found, pages), (expected, 3));
    }
}

/// Nothing that a reader can ask for has a byte of it, in memory or from rows.
#[test]
fn what_was_deleted_is_shown_to_nobody_but_those_who_may_see_it() {
    let (mut store, mut channel, serial) = begun();
    publish(&mut channel, &mut store, vec![act("u", Act::Update, &serial, "a second secret")]);
    publish(&mut channel, &mut store, vec![say("other", &["not secret"])]);
    publish(&mut channel, &mut store, vec![act("d", Act::Delete, &serial, "")]);
    publish(&mut channel, &mut store, vec![act("n", Act::Update, &serial, "new")]);
    for _ in 0..2 {
        let hidden = VersionsQuery { deleted: false, ..all_versions(&serial) };
        let read = [
            history(&mut channel, &mut store, forwards()),
            history(&mut channel, &mut store, HistoryQuery::default()),
            history(&mut channel, &mut store, following()),
            replay(&mut channel, &mut store, from_the_start()),
            replay(&mut channel, &mut store, ReadFrom::Last { messages: 10 }),
            replay(&mut channel, &mut store, ReadFrom::Since { time_ms: 0, messages: 10 }),
            channel.versions(&mut store, &hidden, NOW_MS).expect("a page").entries,
        ];
        for packed in &read {
            assert!(
                !packed
                    .bytes()
                    .windows(6)
                    .any(|bytes| bytes == b"secret" && !told(packed).contains(&"0:not secret".into()))
            );
            assert!(!told(packed).iter().any(|text| text.contains("a se")), "{:?}", told(packed));
        }
        assert_eq!(told(&read[0]), ["1:new", "0:not secret"]);
        assert_eq!(told(&read[2]), ["0:new", "0:not secret", "2:", "1:new"]);
        assert_eq!(told(&read[3]), ["0:new", "0:not secret", "2:", "1:new"]);
        assert_eq!(told(&read[4]), ["1:new", "0:not secret"]);
        assert_eq!(told(&read[6]), ["2:", "1:new"]);
        assert_eq!(versions(&mut channel, &mut store, all_versions(&serial))[..2], ["0:a secret", "1:a second secret"]);
        channel = wake(&mut store);
    }
}

#[test]
fn a_message_of_several_is_changed_alone_and_pages_go_on_behind_it() {
    let (mut store, mut channel, _) = begun();
    let (places, _) = publish(&mut channel, &mut store, vec![say("three", &["x", "y", "z"])]);
    let serial = places[0].message_serial(EPOCH, 1);
    publish(&mut channel, &mut store, vec![act("d", Act::Delete, &serial, "")]);
    for forwards in [true, false] {
        let (mut query, mut found) = (HistoryQuery { forwards, limit: 1, ..HistoryQuery::default() }, Vec::new());
        loop {
            let page = channel.history(&mut store, &query, NOW_MS).expect("a page");
            let entries = page.entries.entries().expect("readable");
            let texts = told(&page.entries);
            for (entry, (from, to)) in entries.iter().zip(&page.slices) {
                found.extend(texts[*from..*to].iter().cloned());
                assert_eq!(entry.count(), texts.len());
            }
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        let mut expected = ["0:a secret", "0:x", "2:", "0:z"];
        if !forwards {
            expected.reverse();
        }
        assert_eq!(found, expected);
    }
    assert_eq!(told(&replay(&mut channel, &mut store, from_the_start())), ["0:a secret", "0:x", "0:z", "2:"]);
    // What is left of the publish waits page by page, too.
    let after = Some((places[0], 0));
    let page = channel.history(&mut store, &HistoryQuery { after, limit: 1, ..following() }, NOW_MS).expect("a page");
    assert_eq!((page.slices.clone(), page.next), (vec![(1, 2)], Some((places[0], 2))));
}

#[test]
fn a_publish_stays_as_small_as_one_may_be() {
    let (mut store, mut channel, serial) = begun();
    let fits = "x".repeat(MESSAGE_MAX_BYTES);
    publish(&mut channel, &mut store, vec![act("fits", Act::Update, &serial, &fits)]);
    let over = outcomes(&mut channel, &mut store, vec![act("over", Act::Append, &serial, "x")]);
    assert!(refusal(&over).is(Code::TooLarge));
    let (places, _) = publish(&mut channel, &mut store, vec![say("two", &["x", "y"])]);
    let [first, second] = [0, 1].map(|place| places[0].message_serial(EPOCH, place));
    publish(&mut channel, &mut store, vec![act("half", Act::Update, &first, &"x".repeat(MESSAGE_MAX_BYTES / 2))]);
    let over = act("the rest", Act::Update, &second, &"x".repeat(MESSAGE_MAX_BYTES / 2 + 1));
    assert!(refusal(&outcomes(&mut channel, &mut store, vec![over])).is(Code::TooLarge));
}

#[test]
fn only_what_goes_on_can_be_appended_to() {
    let encodings =
        [None, Some("utf-8"), Some("json"), Some("json/utf-8/cipher+aes-256-cbc"), Some("cipher+aes-128-cbc")];
    let kinds = [Data::Text("a".into()), Data::Binary(vec![0xff, 0])];
    let all = encodings.iter().flat_map(|encoding| kinds.iter().map(move |data| (*encoding, data.clone())));
    let all: Vec<_> = all.collect();
    for (encoding, data) in &all {
        for (other_encoding, other) in &all {
            let (mut store, mut channel, _) = begun();
            let message = Message { data: data.clone(), encoding: encoding.map(str::to_owned), ..Message::default() };
            let first = Publish { content: Submission::Messages(vec![message]), ..say("of a kind", &[]) };
            let (places, _) = publish(&mut channel, &mut store, vec![first]);
            let mut append = act("a", Act::Append, &places[0].message_serial(EPOCH, 0), "");
            if let Submission::Operation(operation) = &mut append.content {
                operation.patch.data = other.clone();
                operation.patch.encoding = other_encoding.map(str::to_owned);
            }
            let outcomes = outcomes(&mut channel, &mut store, vec![append]);
            let is_alike =
                encoding == other_encoding && matches!(data, Data::Text(_)) == matches!(other, Data::Text(_));
            match is_alike && matches!(encoding, None | Some("utf-8")) {
                true => assert!(matches!(outcomes[..], [Outcome::Accepted { .. }]), "{outcomes:?}"),
                false => assert!(refusal(&outcomes).is(Code::BadData), "{encoding:?} and {other_encoding:?}"),
            }
        }
    }
}

#[test]
fn ones_own_are_those_that_one_published_whoever_changed_them_since() {
    let (mut store, mut channel, serial) = begun();
    let by = |id: &str, what: Act, name: &str| {
        let mut publish = act(id, what, &serial, name);
        if let Submission::Operation(operation) = &mut publish.content {
            (operation.reach, operation.client_id) = (Reach::Of(name.into()), Some(name.into()));
        }
        publish
    };
    publish(&mut channel, &mut store, vec![act("moderator", Act::Update, &serial, "x")]);
    assert!(refusal(&outcomes(&mut channel, &mut store, vec![by("1", Act::Update, "bob")])).is(Code::NotPermitted));
    publish(&mut channel, &mut store, vec![by("2", Act::Delete, "ann")]);
    publish(&mut channel, &mut store, vec![by("3", Act::Update, "ann")]);
    publish(&mut channel, &mut store, vec![act("host", Act::Delete, &serial, "")]);
    for (id, what) in [("4", Act::Update), ("5", Act::Append), ("6", Act::Delete)] {
        assert!(refusal(&outcomes(&mut channel, &mut store, vec![by(id, what, "ann")])).is(Code::NotPermitted));
    }
}

#[test]
fn a_version_is_later_than_its_message_whatever_the_clock_does() {
    let (mut store, mut channel, serial) = begun();
    let (places, _) = publish(&mut channel, &mut store, vec![act("u", Act::Update, &serial, "x")]);
    assert!(places[0].time_ms() > NOW_MS && places[0].message_serial(EPOCH, 0) > serial);
}

#[test]
fn what_is_done_twice_is_done_once_also_after_a_write_that_failed() {
    let (mut store, mut channel, serial) = begun();
    for keep_failed in [false, true] {
        (store.fail_append, store.keep_failed) = (true, keep_failed);
        channel
            .publish(Ticket(0), vec![act(&format!("{keep_failed}"), Act::Append, &serial, "+")])
            .expect("there is room");
        let refused =
            |effect: &Effect| matches!(effect, Effect::Reply(_, Err(error)) if error.is(Code::InternalChannel));
        assert!(channel.commit(&mut store, NOW_MS).iter().any(refused));
        for _ in 0..2 {
            publish(&mut channel, &mut store, vec![act(&format!("{keep_failed}"), Act::Append, &serial, "+")]);
        }
    }
    assert_eq!(told(&history(&mut channel, &mut store, forwards())), ["1:a secret++"]);
}

#[test]
fn of_ten_thousand_versions_the_latest_are_kept_and_the_first() {
    let (mut store, mut channel, serial) = begun();
    for round in 0..100 {
        let acts = (0..100)
            .map(|number| act(&format!("{round}-{number}"), Act::Update, &serial, &format!("{round}-{number}")));
        publish(&mut channel, &mut store, acts.collect());
    }
    assert_eq!(store.versions.len(), VERSIONS_MAX as usize);
    let (mut query, mut found) = (VersionsQuery { limit: 1_000, ..all_versions(&serial) }, Vec::new());
    loop {
        let page = channel.versions(&mut store, &query, NOW_MS).expect("a page");
        found.extend(told(&page.entries));
        let Some((number, _)) = page.next else { break };
        query.after = Some(number.0 as u32);
    }
    assert_eq!(found.len(), VERSIONS_MAX as usize + 2);
    assert_eq!((found[0].as_str(), found[1].as_str()), ("0:a secret", "1:89-99"));
    assert_eq!(found.last().map(String::as_str), Some("1:99-99"));
}

/// However long the message is that an append goes behind. Of versions only the last is kept.
#[test]
fn an_append_stores_what_it_adds_and_reads_whole() {
    const PIECE: &str = "a piece of twenty-five B ";
    let mut per_append = Vec::new();
    for appends in [100, 1_000] {
        let (mut store, mut channel, serial) = begun();
        for round in 0..appends / 50 {
            let acts = (0..50).map(|number| act(&format!("{round}-{number}"), Act::Append, &serial, PIECE));
            publish(&mut channel, &mut store, acts.collect());
        }
        assert!(store.versions.is_empty(), "appends in a row are one version");
        let logged: usize = store.rows.values().map(|row| row.entries.len()).sum();
        per_append.push(logged / appends);
        // From rows, with no memory of what they were made of.
        let mut channel = wake(&mut store);
        let whole = format!("1:a secret{}", PIECE.repeat(appends));
        let read = replayed(&mut channel, &mut store);
        assert!(read == ["0:a secret", &whole], "{appends} are read whole, and once");
        let revised = store.rows.values().map(|row| row.changes.len()).max();
        assert_eq!(revised, Some(1), "the appends of a commit write their version once");
    }
    let expected = PIECE.len()..PIECE.len() + 75;
    assert!(per_append.iter().all(|stored| expected.contains(stored)), "{per_append:?} bytes an append");
}

/// As a connection that took turns with another, whose appends it must not miss.
fn turns(serial: &str, count: usize) -> Vec<Publish> {
    let by = |number: usize| Publish {
        connection_id: Some(["ann", "bob"][number % 2].to_owned()),
        ..act(&format!("turn{number}"), Act::Append, serial, &format!("{number};"))
    };
    (0..count).map(by).collect()
}

#[test]
fn an_append_of_a_row_is_whole_to_whoever_reads_it() {
    let (mut store, mut channel, serial) = begun();
    for publishes in turns(&serial, 6) {
        publish(&mut channel, &mut store, vec![publishes]);
    }
    publish(&mut channel, &mut store, vec![act("u", Act::Update, &serial, "x")]);
    for (index, again) in turns(&serial, 6).into_iter().enumerate() {
        let key = PublishKey::Request(format!("again{index}"));
        publish(&mut channel, &mut store, vec![Publish { key, ..again }]);
    }
    let mut channel = wake(&mut store);
    let whole = |from: &str, count: usize| from.to_owned() + &(0..count).map(|n| format!("{n};")).collect::<String>();
    let first = (1..=6).map(|count| whole("1:a secret", count));
    let second = (1..=6).map(|count| whole("1:x", count));
    let events: Vec<String> =
        ["0:a secret".to_owned()].into_iter().chain(first).chain(["1:x".to_owned()]).chain(second).collect();
    let fed = channel.next(&mut store, Position(Position::at(NOW_MS).0 - 1), NOW_MS).expect("a delivery");
    assert_eq!(told(&fed.entries), events, "a relay that is behind");
    // Those are over that their connection went on from; who may be ann, without an echo, must not miss bob's last.
    let resumed = ["0:a secret", "1:x", "1:x0;1;2;3;4;", "1:x0;1;2;3;4;5;"];
    assert_eq!(replayed(&mut channel, &mut store), resumed);
}

/// What became of a message is in the log longer than the message: its readers get it whole, and nothing deleted.
#[test]
fn what_was_done_last_to_a_message_outlives_it() {
    let minute = |number: u64| NOW_MS + number * 60_000;
    for deletes in [false, true] {
        let (mut store, mut channel, serial) = begun();
        let at = |channel: &mut Channel, store: &mut MemoryStore, publish: Publish, now_ms: u64| {
            channel.publish(Ticket(0), vec![publish]).expect("there is room");
            channel.commit(store, now_ms);
            Position::at(now_ms)
        };
        let since = at(&mut channel, &mut store, say("other", &["other"]), minute(1));
        at(&mut channel, &mut store, act("a", Act::Append, &serial, ", told"), minute(1) + 1);
        at(&mut channel, &mut store, act("b", Act::Append, &serial, " to all"), minute(1) + 2);
        if deletes {
            at(&mut channel, &mut store, act("d", Act::Delete, &serial, ""), minute(1) + 3);
        }
        at(&mut channel, &mut store, say("last", &["last"]), minute(2));
        let late_ms = minute(3);
        channel.tick(&mut store, late_ms);
        let mut channel = wake(&mut store);
        assert!(!history_at(&mut channel, &mut store, late_ms).contains(&"secret".to_owned()));
        let from = ReadFrom::After { position: since, epoch: EPOCH.into() };
        let resumed = channel.read(&mut store, &from, late_ms).expect("a backlog");
        assert_eq!(resumed.lost, None);
        let expected = if deletes { vec!["2:", "0:last"] } else { vec!["1:a secret, told to all", "0:last"] };
        assert_eq!(told(&resumed.entries), expected);
        // And goes with that.
        channel.tick(&mut store, minute(4));
        assert!(store.latest.is_empty() && store.versions.is_empty(), "{:?}", store.latest);
    }
}

fn history_at(channel: &mut Channel, store: &mut MemoryStore, now_ms: u64) -> Vec<String> {
    let query = HistoryQuery { limit: 100, ..forwards() };
    told(&channel.history(store, &query, now_ms).expect("a page").entries)
}

#[test]
fn versions_go_with_their_message() {
    let (mut store, mut channel, serial) = begun();
    publish(&mut channel, &mut store, vec![act("u", Act::Update, &serial, "x")]);
    let error = channel.versions(&mut store, &all_versions(&serial), NOW_MS + RETENTION_MS + 1_000).unwrap_err();
    assert!(error.is(Code::NotFound), "{error}");
    let late_ms = NOW_MS + RETENTION_MS + 2 * RETENTION_SLACK_MS + 2_000;
    channel.publish(Ticket(0), vec![say("late", &["late"])]).expect("there is room");
    channel.commit(&mut store, late_ms);
    channel.tick(&mut store, late_ms);
    assert!(store.latest.is_empty() && store.versions.is_empty() && store.rows.len() == 1, "{store:?}");
}

#[test]
fn an_entry_of_an_operation_is_pinned() {
    let (mut store, mut channel, serial) = begun();
    publish(&mut channel, &mut store, vec![act("u", Act::Update, &serial, "x")]);
    let entry = store.latest.values().next().expect("one").entry.entries().expect("readable").remove(0);
    assert_eq!(pinned::encode(&entry), PINNED);
}

const PINNED: &[u8] =
    b"\x04\xe8\x9b\xeb\xdc\x03\x01u\0\x04\x01\0\0\x01\x01x\0\x01\x03ann\0\x01\x81\x94\xeb\xdc\x03\0\x01\
      \xe8\x9b\xeb\xdc\x03\0\x01\x81\x94\xeb\xdc\x03\0\0\0\0\0";
