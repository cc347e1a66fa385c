//! What a presence event must be that a client sends: identity, action, sizes, id (protocol.md § 10).

use serde_json::Value;

use crate::auth::Identity;
use crate::error::{Code, ErrorInfo};
use crate::intake::publish::{check_encoding, set_claim};
use crate::limits::PUBLISH_MAX_MESSAGES;
use crate::model::presence::{PresenceAction, PresenceMessage, Turn};
use crate::model::size::Size;
use crate::protocol::inbound::InboundMessage;
use crate::protocol::stated::object;
use crate::rpc::PresenceUpdate;

/// The action by which clients enter.
pub const ENTER: u64 = PresenceAction::Enter.number() as u64;

/// The events of one frame that may go to their channel.
///
/// Fails with 40000 (no events, or an action that no client takes), 40034 (too many), 40009 (too large), 91000 (nobody
/// is named), 40012 (clientId), 40013 (data), 40032 (extras).
pub fn check(
    events: Vec<InboundMessage>,
    identity: &Identity,
    claim: Option<&Value>,
    connection_id: &str,
    msg_serial: u64,
) -> Result<Vec<PresenceUpdate>, ErrorInfo> {
    if events.is_empty() {
        return Err(Code::BadRequest.because("a presence frame needs an event"));
    }
    if events.len() > PUBLISH_MAX_MESSAGES {
        return Err(Code::TooManyMessages.because(format!("a frame has at most {PUBLISH_MAX_MESSAGES} events")));
    }
    let update = |(index, event)| update(event, identity, connection_id, Turn { msg_serial, index });
    let mut updates = (0..).zip(events).map(update).collect::<Result<Vec<_>, _>>()?;
    updates.iter_mut().try_for_each(|update| set_claim(&mut update.event.extras, claim))?;
    updates.iter().map(|update| update.event.measured()).sum::<Size>().check()?;
    Ok(updates)
}

fn update(
    event: InboundMessage,
    identity: &Identity,
    connection_id: &str,
    turn: Turn,
) -> Result<PresenceUpdate, ErrorInfo> {
    check_encoding(event.encoding.as_deref())?;
    let client_id = identity.for_message(event.client_id.as_deref())?.ok_or(Code::NoClientId)?;
    let action = action(event.action)?;
    // A client that enters again may say by which event it is in the set already. Many SDKs say so even when it was by
    // another connection: then it enters anew.
    let id = event.id.as_deref().filter(|_| action == PresenceAction::Enter);
    let known = id.and_then(|id| Turn::parse(id, connection_id));
    let (data, encoding) = event.data.normalize(event.encoding)?;
    let event = PresenceMessage {
        action,
        id: format!("{connection_id}:{}:{}", turn.msg_serial, turn.index),
        connection_id: connection_id.to_owned(),
        client_id,
        data,
        encoding,
        extras: event.extras.map(object).transpose()?,
    };
    Ok(PresenceUpdate { event, known })
}

fn action(number: Option<u64>) -> Result<PresenceAction, ErrorInfo> {
    match number {
        Some(ENTER) => Ok(PresenceAction::Enter),
        Some(3) => Ok(PresenceAction::Leave),
        Some(4) => Ok(PresenceAction::Update),
        _ => Err(Code::BadRequest.because("a presence event enters (2), leaves (3) or updates (4)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MESSAGE_MAX_BYTES;
    use crate::model::data::{Data, Payload};

    fn enter(client_id: Option<&str>) -> InboundMessage {
        InboundMessage { action: Some(2), client_id: client_id.map(str::to_owned), ..InboundMessage::default() }
    }

    fn checked(event: InboundMessage, identity: &Identity) -> Result<PresenceUpdate, ErrorInfo> {
        check(vec![event], identity, None, "conn", 7).map(|mut updates| updates.remove(0))
    }

    #[test]
    fn events_say_who_did_it() {
        let named = Identity::Named("bob".into());
        assert_eq!(checked(enter(None), &named).unwrap().event.id, "conn:7:0");
        assert_eq!(checked(enter(None), &named).unwrap().event.client_id, "bob");
        assert_eq!(checked(enter(Some("eve")), &Identity::Wildcard).unwrap().event.client_id, "eve");
        for identity in [Identity::Anonymous, Identity::Wildcard] {
            assert!(checked(enter(None), &identity).unwrap_err().is(Code::NoClientId));
        }
        for (claimed, identity) in [
            ("*", Identity::Wildcard),
            ("", Identity::Wildcard),
            ("eve", named),
            ("bob", Identity::Anonymous),
            (&"x".repeat(256), Identity::Wildcard),
        ] {
            assert!(checked(enter(Some(claimed)), &identity).unwrap_err().is(Code::BadClientId), "{claimed}");
        }
    }

    #[test]
    fn ids_are_the_connections_own() {
        let with_id = |id: &str| InboundMessage { id: Some(id.to_owned()), ..enter(Some("bob")) };
        let known = checked(with_id("conn:3:1"), &Identity::Wildcard).unwrap().known;
        assert_eq!(known, Some(Turn { msg_serial: 3, index: 1 }));
        for id in ["other:3:1", "conn", "conn:3", "connx:3:1", ""] {
            assert_eq!(checked(with_id(id), &Identity::Wildcard).unwrap().known, None, "{id}");
        }
    }

    #[test]
    fn what_events_hold_is_bounded() {
        let with_data = |data| InboundMessage { data, ..enter(Some("b")) };
        let text = |bytes: usize| Payload::Plain(Data::Text("x".repeat(bytes)));
        assert!(checked(with_data(text(MESSAGE_MAX_BYTES)), &Identity::Wildcard).is_ok());
        assert!(checked(with_data(text(MESSAGE_MAX_BYTES + 1)), &Identity::Wildcard).unwrap_err().is(Code::TooLarge));
        assert!(checked(with_data(Payload::Scalar), &Identity::Wildcard).unwrap_err().is(Code::BadData));
        let extras = InboundMessage { extras: Some(serde_json::json!([])), ..enter(Some("b")) };
        assert!(checked(extras, &Identity::Wildcard).unwrap_err().is(Code::BadExtras));
        let many = check(vec![enter(Some("b")); PUBLISH_MAX_MESSAGES + 1], &Identity::Wildcard, None, "c", 0);
        assert!(many.unwrap_err().is(Code::TooManyMessages));
        for action in [None, Some(0), Some(1), Some(5)] {
            let event = InboundMessage { action, ..enter(Some("b")) };
            assert!(checked(event, &Identity::Wildcard).unwrap_err().is(Code::BadRequest));
        }
        assert!(check(vec![], &Identity::Wildcard, None, "c", 0).unwrap_err().is(Code::BadRequest));
    }
}
