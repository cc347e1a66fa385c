//! Operations on messages are checked (protocol.md § 18): what can be told without the message. Its channel, which has
//! it, checks the rest and does it.

use serde_json::Value;

use crate::auth::{Identity, Operations};
use crate::error::{Code, ErrorInfo};
use crate::intake::publish::{check_encoding, check_extras, check_name};
use crate::limits::{MESSAGE_MAX_BYTES, OPERATION_MAX_BYTES};
use crate::model::message::{Params, USER_CLAIM};
use crate::model::operation::{Operation, Patch, Reach};
use crate::model::revision::Act;
use crate::protocol::inbound::InboundMessage;
use crate::protocol::stated::object;

/// Who does it.
pub struct By<'a> {
    pub identity: &'a Identity,
    /// What the token says of the client there.
    pub claim: Option<&'a Value>,
    pub allowed: Operations,
}

/// Checks the messages of one publish of which some is an operation: it must be the only one.
///
/// Fails with 93002 where the channel's messages cannot be changed (`mutable`), 40000 (several, or an action that is
/// the server's), 40003 (no serial), 40006 (on behalf of a connection), 40009 (too large), 40012 (clientId), 40013
/// (data), 40030 (a name that is the server's), 40032 (extras), 40160 and 40166 (not permitted), and with 40099 when
/// `_forceNack` asks for it.
pub fn check(
    messages: Vec<InboundMessage>,
    params: &Params,
    by: By<'_>,
    mutable: bool,
) -> Result<Operation, ErrorInfo> {
    if params.get("_forceNack").is_some_and(|value| value == "true") {
        return Err(Code::ForcedNack.into());
    }
    if !mutable {
        return Err(Code::UpdatesNotEnabled
            .because("messages can be updated, deleted and appended to in namespaces with mutableMessages only"));
    }
    let mut messages = messages.into_iter();
    let (Some(message), None) = (messages.next(), messages.next()) else {
        return Err(Code::BadRequest.because("an update, deletion or append goes alone, not beside other messages"));
    };
    if message.connection_key.is_some() {
        return Err(Code::BadConnectionKey.because("messages are not changed on behalf of a connection"));
    }
    let act = message.action.and_then(Act::of_number).ok_or_else(|| {
        Code::BadRequest.because("a client may create (0), update (1), delete (2) and append (5), and nothing else")
    })?;
    let reach = reach(act, by.identity, by.allowed)?;
    let operation = read(message, act, &by, reach)?;
    check_size(&operation)?;
    Ok(operation)
}

/// Fails with 40160 when the capability allows none, and with 40166 when it allows those of the client itself, which
/// has no name.
fn reach(act: Act, identity: &Identity, allowed: Operations) -> Result<Reach, ErrorInfo> {
    let (any, own, what) = match act {
        Act::Update => (Operations::MESSAGE_UPDATE_ANY, Operations::MESSAGE_UPDATE_OWN, "update"),
        Act::Append => (Operations::MESSAGE_UPDATE_ANY, Operations::MESSAGE_UPDATE_OWN, "append to"),
        Act::Delete => (Operations::MESSAGE_DELETE_ANY, Operations::MESSAGE_DELETE_OWN, "delete"),
    };
    match identity.name() {
        _ if allowed.contains(any) => Ok(Reach::Any),
        _ if !allowed.contains(own) => {
            Err(Code::NotPermitted.because(format!("the capability does not allow to {what} messages on this channel")))
        }
        Some(name) => Ok(Reach::Of(name.to_owned())),
        None => Err(Code::NotTheAuthor.into()),
    }
}

fn read(message: InboundMessage, act: Act, by: &By<'_>, reach: Reach) -> Result<Operation, ErrorInfo> {
    let missing = || Code::BadParameter.because("an update, deletion or append needs the serial of its message");
    let serial = message.serial.filter(|serial| !serial.is_empty()).ok_or_else(missing)?;
    check_name(message.name.as_deref())?;
    check_encoding(message.encoding.as_deref())?;
    let (data, encoding) = message.data.normalize(message.encoding)?;
    let mut extras = message.extras.map(object).transpose()?;
    if let Some(extras) = &mut extras {
        if extras.contains_key("ephemeral") {
            return Err(Code::BadExtras.because("a message that is ephemeral is not kept, and cannot be changed"));
        }
        check_extras(extras)?;
        // It is what the token of whoever gives the message these extras says, whatever the message had.
        extras.remove(USER_CLAIM);
        extras.extend(by.claim.map(|claim| (USER_CLAIM.to_owned(), claim.clone())));
    }
    Ok(Operation {
        act,
        serial,
        patch: Patch { name: message.name, data, encoding, extras },
        client_id: by.identity.for_message(message.version.client_id.as_deref())?,
        description: message.version.description,
        metadata: message.version.metadata,
        reach,
    })
}

fn check_size(operation: &Operation) -> Result<(), ErrorInfo> {
    if operation.stated_bytes() > OPERATION_MAX_BYTES {
        let why = format!("description and metadata have at most {OPERATION_MAX_BYTES} bytes together");
        return Err(Code::TooLarge.because(why));
    }
    match operation.patch.data.len() > MESSAGE_MAX_BYTES {
        true => Err(Code::TooLarge.because(format!("a message has at most {MESSAGE_MAX_BYTES} bytes"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::Params;
    use serde_json::json;

    #[test]
    fn what_a_message_may_not_hold_no_change_of_it_may() {
        let update = |fields: serde_json::Value| {
            let (name, extras) = (fields["name"].as_str().map(str::to_owned), fields.get("extras").cloned());
            let serial = Some("00000000000009-000@life:000".to_owned());
            let message = InboundMessage { action: Some(1), serial, name, extras, ..InboundMessage::default() };
            let by = By { identity: &Identity::Anonymous, claim: None, allowed: Operations::ALL };
            let checked = check(vec![message], &Params::default(), by, true);
            checked.map_or_else(|error| error.code, |_| 0)
        };
        assert_eq!(update(json!({"extras": {"headers": {"a": 1}, "delta": {"from": "x"}}})), 0);
        assert_eq!(update(json!({"extras": {"headers": "a"}})), Code::BadExtras.number());
        assert_eq!(update(json!({"extras": {"ephemeral": true}})), Code::BadExtras.number());
        assert_eq!(update(json!({"name": "[meta]occupancy"})), Code::BadPublish.number());
    }
}
