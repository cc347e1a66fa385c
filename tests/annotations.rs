//! Annotations at their channel: how each method counts, that the counts follow from the log whatever fails, and what
//! readers are told of them.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
    pub mod random;
}

#[path = "support/changed_messages.rs"]
mod changed_messages;
#[path = "support/later_readers.rs"]
mod later_readers;

use std::collections::{BTreeMap, BTreeSet};

use courtside::auth::Source;
use courtside::channel::{Channel, Effect};
use courtside::limits::{
    HISTORY_MAX_LIMIT, HISTORY_PAGE_BYTES, MESSAGE_MAX_BYTES, SUMMARY_CLIENTS_MAX_BYTES, SUMMARY_COUNTS_MAX,
};
use courtside::model::annotation::{Annotation, AnnotationAction};
use courtside::model::data::Data;
use courtside::model::message::{Entry, Message};
use courtside::model::revision::Target;
use courtside::model::serial::Position;
use courtside::rpc::Ticket;
use courtside::rpc::{
    AnnotationsQuery, Delivered, HistoryPage, HistoryQuery, LocalOccupancy, Outcome, Publish, PublishKey, ReadFrom,
    RelayName, Response, Rules, Submission,
};
use serde_json::{Value, json};

use support::bench::{EPOCH, NOW_MS, address, rules};
use support::memory_store::MemoryStore;
use support::random::Random;

/// A channel with a relay that takes all that it is sent.
struct Bench {
    store: MemoryStore,
    channel: Channel,
    /// All that was delivered.
    told: Vec<Entry>,
    published: u64,
    now_ms: u64,
}

impl Bench {
    fn new() -> Bench {
        let mut store = MemoryStore::default();
        let mut channel = awake(&mut store);
        channel.subscribe(&mut store, relay(), LocalOccupancy::default()).unwrap();
        Bench { store, channel, told: Vec::new(), published: 0, now_ms: NOW_MS }
    }

    fn commit(&mut self, contents: Vec<Submission>) -> Vec<Outcome> {
        let publishes = contents.into_iter().map(|content| {
            self.published += 1;
            Publish {
                key: PublishKey::Serial(self.published),
                connection_id: Some("conn".to_owned()),
                by: Source::SERVER,
                content,
            }
        });
        let publishes = publishes.collect();
        self.publish(publishes)
    }

    fn publish(&mut self, publishes: Vec<Publish>) -> Vec<Outcome> {
        self.channel.publish(Ticket(1), publishes).unwrap();
        let effects = self.channel.commit(&mut self.store, self.now_ms);
        self.take(effects)
    }

    fn take(&mut self, mut effects: Vec<Effect>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while !effects.is_empty() {
            let mut next = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Reply(_, Ok(Response::Published(published))) => outcomes.extend(published.outcomes),
                    Effect::Deliver { relay, attempt, delivery } => {
                        self.told.extend(delivery.entries.entries().unwrap());
                        let answer = Some(Delivered::At(delivery.through));
                        next.extend(self.channel.delivered(&mut self.store, &relay, attempt, answer, self.now_ms));
                    }
                    _ => {}
                }
            }
            effects = next;
        }
        outcomes
    }

    /// A message to annotate.
    fn message(&mut self) -> String {
        let message = Message { name: Some("score".into()), data: Data::Text("15-0".into()), ..Message::default() };
        match self.commit(vec![Submission::Messages(vec![message])])[..] {
            [Outcome::Accepted { position, .. }] => position.message_serial(EPOCH, 0),
            ref other => panic!("{other:?}"),
        }
    }

    fn annotate(&mut self, message: &str, annotations: Vec<Annotation>) -> Outcome {
        let content = Submission::Annotations { message: message.to_owned(), annotations };
        self.commit(vec![content]).remove(0)
    }

    /// What history says of a message now.
    fn counts(&mut self, message: &str) -> Value {
        let query = HistoryQuery { limit: 100, ..HistoryQuery::default() };
        let page = self.channel.history(&mut self.store, &query, self.now_ms).unwrap();
        let entries = page.entries.entries().unwrap();
        assert_eq!(page.slices.len(), entries.len(), "pages hold messages, and nothing else");
        let target = Target::parse(message).unwrap().0;
        let entry = entries.iter().find(|entry| entry.position == target.position).expect("the message is there");
        entry.counts(target.place).map_or(json!({}), |counts| Value::Object(counts.clone()))
    }

    fn page(&mut self, message: &str, after: Option<(Position, usize)>, limit: usize) -> HistoryPage {
        let query = AnnotationsQuery { message: message.to_owned(), after, limit };
        self.channel.annotations(&mut self.store, &query, self.now_ms).unwrap()
    }

    fn summaries(&self) -> Vec<Value> {
        let counts = |entry: &Entry| Some(Value::Object(entry.summary()?.counts.by_type.clone().expect("filled")));
        self.told.iter().filter_map(counts).collect()
    }
}

fn position(serial: &str) -> Position {
    Target::parse(serial).unwrap().0.position
}

fn relay() -> RelayName {
    RelayName::from("relay:demo/3".to_owned())
}

fn mutable() -> Rules {
    Rules { mutable: true, ..rules() }
}

fn awake(store: &mut MemoryStore) -> Channel {
    Channel::wake(store, Some((&address(), &mutable())), EPOCH, NOW_MS).unwrap().unwrap()
}

/// `+ann:like` as a client's creation, `-ann:like` as its deletion; `+:like*3` anonymous and of count 3.
fn say(kind: &str, text: &str) -> Annotation {
    let (sign, rest) = text.split_at(1);
    let (client_id, rest) = rest.split_once(':').expect("client:name");
    let (name, count) = rest.split_once('*').map_or((rest, None), |(name, count)| (name, count.parse().ok()));
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Annotation {
        id: None,
        action: if sign == "+" { AnnotationAction::Create } else { AnnotationAction::Delete },
        kind: kind.to_owned(),
        name: some(name),
        count,
        client_id: some(client_id),
        data: Data::Absent,
        encoding: None,
        extras: None,
    }
}

fn list(clients: &[&str]) -> Value {
    json!({"total": clients.len(), "clientIds": clients, "clipped": false})
}

/// What each method makes of a few annotations, one after the other, and how many summaries go out.
#[test]
fn each_method_counts_as_it_should() {
    let multiple = |total: u64, clients: Value, unidentified: u64| {
        let count = clients.as_object().unwrap().len();
        json!({"total": total, "clientIds": clients, "totalUnidentified": unidentified, "totalClientIds": count,
               "clipped": false})
    };
    let cases: Vec<(&str, &[&str], Value, usize)> = vec![
        ("total", &["+ann:", "+ann:", "+:"], json!({"total": 3}), 3),
        ("total", &["+ann:", "-bob:", "-bob:"], Value::Null, 2),
        ("flag", &["+ann:", "+ann:x", "+bob:"], list(&["ann", "bob"]), 2),
        ("flag", &["+ann:", "+bob:", "-ann:", "-ann:"], list(&["bob"]), 3),
        ("flag", &["+ann:", "-ann:"], Value::Null, 2),
        (
            "distinct",
            &["+bob:a", "+ann:a", "+ann:b", "+ann:a"],
            json!({"a": list(&["bob", "ann"]), "b": list(&["ann"])}),
            3,
        ),
        ("distinct", &["+ann:a", "+ann:b", "-ann:a", "-bob:b"], json!({"b": list(&["ann"])}), 3),
        ("unique", &["+ann:a", "+bob:a", "+ann:b"], json!({"a": list(&["bob"]), "b": list(&["ann"])}), 3),
        ("unique", &["+ann:a", "+ann:a", "-ann:b"], json!({"a": list(&["ann"])}), 1),
        ("unique", &["+ann:a", "-ann:"], Value::Null, 2),
        ("unique", &["+ann:a", "+ann:b", "-ann:b"], Value::Null, 3),
        ("multiple", &["+ann:a", "+ann:a*3", "+:a*2"], json!({"a": multiple(6, json!({"ann": 4}), 2)}), 3),
        ("multiple", &["+ann:a*3", "+bob:a", "-ann:a"], json!({"a": multiple(1, json!({"bob": 1}), 0)}), 3),
        ("multiple", &["+:a*3", "+bob:a", "-:a"], json!({"a": multiple(1, json!({"bob": 1}), 0)}), 3),
        ("multiple", &["-ann:a", "+ann:a", "-ann:a"], Value::Null, 2),
        ("other", &["+ann:a", "-ann:a"], Value::Null, 0),
    ];
    for (method, said, expected, events) in cases {
        let mut bench = Bench::new();
        let message = bench.message();
        let kind = format!("r:{method}.v1");
        for text in said {
            let outcome = bench.annotate(&message, vec![say(&kind, text)]);
            assert!(matches!(outcome, Outcome::Accepted { count: 1, .. }), "{method} {text}: {outcome:?}");
        }
        let expected = if expected.is_null() { json!({}) } else { json!({kind: expected}) };
        assert_eq!(bench.counts(&message), expected, "{method} {said:?}");
        assert_eq!(bench.summaries().len(), events, "{method} {said:?}");
        assert!(bench.summaries().last().is_none_or(|last| *last == expected), "{method} {said:?}");
        let raw: usize = bench.told.iter().map(|entry| entry.annotations().len()).sum();
        assert_eq!(raw, said.len(), "all are told as they are");
        assert_eq!(bench.page(&message, None, 100).slices.len(), said.len());
    }
}

#[test]
fn a_commit_tells_one_summary_of_a_message_behind_all_that_it_counts() {
    let mut bench = Bench::new();
    let (one, other) = (bench.message(), bench.message());
    bench.told.clear();
    let on = |message: &str, text| Submission::Annotations {
        message: message.to_owned(),
        annotations: vec![say("r:flag.v1", text)],
    };
    let contents = vec![on(&one, "+ann:"), on(&other, "+ann:"), on(&one, "+bob:"), on(&other, "-ann:")];
    assert_eq!(bench.commit(contents).len(), 4);
    let kinds: Vec<bool> = bench.told.iter().map(|entry| entry.summary().is_some()).collect();
    assert_eq!(kinds, [false, false, false, false, true, true]);
    assert_eq!(bench.summaries(), [json!({"r:flag.v1": list(&["ann", "bob"])}), json!({})]);
    assert_eq!(bench.told[4].summary().unwrap().name.as_deref(), Some("score"));
}

#[test]
fn what_cannot_be_annotated_is_refused_with_its_code() {
    let mut bench = Bench::new();
    let message = bench.message();
    let mut refusal = |message: String| match bench.annotate(&message, vec![say("r:flag.v1", "+ann:")]) {
        Outcome::Refused(error) => error.code,
        Outcome::Accepted { .. } => 0,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(message.clone()), 0);
    let at = position(&message);
    assert_eq!(refusal("nonsense".into()), 40003);
    assert_eq!(refusal(at.message_serial(EPOCH, 1)), 40400);
    assert_eq!(refusal(at.message_serial("other", 0)), 40400);
    assert_eq!(refusal(Position(at.0 + 1).message_serial(EPOCH, 0)), 40400);
    assert_eq!(refusal(Position(5).message_serial(EPOCH, 0)), 40400);
    assert_eq!(refusal(Position::at(99_999_999_999_999).message_serial(EPOCH, 0)), 40400);
    bench.channel.set_rules(&mut bench.store, &rules()).unwrap();
    assert!(
        matches!(bench.annotate(&message, vec![say("r:flag.v1", "+ann:")]), Outcome::Refused(error) if error.code == 93002)
    );
    let query = AnnotationsQuery { message, after: None, limit: 1 };
    assert_eq!(bench.channel.annotations(&mut bench.store, &query, NOW_MS).unwrap_err().code, 93002);
}

#[test]
fn annotations_go_with_their_message() {
    let mut bench = Bench::new();
    let message = bench.message();
    bench.annotate(&message, vec![say("r:flag.v1", "+ann:")]);
    bench.now_ms += 200_000;
    let late = bench.message();
    assert!(
        matches!(bench.annotate(&message, vec![say("r:flag.v1", "+bob:")]), Outcome::Refused(error) if error.code == 40400)
    );
    bench.annotate(&late, vec![say("r:flag.v1", "+bob:")]);
    let effects = bench.channel.tick(&mut bench.store, bench.now_ms);
    bench.take(effects);
    let kept: BTreeSet<Position> = bench.store.said.annotations.keys().map(|(target, _)| target.position).collect();
    assert_eq!(kept, BTreeSet::from([position(&late)]));
    assert_eq!((bench.store.said.counts.len(), bench.store.said.shares.len()), (1, 1));
}

#[test]
fn a_summary_is_bounded_and_its_totals_exact() {
    let mut bench = Bench::new();
    let message = bench.message();
    for from in (0..3_000).step_by(500) {
        let crowd = (from..from + 500).map(|at| say("r:distinct.v1", &format!("+client-with-a-long-name-{at}:like")));
        bench.annotate(&message, crowd.collect());
    }
    let counts = bench.counts(&message);
    let like = &counts["r:distinct.v1"]["like"];
    assert_eq!((like["total"].as_u64(), like["clipped"].as_bool()), (Some(3_000), Some(true)));
    assert!(like["clientIds"].as_array().unwrap().len() > 100);
    assert!(counts.to_string().len() < 2 * SUMMARY_CLIENTS_MAX_BYTES);
    let own = bench.channel.client_summary(&mut bench.store, &message, "client-with-a-long-name-2999", NOW_MS).unwrap();
    let expected = json!({"r:distinct.v1": {"like": {"total": 3_000, "clientIds": ["client-with-a-long-name-2999"], "clipped": true}}});
    assert_eq!(json!(own.by_type), expected);
}

#[test]
fn only_so_many_names_are_counted() {
    let mut bench = Bench::new();
    let message = bench.message();
    let names = |from: usize, to: usize| (from..to).map(|at| say("r:distinct.v1", &format!("+ann:{at}"))).collect();
    assert!(matches!(bench.annotate(&message, names(0, SUMMARY_COUNTS_MAX)), Outcome::Accepted { .. }));
    assert!(
        matches!(bench.annotate(&message, names(7, SUMMARY_COUNTS_MAX + 1)), Outcome::Refused(error) if error.code == 40009)
    );
    assert!(matches!(bench.annotate(&message, names(0, 7)), Outcome::Accepted { .. }), "they are counted already");
    bench.annotate(&message, vec![say("r:distinct.v1", "-ann:0")]);
    assert!(matches!(
        bench.annotate(&message, names(SUMMARY_COUNTS_MAX, SUMMARY_COUNTS_MAX + 1)),
        Outcome::Accepted { .. }
    ));
}

#[test]
fn a_page_goes_on_behind_the_last_annotation() {
    let mut bench = Bench::new();
    let message = bench.message();
    for batch in [&["+a:", "+b:", "+c:"][..], &["+d:"], &["+e:", "+f:"]] {
        bench.annotate(&message, batch.iter().map(|text| say("r:flag.v1", text)).collect());
    }
    for limit in 1..8 {
        let (mut after, mut all, mut pages) = (None, String::new(), 0);
        loop {
            let page = bench.page(&message, after, limit);
            let entries = page.entries.entries().unwrap();
            let of = |(entry, (from, to)): (&Entry, &(usize, usize))| entry.annotations()[*from..*to].to_vec();
            let said: Vec<Annotation> = entries.iter().zip(&page.slices).flat_map(of).collect();
            assert!(said.len() <= limit);
            all.extend(said.into_iter().filter_map(|annotation| annotation.client_id));
            (after, pages) = (page.next, pages + 1);
            if after.is_none() {
                break;
            }
        }
        assert_eq!((all.as_str(), pages), ("abcdef", 6usize.div_ceil(limit)), "{limit} at a time");
    }
}

/// Of long ones a few more are read than fit, and not as many as could be asked for.
#[test]
fn a_page_reads_little_more_than_it_has() {
    let mut bench = Bench::new();
    let message = bench.message();
    let long = Data::Text("x".repeat(MESSAGE_MAX_BYTES / 2));
    for _ in 0..100 {
        bench.annotate(&message, vec![Annotation { data: long.clone(), ..say("r:total.v1", "+ann:") }]);
    }
    let (mut after, mut all) = (None, 0);
    loop {
        let read_before = bench.store.bytes_read;
        let page = bench.page(&message, after, HISTORY_MAX_LIMIT);
        let read = bench.store.bytes_read - read_before;
        assert!(read <= HISTORY_PAGE_BYTES + 9 * MESSAGE_MAX_BYTES, "{read} bytes read");
        (after, all) = (page.next, all + page.slices.len());
        if after.is_none() {
            break;
        }
    }
    assert_eq!(all, 100);
}

#[test]
fn an_annotation_that_comes_again_counts_once() {
    let mut bench = Bench::new();
    let message = bench.message();
    let content = Submission::Annotations { message: message.clone(), annotations: vec![say("r:total.v1", "+ann:")] };
    let id = |id: &str| Submission::Annotations {
        message: message.to_owned(),
        annotations: vec![Annotation { id: Some(id.to_owned()), ..say("r:total.v1", "+ann:") }],
    };
    let connection_id = Some("conn".to_owned());
    let own = |key, content| Publish { key, connection_id: connection_id.clone(), by: Source::SERVER, content };
    let numbered = own(PublishKey::Serial(900), content);
    let chosen = own(PublishKey::Id("x:0".into()), id("x:0"));
    let first = bench.publish(vec![numbered.clone(), numbered.clone(), chosen.clone()]);
    assert_eq!(first[0], first[1]);
    bench.channel = awake(&mut bench.store);
    assert_eq!(bench.publish(vec![numbered.clone(), chosen]), [first[0].clone(), first[2].clone()]);
    assert_eq!(bench.counts(&message), json!({"r:total.v1": {"total": 2}}));
    let another = Submission::Annotations { message, annotations: vec![say("r:total.v1", "-ann:")] };
    let reused = bench.publish(vec![Publish { content: another, ..numbered }]);
    assert!(matches!(&reused[0], Outcome::Refused(error) if error.code == 40031), "{reused:?}");
}

/// Counts by the words of the documentation, of all that was ever said.
#[derive(Default)]
struct Model {
    totals: BTreeMap<String, u64>,
    shares: BTreeMap<(String, String), BTreeMap<Option<String>, u64>>,
}

impl Model {
    fn say(&mut self, said: &Annotation) {
        let method = said.kind.split(':').nth(1).unwrap().split('.').next().unwrap();
        let create = said.action == AnnotationAction::Create;
        if method == "other" {
            return;
        }
        if method == "total" {
            let total = self.totals.entry(said.kind.clone()).or_default();
            *total = if create { *total + 1 } else { total.saturating_sub(1) };
            return;
        }
        let name = if method == "flag" { String::new() } else { said.name.clone().unwrap_or_default() };
        if method == "unique" && (create || name.is_empty()) {
            for ((kind, other), clients) in &mut self.shares {
                if *kind == said.kind && *other != name {
                    clients.remove(&said.client_id);
                }
            }
        }
        let clients = self.shares.entry((said.kind.clone(), name)).or_default();
        match (create, method) {
            (true, "multiple") => *clients.entry(said.client_id.clone()).or_default() += said.count.unwrap_or(1),
            (true, _) => drop(clients.insert(said.client_id.clone(), 1)),
            (false, _) => drop(clients.remove(&said.client_id)),
        }
    }

    /// Of each type and name: the total, and each client's part.
    fn seen(&self) -> BTreeMap<(String, String), (u64, BTreeMap<String, u64>)> {
        let totals = self.totals.iter().filter(|(_, total)| **total > 0);
        let totals = totals.map(|(kind, total)| ((kind.clone(), String::new()), (*total, BTreeMap::new())));
        let shares = self.shares.iter().filter(|(_, clients)| !clients.is_empty()).map(|(key, clients)| {
            let named = clients.iter().filter_map(|(client, count)| Some((client.clone()?, *count)));
            (key.clone(), (clients.values().sum(), named.collect()))
        });
        totals.chain(shares).collect()
    }
}

fn stored(store: &MemoryStore) -> BTreeMap<(String, String), (u64, BTreeMap<String, u64>)> {
    let mut seen: BTreeMap<_, (u64, BTreeMap<String, u64>)> = BTreeMap::new();
    for ((_, key), total) in &store.said.counts {
        seen.insert((key.kind.clone(), key.name.clone()), (total.total, BTreeMap::new()));
    }
    for ((_, key, client), share) in &store.said.shares {
        let count = seen.get_mut(&(key.kind.clone(), key.name.clone())).expect("who is listed is counted");
        count.1.insert(client.clone(), share.count);
    }
    seen
}

/// Whatever is said, and whichever writes fail, kept or not: the counts are those of the log.
#[test]
fn the_counts_are_what_the_log_comes_to() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut bench = Bench::new();
        let message = bench.message();
        for _ in 0..60 {
            let said = (0..random.below(4) + 1).map(|_| {
                let method = ["total", "flag", "distinct", "unique", "multiple", "other"][random.below(6) as usize];
                let client =
                    if matches!(method, "total" | "multiple") { ["", "ann", "bob"] } else { ["cy", "ann", "bob"] };
                let client = client[random.below(3) as usize];
                let sign = ["+", "+", "-"][random.below(3) as usize];
                let name = ["a", "b", "c"][random.below(3) as usize];
                let name = if method == "unique" && sign == "-" && random.below(2) == 0 { "" } else { name };
                let count = random.below(3) + 1;
                say(&format!("r:{method}.v1"), &format!("{sign}{client}:{name}*{count}"))
            });
            let said: Vec<Annotation> = said.collect();
            let contents = said.chunks(2).map(|annotations| Submission::Annotations {
                message: message.to_owned(),
                annotations: annotations.to_vec(),
            });
            bench.store.fail_append = random.below(6) == 0;
            bench.store.keep_failed = random.below(2) == 0;
            let contents = contents.collect();
            bench.commit(contents);
            if random.below(8) == 0 {
                bench.channel = awake(&mut bench.store);
                bench.channel.subscribe(&mut bench.store, relay(), LocalOccupancy::default()).unwrap();
            }
        }
        let mut model = Model::default();
        let rows: Vec<_> = bench.store.rows.values().flat_map(|row| row.entries.entries().unwrap()).collect();
        rows.iter().flat_map(Entry::annotations).for_each(|said| model.say(said));
        assert_eq!(stored(&bench.store), model.seen(), "seed {seed}");
        for total in bench.store.said.counts.values() {
            assert!(total.total >= total.unidentified, "seed {seed}");
        }
        let last = bench.summaries().pop();
        bench.store.fail_append = false;
        let probe = say("r:flag.v1", "+probe:");
        bench.annotate(&message, vec![probe]);
        assert_ne!(bench.summaries().pop(), last, "seed {seed}");
        assert_eq!(bench.summaries().pop(), Some(bench.counts(&message)), "seed {seed}");
    }
}
