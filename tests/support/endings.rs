//! What appends store: what they add, and a message whole only now and then; and it reads as if it were whole.

use courtside::channel::store::Change;
use courtside::limits::ENDING_BYTES;
use serde_json::json;

use super::random::Random;
use super::*;

/// Of the latest versions, and not of the log.
fn written(store: &MemoryStore) -> usize {
    let bytes = |change: &Change| match change {
        Change::Revise(version) => version.entry.len(),
        Change::Extend(ending) => ending.bytes.len(),
        _ => 0,
    };
    store.rows.values().flat_map(|row| &row.changes).map(bytes).sum()
}

#[test]
fn an_append_writes_what_it_adds_however_long_its_message_is() {
    let (mut store, mut channel, serial) = begun();
    let mut text = "1:a secret".to_owned();
    for number in 0..1_200 {
        let piece = format!("piece {number} of the text. ");
        publish(&mut channel, &mut store, vec![act(&number.to_string(), Act::Append, &serial, &piece)]);
        text.push_str(&piece);
    }
    let each = written(&store) / 1_200;
    assert!((ENDING_BYTES..ENDING_BYTES + 200).contains(&each), "{each} bytes for an append, {} in all", text.len());
    let mut query = all_versions(&serial);
    query.latest = true;
    assert_eq!(versions(&mut wake(&mut store), &mut store, query), [text]);
}

/// What must be true of one message.
struct Known {
    data: String,
    versions: Vec<String>,
    appends: bool,
}

impl Known {
    fn take(&mut self, what: Act, text: &str) {
        match what {
            Act::Append => self.data.push_str(text),
            Act::Update | Act::Delete => self.data = text.to_owned(),
        }
        if what == Act::Append && self.appends {
            self.versions.pop();
        }
        self.appends = what == Act::Append;
        self.versions.push(format!("{}:{}", if what == Act::Delete { 2 } else { 1 }, self.data));
    }
}

/// Whatever is done in whichever commits, with extras that fit beside what is added or do not, whichever writes fail.
#[test]
fn a_message_is_what_its_operations_come_to() {
    let mut extended = 0;
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let (mut store, mut channel, serial) = begun();
        let mut known = Known { data: "a secret".into(), versions: vec!["0:a secret".into()], appends: false };
        for round in 0..30 {
            let done: Vec<(Act, String)> = (0..=random.below(3))
                .map(|_| {
                    let what = [Act::Update, Act::Delete, Act::Append][random.below(10).min(2) as usize];
                    (what, "ä".repeat([3, 3, 600, 2_500][random.below(4) as usize]))
                })
                .collect();
            let publishes = done.iter().enumerate().map(|(index, (what, text))| {
                let mut publish = act(&format!("{round}-{index}"), *what, &serial, text);
                if let (Submission::Operation(operation), 0) = (&mut publish.content, random.below(5)) {
                    let filled = json!({ "note": "x".repeat(random.below(2) as usize * ENDING_BYTES) });
                    operation.patch.extras = filled.as_object().cloned();
                }
                publish
            });
            let publishes = publishes.collect();
            (store.fail_append, store.keep_failed) = (random.below(6) == 0, random.below(2) == 0);
            let is_kept = !store.fail_append || store.keep_failed;
            channel.publish(Ticket(0), publishes).expect("there is room");
            channel.commit(&mut store, NOW_MS + round * 3_000);
            if is_kept {
                done.iter().for_each(|(what, text)| known.take(*what, text));
            }
            extended += usize::from(!store.endings.is_empty());
            if random.below(8) == 0 {
                channel = wake(&mut store);
            }
            let read = told(&history(&mut channel, &mut store, forwards()));
            assert_eq!(read, known.versions[known.versions.len() - 1..], "seed {seed}, round {round}");
        }
        let query = VersionsQuery { limit: 1_000, ..all_versions(&serial) };
        assert_eq!(versions(&mut channel, &mut store, query), known.versions, "seed {seed}");
    }
    assert!(extended > 20, "{extended} times something was put behind a row");
}
