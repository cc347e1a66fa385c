//! What clients publish, as often as they have to: its tag says in every copy what it is.

use serde_json::{Value, json};

use super::frames::action;

/// What is published, and sent again, until its fate is known.
#[derive(Clone, Debug)]
pub struct Publish {
    pub name: String,
    pub channel: usize,
    pub tag: String,
    pub messages: usize,
    pub own_id: bool,
}

pub fn message(publish: &Publish, serial: u64) -> Value {
    let one = |index: usize| {
        let mut message = json!({"name": "m", "data": format!("{}/{index}", publish.tag), "action": 0});
        if publish.own_id {
            let base = &publish.tag;
            message["id"] = if publish.messages == 1 { json!(base) } else { json!(format!("{base}:{index}")) };
        }
        message
    };
    let messages: Vec<Value> = (0..publish.messages).map(one).collect();
    json!({"action": action::MESSAGE, "channel": publish.name, "msgSerial": serial, "messages": messages})
}
