//! Conflation: of the messages of one key that come within an interval, those who listen get the latest alone.
//!
//! A key is a text with places for what a message says of itself, `#{message.extras.headers['market']}`. Messages are
//! of one key when they say the same in each place, and one that says nothing in some place is never left out. So is
//! one whose successor comes later than an interval after it, or not in the same delivery: what is left out was always
//! replaced by something that arrives with it. Whether a message stays depends on what follows it alone, so of what is
//! left any rear part is what would be left of the messages behind the same place.

use crate::base::maps::HashMap;
use crate::base::pinned::Unreadable;
use crate::error::{Code, ErrorInfo};
use crate::limits::CONFLATION_KEY_MAX_BYTES;
use crate::model::message::{Content, Entry, Kind, Message};
use crate::model::packed::Packed;
use crate::model::serial::Position;

/// A piece of a key.
enum Part<'a> {
    Text,
    Name,
    ClientId,
    Header(&'a str),
}

/// Fails with 40000 for a key that names something else than there is, or is too long.
pub fn check_key(key: &str) -> Result<(), ErrorInfo> {
    let mut rest = key;
    while !rest.is_empty() {
        (_, rest) = split(rest).ok_or_else(|| {
            Code::BadRequest
                .because("of #{...} it knows message.name, message.clientId and message.extras.headers['...']")
        })?;
    }
    match key.len() {
        1..=CONFLATION_KEY_MAX_BYTES => Ok(()),
        _ => Err(Code::BadRequest.because("it is empty or too long")),
    }
}

/// Leaves out what was replaced. `key` was checked.
pub fn conflate(packed: &Packed, key: &str, interval_ms: u64) -> Result<Packed, Unreadable> {
    let mut entries = packed.entries()?;
    let mut later: HashMap<String, u64> = HashMap::default();
    let mut left_out = 0;
    // What was appended to may be left out for some reader: each version goes out whole.
    let is_operation = entries.iter_mut().filter_map(|entry| entry.version_mut()).fold(false, |_, version| {
        version.prior = Position::ZERO;
        true
    });
    for entry in entries.iter_mut().rev() {
        let at_ms = entry.position.time_ms();
        let mut stays = |message: &Message| match said(key, message) {
            Some(said) => later.insert(said, at_ms).is_none_or(|later_ms| later_ms > at_ms + interval_ms),
            None => true,
        };
        left_out += keep(entry, &mut stays);
    }
    if left_out == 0 && !is_operation {
        return Ok(packed.clone());
    }
    let mut left = Packed::default();
    entries
        .iter()
        .filter(|entry| entry.count() > 0 || entry.kind() != Kind::Messages || entry.summary().is_some())
        .for_each(|entry| left.append(&Packed::one(entry)));
    Ok(left)
}

/// What a message says in the places of a key, if it says something in each.
fn said(key: &str, message: &Message) -> Option<String> {
    let (mut said, mut rest) = (String::new(), key);
    while !rest.is_empty() {
        let part;
        (part, rest) = split(rest)?;
        match part {
            Part::Text => continue,
            Part::Name => said.push_str(message.name.as_deref()?),
            Part::ClientId => said.push_str(message.client_id.as_deref()?),
            Part::Header(name) => {
                let header = message.extras.as_ref()?.get("headers")?.get(name).filter(|value| !value.is_null())?;
                said.push_str(&serde_json::to_string(header).ok()?);
            }
        }
        said.push('\0');
    }
    Some(said)
}

/// The first piece of a key, and the rest.
fn split(key: &str) -> Option<(Part<'_>, &str)> {
    let Some(place) = key.strip_prefix("#{") else {
        let text = key.strip_prefix('#').unwrap_or(key);
        return Some((Part::Text, text.find('#').map_or("", |end| &text[end..])));
    };
    let (place, rest) = place.split_once('}')?;
    let part = match place.trim() {
        "message.name" => Part::Name,
        "message.clientId" => Part::ClientId,
        place => Part::Header(place.strip_prefix("message.extras.headers['")?.strip_suffix("']")?),
    };
    Some((part, rest))
}

/// Keeps the messages of a publish that stay, asking from the last to the first. Gives how many don't.
fn keep(entry: &mut Entry, stays: &mut impl FnMut(&Message) -> bool) -> usize {
    let Content::Messages(messages) = &mut entry.content else { return 0 };
    let (count, mut places, mut left) = (messages.len(), Vec::new(), Vec::new());
    while let Some(message) = messages.pop() {
        if stays(&message) {
            places.push(messages.len());
            left.push(message);
        }
    }
    left.reverse();
    let left_out = count - left.len();
    if left_out == 0 {
        *messages = left;
    } else {
        places.reverse();
        entry.content = Content::Rest { places, messages: left };
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::pinned;

    use serde_json::{Value, json};

    /// A publish at a time, of messages named so; one named `-` has no name.
    fn entry(time_ms: u64, names: &[&str]) -> Entry {
        let message = |name: &&str| Message { name: (*name != "-").then(|| name.to_string()), ..Message::default() };
        let content = Content::Messages(names.iter().map(message).collect());
        Entry { position: Position::at(time_ms), id: "p".into(), connection_id: None, content }
    }

    /// What is left, each message as its time, place and name.
    fn left(entries: &[Entry], interval_ms: u64) -> Vec<String> {
        let mut packed = Packed::default();
        entries.iter().for_each(|entry| packed.append(&Packed::one(entry)));
        let mut left = Vec::new();
        for entry in conflate(&packed, "#{message.name}", interval_ms).unwrap().entries().unwrap() {
            for (index, message) in entry.messages().iter().enumerate() {
                let name = message.name.as_deref().unwrap_or("-");
                left.push(format!("{}.{}{name}", entry.position.time_ms(), entry.place(index)));
            }
        }
        left
    }

    #[test]
    fn the_latest_of_each_key_stays_and_keeps_its_place() {
        let entries = [entry(1, &["a"]), entry(2, &["b", "a", "c"]), entry(3, &["a"]), entry(4, &["b"])];
        assert_eq!(left(&entries, 100), ["2.2c", "3.0a", "4.0b"]);
        assert_eq!(left(&entries[..2], 100), ["2.0b", "2.1a", "2.2c"]);
        assert_eq!(left(&[entry(1, &["a", "b", "a", "a"])], 100), ["1.1b", "1.3a"]);
    }

    #[test]
    fn what_has_no_key_stays() {
        assert_eq!(left(&[entry(1, &["-", "a", "-"]), entry(2, &["-", "a"])], 100), ["1.0-", "1.2-", "2.0-", "2.1a"]);
    }

    #[test]
    fn what_is_replaced_later_than_an_interval_after_it_stays() {
        let entries = [entry(0, &["a"]), entry(101, &["a"]), entry(201, &["a"])];
        assert_eq!(left(&entries, 100), ["0.0a", "201.0a"]);
    }

    /// A relay that has a part of a delivery already takes the rest of it.
    #[test]
    fn what_is_left_behind_a_place_is_the_rear_of_what_is_left() {
        let names = ["a", "b", "a", "c", "-", "b", "a", "a", "c", "d"];
        let entries: Vec<Entry> = (0..).zip(names.chunks(2)).map(|(time_ms, names)| entry(time_ms, names)).collect();
        let all = left(&entries, 2);
        assert!(all.len() < names.len());
        for behind in 0..entries.len() {
            let rear = left(&entries[behind..], 2);
            assert!(all.ends_with(&rear), "{rear:?} behind {behind}");
            assert!(
                all[..all.len() - rear.len()].iter().all(|told| told.split('.').next().unwrap() < &behind.to_string())
            );
        }
    }

    #[test]
    fn presence_events_and_what_is_alone_stay_as_they_are() {
        let presence = Entry { content: Content::Presence(Vec::new()), ..entry(2, &[]) };
        let mut packed = Packed::one(&entry(1, &["a", "b"]));
        packed.append(&Packed::one(&presence));
        assert_eq!(conflate(&packed, "#{message.name}", 100).unwrap(), packed);
        packed.append(&Packed::one(&entry(3, &["a", "b"])));
        let left = conflate(&packed, "#{message.name}", 100).unwrap().entries().unwrap();
        assert_eq!(left, [presence, entry(3, &["a", "b"])]);
    }

    fn says(key: &str, message: Value) -> Option<String> {
        let text = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_owned);
        let extras = message.get("extras").and_then(Value::as_object).cloned();
        said(key, &Message { name: text("name"), client_id: text("clientId"), extras, ..Message::default() })
    }

    #[test]
    fn messages_are_of_one_key_when_they_say_the_same_in_each_place() {
        let market = "odds of #{ message.extras.headers['market'] }";
        let of = |market: Value| json!({"name": "n", "extras": {"headers": {"market": market, "x": 1}}});
        assert!(says(market, of(json!("A"))).is_some());
        assert_eq!(says(market, of(json!("A"))), says(market, of(json!("A"))));
        assert_ne!(says(market, of(json!("A"))), says(market, of(json!("B"))));
        assert_ne!(says(market, of(json!(1))), says(market, of(json!("1"))));
        for nothing in [of(Value::Null), json!({"extras": {"headers": {}}}), json!({"extras": {}}), json!({})] {
            assert_eq!(says(market, nothing), None);
        }
        let both = "#{message.name}-#{message.clientId}";
        assert_ne!(
            says(both, json!({"name": "a-b", "clientId": "c"})),
            says(both, json!({"name": "a", "clientId": "b-c"}))
        );
        assert_eq!(says(both, json!({"name": "a"})), None);
        assert_eq!(says("all", json!({})), says("all", json!({"name": "a"})), "a key without a place is that of all");
    }

    #[test]
    fn keys_that_are_not_understood_are_refused() {
        for key in [
            "all",
            "#{message.name}",
            "a#{message.clientId}b#{ message.extras.headers['x y'] }",
            "a}b#c",
            "##{message.name}#",
        ] {
            assert!(check_key(key).is_ok(), "{key}");
        }
        for key in [
            "",
            "#{",
            "#{message.name",
            "#{message.data}",
            "#{message.id}",
            "#{channelName}",
            "#{message.name | hash}",
            "#{message.extras.headers[x]}",
            "#{#{message.name}}",
            &"x".repeat(CONFLATION_KEY_MAX_BYTES + 1),
        ] {
            assert!(check_key(key).unwrap_err().is(Code::BadRequest), "{key}");
        }
    }

    #[test]
    fn what_is_left_of_a_publish_is_pinned() {
        let mut left = entry(1, &["a", "b"]);
        keep(&mut left, &mut |message| message.name.as_deref() == Some("b"));
        assert_eq!(pinned::encode(&left), b"\x04\xe8\x07\x01p\x00\x02\x01\x01\x01\x00\x01\x01b\x00\x00\x00\x00");
    }
}
