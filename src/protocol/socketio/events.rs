//! A channel's messages as events.
//!
//! Behind its arguments an event has its offset, which its client comes back with: the channel's serial behind a whole
//! publish, and the message's own in the middle of one. What is said of a message that was published before is an event
//! of the server's: `[meta]message.update`, `[meta]message.delete` or `[meta]message.summary`, with the message as an
//! object. A message that changed while its reader was away is told as it is now, and not at all if it was deleted.

use serde_json::Value;

use super::super::outbound::{META, Outbound, OutboundData, OutboundMessage, SUMMARY};
use super::{arguments, packet};
use crate::model::data::to_base64;
use crate::model::revision::Shape;
use crate::protocol::Encoded;

/// What a MESSAGE frame says, but for what its reader has already: of one publish, all up to a message.
pub fn events(frame: &Outbound<'_>, has: Option<&str>) -> Encoded {
    let namespace = packet::namespace(frame.channel.unwrap_or_default());
    let epoch = frame.channel_serial.and_then(|serial| serial.split_once('@')).map_or("", |(_, epoch)| epoch);
    let messages = frame.messages.as_deref().unwrap_or_default();
    let mut said = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let goes_on = messages.get(index + 1).is_some_and(|next| next.at == message.at);
        if has.is_some_and(|has| is_had(message, epoch, has)) {
            continue;
        }
        match event(&namespace, message, epoch, goes_on) {
            Encoded::Several(frames) => said.extend(frames),
            frame => said.push(frame),
        }
    }
    Encoded::Several(said)
}

/// Whether a message is of the publish that `has` lies in, and not behind it. What changes one of that publish later
/// is not.
fn is_had(message: &OutboundMessage<'_>, epoch: &str, has: &str) -> bool {
    has.starts_with(&message.at.serial(epoch)) && !is_of_before(message, epoch) && *message.serial <= *has
}

/// Whether it says something of a message that was published before.
fn is_of_before(message: &OutboundMessage<'_>, epoch: &str) -> bool {
    !message.serial.starts_with(&message.at.serial(epoch))
}

fn event(namespace: &str, message: &OutboundMessage<'_>, epoch: &str, goes_on: bool) -> Encoded {
    if message.action == META {
        return arguments::event(namespace, message, None);
    }
    let whole = message.at.serial(epoch);
    let is_of_before = is_of_before(message, epoch);
    let offset = if goes_on { &message.serial } else { &whole };
    let change = match message.action {
        SUMMARY => "message.summary",
        action if action == Shape::Deleted.action() && !is_of_before => return Encoded::NOTHING,
        _ if !is_of_before => return arguments::event(namespace, message, Some(offset)),
        action if action == Shape::Deleted.action() => "message.delete",
        _ => "message.update",
    };
    arguments::own(namespace, change, json_of(message), Some(&whole))
}

/// A message as REST has it in JSON.
fn json_of(message: &OutboundMessage<'_>) -> String {
    let mut value = serde_json::to_value(message).unwrap_or_default();
    if let OutboundData::Bytes(bytes) = &message.data {
        let (text, encoding) = to_base64(bytes, message.encoding.as_deref());
        (value["data"], value["encoding"]) = (Value::String(text), Value::String(encoding));
    }
    value.to_string()
}
