//! What clients of Pusher get: one event in each frame, whose data is JSON in a text.

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Code, ErrorInfo};
use crate::model::name::ChannelName;
use crate::model::node;
use crate::model::presence::{ELSEWHERE, PresenceAction, is_of_users};
use crate::model::revision::{CREATED, UPDATED};
use crate::protocol::outbound::{Outbound, OutboundMessage, OutboundPresence};
use crate::protocol::{Encoded, action, to_json};

#[derive(Serialize)]
struct Event<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
}

/// An event of the protocol's own.
pub fn own(event: &str, channel: Option<&str>, data: &Value) -> Encoded {
    Encoded::Text(to_json(&Event { event, channel, data: &data.to_string(), user_id: None }))
}

pub fn cache_miss(channel: &str) -> Encoded {
    own("pusher:cache_miss", Some(channel), &json!({}))
}

/// What went wrong, as data and not as a text, with one of Pusher's numbers.
pub fn error(error: &ErrorInfo, code: u16) -> Encoded {
    let data = json!({ "code": code, "message": said(error) });
    Encoded::Text(json!({ "event": "pusher:error", "data": data }).to_string())
}

/// Why there is no subscription.
pub fn no_subscription(channel: &str, error: &ErrorInfo) -> Encoded {
    let kind = if matches!(error.status_code, 401 | 403) { "AuthError" } else { "SubscriptionError" };
    let data = json!({ "type": kind, "error": said(error), "status": error.status_code });
    Encoded::Text(json!({ "event": "pusher:subscription_error", "channel": channel, "data": data }).to_string())
}

/// With our code, by which docs/errors.md has the cause and the cure.
fn said(error: &ErrorInfo) -> String {
    format!("{} ({})", error.message, error.code)
}

/// How a connection ends: from 4000 on the client gives up, from 4100 on it comes back after a while, and from 4200 on
/// at once (protocol.md § 26.2).
pub fn closing_code(error: &ErrorInfo) -> u16 {
    const CODES: [(Code, u16); 6] = [
        (Code::TlsRequired, 4000),
        (Code::BadCredentials, 4001),
        (Code::NotFound, 4001),
        (Code::BadParameter, 4007),
        (Code::BadParameterName, 4006),
        (Code::Disconnected, 4200),
    ];
    match CODES.into_iter().find(|(code, _)| error.is(*code)) {
        Some((_, code)) => code,
        None if error.status_code == 429 || error.status_code == 503 => 4100,
        None if error.status_code >= 500 => 4200,
        None => 4009,
    }
}

/// The same for something that is refused while the connection goes on.
pub fn refusal_code(error: &ErrorInfo) -> u16 {
    if error.status_code == 429 { 4301 } else { 4009 }
}

/// What all readers are told.
pub fn encode(frame: &Outbound<'_>) -> Encoded {
    let channel = frame.channel.unwrap_or_default();
    match frame.action {
        action::MESSAGE => {
            Encoded::Several(frame.messages.iter().flatten().filter_map(|message| event(channel, message)).collect())
        }
        action::PRESENCE => {
            Encoded::Several(frame.presence.iter().flatten().filter_map(|event| coming(channel, event)).collect())
        }
        action::PING | action::HEARTBEAT => own("pusher:ping", None, &json!({})),
        _ => Encoded::NOTHING,
    }
}

/// The last event of a channel as it is now, or that there is none.
pub fn last(channel: &str, frame: &Outbound<'_>) -> Encoded {
    let is_there = |message: &&OutboundMessage<'_>| [CREATED, UPDATED].contains(&message.action);
    let messages = frame.messages.iter().flatten().filter(is_there);
    let events: Vec<Encoded> = messages.filter_map(|message| event_of(channel, message)).collect();
    if events.is_empty() { cache_miss(channel) } else { Encoded::Several(events) }
}

/// A message as it was published. Nothing is said of what changes it later.
fn event(channel: &str, message: &OutboundMessage<'_>) -> Option<Encoded> {
    (message.action == CREATED).then(|| event_of(channel, message)).flatten()
}

/// Nothing is said in the name of the protocol itself.
fn event_of(channel: &str, message: &OutboundMessage<'_>) -> Option<Encoded> {
    let event = message.name.unwrap_or("message");
    if is_reserved(event) {
        return None;
    }
    let is_of_users = ChannelName::parse(channel).is_ok_and(|channel| is_of_users(&channel));
    let user_id = message.client_id.filter(|_| is_of_users);
    Some(Encoded::Text(to_json(&Event { event, channel: Some(channel), data: message.data.text(), user_id })))
}

/// Whether only the protocol itself may use that name.
pub fn is_reserved(event: &str) -> bool {
    event.starts_with("pusher:") || event.starts_with("pusher_internal:")
}

/// Somebody who comes or goes, unless they are there by another connection too.
pub fn coming(channel: &str, event: &OutboundPresence<'_>) -> Option<Encoded> {
    const ENTER: u8 = PresenceAction::Enter.number();
    const LEAVE: u8 = PresenceAction::Leave.number();
    let name = match event.action {
        ENTER => "pusher_internal:member_added",
        LEAVE => "pusher_internal:member_removed",
        _ => return None,
    };
    if event.extras.is_some_and(|extras| extras.contains_key(ELSEWHERE)) {
        return None;
    }
    let mut data = json!({ "user_id": event.client_id });
    if event.action == ENTER {
        data["user_info"] = info(event);
    }
    Some(own(name, Some(channel), &data))
}

/// What a member says of itself: JSON where it is, else a text.
pub fn info(event: &OutboundPresence<'_>) -> Value {
    let text = event.data.text();
    if text.is_empty() { Value::Null } else { node::value_of(text.as_bytes()).unwrap_or_else(|_| text.into()) }
}
