//! A channel whose namespace keeps the last message: it is read for a year, whatever else has gone.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::auth::Source;
use courtside::channel::Channel;
use courtside::error::Code;
use courtside::limits::{LAST_KEPT_MS, SPENT_AFTER_MS};
use courtside::model::data::Data;
use courtside::model::message::Entry;
use courtside::model::operation::{Operation, Patch, Reach};
use courtside::model::packed::Packed;
use courtside::model::presence::{PresenceAction, PresenceMessage};
use courtside::model::revision::Act;
use courtside::model::serial::Position;
use courtside::rpc::Ticket;
use courtside::rpc::{
    Backlog, HistoryQuery, Lease, PresenceUpdate, Publish, PublishKey, ReadFrom, RelayName, Rules, Submission,
};

use support::bench::*;
use support::memory_store::MemoryStore;

const HOUR_MS: u64 = 60 * 60 * 1_000;

struct World {
    store: MemoryStore,
    channel: Channel,
    now_ms: u64,
}

impl World {
    fn new(rules: &Rules) -> World {
        let mut store = MemoryStore::default();
        let mut channel = wake(&mut store);
        channel.set_rules(&mut store, rules).unwrap();
        World { store, channel, now_ms: NOW_MS }
    }

    fn publish(&mut self, publish: Publish) {
        self.channel.publish(Ticket(0), vec![publish]).unwrap();
        self.channel.commit(&mut self.store, self.now_ms);
    }

    /// Time goes by, with each alarm that is asked for.
    fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        for _ in 0..10_000 {
            let Some(due_ms) = self.channel.deadline().filter(|due_ms| *due_ms <= until_ms) else { break };
            self.now_ms = self.now_ms.max(due_ms);
            self.channel.tick(&mut self.store, self.now_ms);
            if self.channel.is_spent() {
                break;
            }
        }
        self.now_ms = until_ms;
    }

    /// The object loses its memory.
    fn forget(&mut self) {
        self.channel = Channel::wake(&mut self.store, None, "another", self.now_ms).unwrap().expect("it is stored");
    }

    fn history(&mut self, query: HistoryQuery) -> Vec<String> {
        let query = HistoryQuery { limit: 10, ..query };
        texts(&self.channel.history(&mut self.store, &query, self.now_ms).unwrap().entries)
    }

    fn read(&mut self, from: ReadFrom) -> Backlog {
        self.channel.read(&mut self.store, &from, self.now_ms).unwrap()
    }

    fn rewind(&mut self) -> Vec<String> {
        texts(&self.read(ReadFrom::Last { messages: 1 }).entries)
    }
}

fn texts(packed: &Packed) -> Vec<String> {
    let entries = packed.entries().unwrap();
    let text = |entry: &Entry| entry.messages().iter().map(|message| format!("{:?}", message.data)).collect::<Vec<_>>();
    entries.iter().flat_map(text).map(|text| text.replace("Text(\"", "").replace("\")", "")).collect()
}

fn keeping() -> Rules {
    Rules { persist_last: true, ..rules() }
}

/// Members that come and go leave rows without messages.
fn enters(serial: u64, bytes: usize) -> Publish {
    let event = PresenceMessage {
        action: if serial.is_multiple_of(2) { PresenceAction::Enter } else { PresenceAction::Leave },
        id: format!("conn:{serial}:0"),
        connection_id: "conn".into(),
        client_id: "ann".into(),
        data: Data::Text("x".repeat(bytes)),
        encoding: None,
        extras: None,
    };
    let lease = Lease { relay: RelayName::shard(app().id(), 0), grace_ms: 15_000 };
    let content = Submission::Presence { lease, updates: vec![PresenceUpdate { event, known: None }] };
    Publish { key: PublishKey::Serial(serial), connection_id: Some("conn".into()), by: Source::SERVER, content }
}

#[test]
fn the_last_message_is_read_for_a_year_also_by_a_channel_that_lost_its_memory() {
    let mut world = World::new(&keeping());
    for serial in 0..3 {
        world.publish(numbered("a", serial));
    }
    for wait_ms in [121_000, 60_000, 23 * HOUR_MS, 300 * 24 * HOUR_MS] {
        world.pass(wait_ms);
        world.forget();
        assert_eq!(world.history(HistoryQuery::default()), ["a:2"], "{wait_ms}");
        assert_eq!(world.history(HistoryQuery { forwards: true, ..HistoryQuery::default() }), ["a:2"]);
        assert_eq!(world.rewind(), ["a:2"]);
        let since = ReadFrom::Since { time_ms: world.now_ms - 60_000, messages: 10 };
        assert_eq!(texts(&world.read(since).entries), Vec::<String>::new(), "it is no message of the last minute");
        let presence = HistoryQuery { presence: true, ..HistoryQuery::default() };
        assert_eq!(world.history(presence), Vec::<String>::new());
        let before = HistoryQuery { end_ms: Some(NOW_MS - 1), ..HistoryQuery::default() };
        assert_eq!(world.history(before), Vec::<String>::new());
    }
    assert!(!world.channel.is_spent());
    world.now_ms = NOW_MS + LAST_KEPT_MS + 1;
    assert_eq!((world.history(HistoryQuery::default()), world.rewind()), (vec![], vec![]));
    world.pass(2 * SPENT_AFTER_MS);
    assert!(world.channel.is_spent());
}

#[test]
fn without_the_rule_nothing_is_kept() {
    let mut world = World::new(&rules());
    world.publish(numbered("a", 0));
    world.pass(121_000);
    assert_eq!((world.history(HistoryQuery::default()), world.rewind()), (vec![], vec![]));
}

#[test]
fn a_later_message_takes_its_place_and_shows_alone_what_may_be_read() {
    let mut world = World::new(&keeping());
    world.publish(numbered("a", 0));
    world.pass(HOUR_MS);
    world.publish(numbered("a", 1));
    assert_eq!((world.history(HistoryQuery::default()), world.rewind()), (vec!["a:1".into()], vec!["a:1".into()]));
    let early = HistoryQuery { end_ms: Some(NOW_MS + 1), ..HistoryQuery::default() };
    assert_eq!(world.history(early), Vec::<String>::new(), "a message that another follows is not the last");
    world.pass(HOUR_MS);
    assert_eq!((world.history(HistoryQuery::default()), world.rewind()), (vec!["a:1".into()], vec!["a:1".into()]));
}

#[test]
fn members_that_come_and_go_take_it_away_from_nobody() {
    let mut world = World::new(&keeping());
    world.publish(numbered("a", 0));
    for hour in 0..3 {
        for serial in 0..200 {
            world.publish(enters(hour * 200 + serial, 40_000));
        }
        world.pass(HOUR_MS);
        assert!(world.store.rows.len() < 3, "their rows are gone: {}", world.store.rows.len());
        assert_eq!((world.history(HistoryQuery::default()), world.rewind()), (vec!["a:0".into()], vec!["a:0".into()]));
    }
}

/// Two minutes after a message, of which the second had so many events of a member.
fn crowded(events: u64) -> World {
    let mut world = World::new(&keeping());
    world.publish(numbered("a", 0));
    world.pass(60_000);
    (0..events).for_each(|serial| world.publish(enters(serial, 40_000)));
    world.pass(61_000);
    world.forget();
    world
}

#[test]
fn a_rewind_begins_with_it_however_much_else_follows() {
    // More than a page of replay; more than a rewind looks at; more than is looked at at once.
    for (events, reads) in [(5, 1), (60, 1), (200, 2)] {
        let mut world = crowded(events);
        let rewinds: Vec<Vec<String>> = (0..reads).map(|_| world.rewind()).collect();
        assert_eq!(rewinds.last(), Some(&vec!["a:0".into()]), "{events}");
        let first = world.read(ReadFrom::Last { messages: 1 });
        assert!(first.more);
        let next = ReadFrom::After { position: first.through, epoch: EPOCH.into() };
        assert_eq!(texts(&world.read(next).entries), Vec::<String>::new());
    }
}

#[test]
fn a_message_that_a_rewind_would_look_too_far_for_is_the_last_all_the_same() {
    let mut world = crowded(0);
    world.publish(numbered("a", 1));
    (0..60).for_each(|serial| world.publish(enters(serial, 40_000)));
    assert_eq!(world.rewind(), ["a:1"]);
    world.forget();
    assert_eq!(world.rewind(), ["a:1"]);
    let since = ReadFrom::Since { time_ms: world.now_ms + 1, messages: 10 };
    assert_eq!(texts(&world.read(since).entries), Vec::<String>::new());
}

#[test]
fn history_ends_with_it_however_many_pages_have_no_message() {
    for forwards in [false, true] {
        let mut world = crowded(250);
        let (mut after, mut pages) = (None, Vec::new());
        loop {
            let query = HistoryQuery { limit: 10, forwards, after, ..HistoryQuery::default() };
            let page = world.channel.history(&mut world.store, &query, world.now_ms).unwrap();
            pages.push(texts(&page.entries));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(pages.len() > 2, "{pages:?}");
        assert_eq!(pages.pop(), Some(vec!["a:0".into()]), "forwards: {forwards}");
        assert!(pages.iter().all(Vec::is_empty), "{pages:?}");
    }
}

#[test]
fn who_has_read_it_does_not_get_it_again_behind_it() {
    for forwards in [false, true] {
        let mut world = World::new(&keeping());
        world.publish(numbered("a", 0));
        world.pass(121_000);
        let last = world.channel.tip();
        let query = HistoryQuery { forwards, after: Some((last, 0)), ..HistoryQuery::default() };
        assert_eq!(world.history(query), Vec::<String>::new(), "forwards: {forwards}");
    }
}

#[test]
fn who_has_the_last_message_resumes_and_who_lacks_it_is_told_of_the_gap() {
    let mut world = World::new(&keeping());
    world.publish(numbered("a", 0));
    world.publish(numbered("a", 1));
    world.publish(enters(0, 10));
    world.pass(HOUR_MS);
    let last =
        world.channel.history(&mut world.store, &HistoryQuery { limit: 1, ..HistoryQuery::default() }, world.now_ms);
    let last = last.unwrap().entries.entries().unwrap()[0].position;
    let after = |position: Position| ReadFrom::After { position, epoch: EPOCH.into() };
    world.publish(enters(1, 10));
    world.publish(numbered("a", 2));
    let resumed = world.read(after(last));
    assert_eq!((resumed.lost, texts(&resumed.entries)), (None, vec!["a:2".into()]));
    let lost = world.read(after(Position(last.0 - 1)));
    assert!(lost.lost.is_some_and(|error| error.is(Code::ContinuityUnknown)));
}

#[test]
fn what_was_deleted_stays_so() {
    let mut world = World::new(&Rules { mutable: true, ..keeping() });
    let mut secret = numbered("a", 0);
    if let Submission::Messages(messages) = &mut secret.content {
        messages[0].data = Data::Text("secret".into());
    }
    world.publish(secret);
    let serial = world.channel.tip().message_serial(EPOCH, 0);
    let patch = Patch { data: Data::Text("gone".into()), ..Patch::default() };
    let operation = Operation {
        act: Act::Delete,
        serial,
        patch,
        client_id: None,
        description: None,
        metadata: None,
        reach: Reach::Any,
    };
    let content = Submission::Operation(operation.into());
    let key = PublishKey::Request("delete".into());
    world.publish(Publish { key, connection_id: None, by: Source::SERVER, content });
    world.publish(enters(0, 10));
    world.pass(HOUR_MS);
    assert_eq!((world.history(HistoryQuery::default()), world.rewind()), (vec!["gone".into()], vec!["gone".into()]));
    let meta = String::from_utf8_lossy(world.store.meta.as_deref().unwrap()).into_owned();
    assert!(meta.contains("gone") && !meta.contains("secret"), "{meta}");
}
