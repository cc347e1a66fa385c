//! What clients publish, as often as they have to: its tag says in every copy what it is.

use serde_json::{Value, json};

use super::frames::action;
use super::ledger::text_of;

/// What is published, and sent again, until its fate is known.
#[derive(Clone, Debug)]
pub struct Publish {
    pub name: String,
    pub channel: usize,
    pub tag: String,
    pub messages: usize,
    pub own_id: bool,
    /// A presence event instead of messages.
    pub act: Option<Act>,
    /// What is no message of its own, as a frame but for its number.
    pub change: Option<Value>,
}

#[derive(Clone, Debug)]
pub struct Act {
    pub action: u8,
    pub client_id: String,
    /// By what the server may know that it is there.
    pub known: Option<String>,
}

pub fn message(publish: &Publish, serial: u64) -> Value {
    if let Some(act) = &publish.act {
        let mut event = json!({"action": act.action, "clientId": act.client_id, "data": publish.tag});
        if let Some(known) = &act.known {
            event["id"] = json!(known);
        }
        let name = &publish.name;
        return json!({"action": action::PRESENCE, "channel": name, "msgSerial": serial, "presence": [event]});
    }
    if let Some(change) = &publish.change {
        let mut frame = change.clone();
        (frame["channel"], frame["msgSerial"]) = (json!(publish.name), json!(serial));
        return frame;
    }
    let one = |index: usize| {
        let mut message = json!({"data": text_of(&publish.tag, index), "action": 0});
        if let Some(name) = name_of(&publish.tag, index) {
            message["name"] = json!(name);
        }
        if index == 0 && has_push(&publish.tag) {
            message["extras"] = json!({"push": {"data": {"tag": publish.tag}}});
        }
        if publish.own_id {
            let base = &publish.tag;
            message["id"] = if publish.messages == 1 { json!(base) } else { json!(format!("{base}:{index}")) };
        }
        message
    };
    let messages: Vec<Value> = (0..publish.messages).map(one).collect();
    json!({"action": action::MESSAGE, "channel": publish.name, "msgSerial": serial, "messages": messages})
}

/// Whether a publish is pushed to devices.
fn has_push(tag: &str) -> bool {
    tag.bytes().map(usize::from).sum::<usize>().is_multiple_of(3)
}

/// One of three names, or none. Of three messages of a publish two have one.
fn name_of(tag: &str, index: usize) -> Option<&'static str> {
    let number: usize = tag.bytes().map(usize::from).sum();
    ["a", "b", "c"].get((number + index / 2) % 4).copied()
}
