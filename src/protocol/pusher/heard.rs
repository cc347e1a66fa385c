//! What clients of Pusher say: to subscribe, to sign in, client events.

use serde_json::{Map, Value, json};

use super::{Joining, Newcomer, Pusher, channel_of, words};
use crate::auth::{Operations, Signed};
use crate::error::{Code, ErrorInfo};
use crate::limits::{CLIENT_ID_MAX_BYTES, FRAME_MAX_BYTES};
use crate::model::data::{Data, Payload};
use crate::model::flags::Modes;
use crate::model::message::Params;
use crate::model::name::ChannelName;
use crate::model::node;
use crate::model::presence::{PresenceAction, is_of_users};
use crate::protocol::door::{Heard, Setting};
use crate::protocol::inbound::{Inbound, InboundMessage, PublishFrame};

type Fields = Map<String, Value>;

/// Of what is wrong the client is told, and goes on.
pub fn hear(pusher: &mut Pusher, bytes: &[u8], setting: Setting<'_>) -> Vec<Heard> {
    pusher.memory = setting.memory.clone();
    let heard = read(bytes).and_then(|(event, fields)| match &*event {
        "pusher:ping" => Ok(vec![Heard::Say(words::own("pusher:pong", None, &json!({})))]),
        "pusher:pong" => Ok(Vec::new()),
        "pusher:subscribe" => Ok(subscribe(pusher, &data_of(&fields)?, setting)),
        "pusher:unsubscribe" => unsubscribe(pusher, &data_of(&fields)?),
        "pusher:signin" => sign_in(pusher, &data_of(&fields)?, setting),
        _ if event.starts_with("client-") => client_event(pusher, event, fields, setting),
        _ => Err(Code::BadRequest.because("a client sends events whose names begin with 'client-' or 'pusher:'")),
    });
    heard.unwrap_or_else(|error| vec![Heard::Say(words::error(&error, words::refusal_code(&error)))])
}

/// Fails with 40009 for a frame that is too large, and with 40001 for one that is no event.
fn read(bytes: &[u8]) -> Result<(String, Fields), ErrorInfo> {
    if bytes.len() > FRAME_MAX_BYTES {
        return Err(Code::TooLarge.because(format!("a frame has at most {FRAME_MAX_BYTES} bytes")));
    }
    let Some(mut fields) = node::object_of(bytes) else {
        return Err(Code::BadBody.because("a frame must be a JSON object"));
    };
    match fields.remove("event") {
        Some(Value::String(event)) => Ok((event, fields)),
        _ => Err(Code::BadBody.because("'event' must be a text")),
    }
}

/// An object, or the text of one.
fn data_of(fields: &Fields) -> Result<Fields, ErrorInfo> {
    let read = match fields.get("data") {
        Some(Value::Object(data)) => Some(data.clone()),
        Some(Value::String(text)) => node::object_of(text.as_bytes()),
        _ => None,
    };
    read.ok_or_else(|| Code::BadBody.because("'data' must be a JSON object"))
}

fn text<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, ErrorInfo> {
    let text = fields.get(name).and_then(Value::as_str);
    text.ok_or_else(|| Code::BadBody.because(["'", name, "' must be a text"].concat()))
}

/// Whether a subscriber gets the last event.
pub fn is_cached(channel: &str) -> bool {
    ["cache-", "private-cache-", "private-encrypted-cache-", "presence-cache-"]
        .iter()
        .any(|prefix| channel.starts_with(prefix))
}

fn is_private(channel: &str) -> bool {
    channel.starts_with("private-")
}

/// What is wrong is said of the channel.
fn subscribe(pusher: &mut Pusher, data: &Fields, setting: Setting<'_>) -> Vec<Heard> {
    let channel = match text(data, "channel") {
        Ok(channel) => channel,
        Err(error) => return vec![Heard::Say(words::error(&error, 4009))],
    };
    match admit(pusher, channel, data, setting) {
        Ok(attach) => {
            let user = pusher.users.get(channel).cloned().map(Heard::User);
            user.into_iter().chain([Heard::Do(attach)]).collect()
        }
        Err(error) => vec![Heard::Say(words::no_subscription(channel, &error))],
    }
}

/// Fails with 40010 for a name that no channel has, 40101 for a wrong signature, 40160 where the key's capability does
/// not allow it, and 40000 for a second subscription.
fn admit(pusher: &mut Pusher, channel: &str, data: &Fields, setting: Setting<'_>) -> Result<Inbound, ErrorInfo> {
    let name = ChannelName::parse(channel)?;
    if name.plain() != channel || !name.is_of_clients() {
        return Err(Code::BadChannelName.because("a channel of this door has no qualifier in brackets"));
    }
    if pusher.awaited.contains(channel) || pusher.users.contains_key(channel) {
        return Err(Code::BadRequest.because("this connection is subscribed already"));
    }
    let mut modes = Modes::SUBSCRIBE;
    let mut newcomer = None;
    if is_of_users(&name) {
        modes = modes.union(Modes::PUBLISH).union(Modes::PRESENCE).union(Modes::PRESENCE_SUBSCRIBE);
        newcomer = Some(who_comes(channel, data, setting)?);
    } else if is_private(channel) {
        modes = modes.union(Modes::PUBLISH);
        check(data, setting, Signed::Channel { channel, channel_data: None })?;
    } else if channel.starts_with("#server-to-user-")
        && pusher.user.as_deref().map(channel_of).as_deref() != Some(channel)
    {
        return Err(Code::NotPermitted.because("only who signed in as this user hears what servers tell it"));
    }
    let is_let_in = newcomer.is_none() || setting.grant.permits(&name, Operations::PRESENCE);
    if !is_let_in || !setting.grant.permits(&name, Operations::SUBSCRIBE) {
        return Err(Code::NotPermitted.because("the key's capability does not allow to subscribe to this channel"));
    }
    pusher.awaited.insert(channel.to_owned());
    if let Some(newcomer) = newcomer {
        pusher.users.insert(channel.to_owned(), newcomer.enters.client_id.clone().unwrap_or_default());
        pusher.joining.insert(channel.to_owned(), Joining::new(setting.memory, Some(newcomer)));
    }
    Ok(attach(channel, modes))
}

fn attach(channel: &str, modes: Modes) -> Inbound {
    let mut params = Params::default();
    if is_cached(channel) {
        params.insert("rewind".to_owned(), "1".to_owned());
    }
    Inbound::Attach { channel: channel.to_owned(), serial: None, flags: modes.bits(), params }
}

fn check(data: &Fields, setting: Setting<'_>, signed: Signed<'_>) -> Result<(), ErrorInfo> {
    let Some(key) = setting.app.key(&setting.grant.key_name) else { return Err(Code::BadCredentials.into()) };
    let auth = data.get("auth").and_then(Value::as_str);
    let auth = auth.ok_or_else(|| Code::NoCredentials.because("'auth' is missing: a server must sign this"))?;
    key.check_for_pusher(auth, setting.connection_id, signed)
}

/// Who joins a presence channel, as a server signed it.
fn who_comes(channel: &str, data: &Fields, setting: Setting<'_>) -> Result<Newcomer, ErrorInfo> {
    let channel_data = text(data, "channel_data")?;
    check(data, setting, Signed::Channel { channel, channel_data: Some(channel_data) })?;
    let wrong = || Code::BadBody.because("'channel_data' must be the text of a JSON object with a 'user_id'");
    let said = node::object_of(channel_data.as_bytes()).ok_or_else(wrong)?;
    let user = user_of(said.get("user_id"))?;
    let info = said.get("user_info").filter(|info| !info.is_null());
    let enters = InboundMessage {
        action: Some(PresenceAction::Enter.number().into()),
        client_id: Some(user),
        data: info.map_or_else(Payload::default, |info| payload(info.clone())),
        ..InboundMessage::default()
    };
    let connection_id = setting.connection_id.to_owned();
    Ok(Newcomer { connection_id, enters, entering: None, is_in: false, now_ms: setting.now_ms })
}

/// The id of a user: a text, or a number.
fn user_of(id: Option<&Value>) -> Result<String, ErrorInfo> {
    let id = match id {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => return Err(Code::BadClientId.because("a user's id must be a text or a number")),
    };
    if id.is_empty() || id == "*" || id.len() > CLIENT_ID_MAX_BYTES || id.contains(char::is_control) {
        let why = format!("a user's id has 1 to {CLIENT_ID_MAX_BYTES} bytes, no control characters, and is not '*'");
        return Err(Code::BadClientId.because(why));
    }
    Ok(id)
}

fn unsubscribe(pusher: &mut Pusher, data: &Fields) -> Result<Vec<Heard>, ErrorInfo> {
    let channel = text(data, "channel")?;
    pusher.leave(channel);
    Ok(vec![Heard::Do(Inbound::Detach { channel: channel.to_owned() })])
}

/// Fails with 40101 for a wrong signature, with 40001 and 40012 for a user who is none, and with 40000 when the
/// connection is another user's.
fn sign_in(pusher: &mut Pusher, data: &Fields, setting: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo> {
    let user_data = text(data, "user_data")?;
    check(data, setting, Signed::User { user_data })?;
    let said = node::object_of(user_data.as_bytes())
        .ok_or_else(|| Code::BadBody.because("'user_data' must be the text of a JSON object with an 'id'"))?;
    let user = user_of(said.get("id"))?;
    if pusher.user.as_ref().is_some_and(|known| *known != user) {
        return Err(Code::BadRequest.because("this connection is signed in as another user"));
    }
    let channel = channel_of(&user);
    pusher.user = Some(user.clone());
    let mut heard = vec![
        Heard::User(user),
        Heard::Say(words::own("pusher:signin_success", None, &json!({ "user_data": user_data }))),
        Heard::Do(attach(&channel, Modes::SUBSCRIBE)),
    ];
    if said.get("watchlist").and_then(Value::as_array).is_some_and(|watchlist| !watchlist.is_empty()) {
        let error = Code::BadRequest.because("there are no watchlists here; use a presence channel");
        heard.push(Heard::Say(words::error(&error, 4302)));
    }
    Ok(heard)
}

/// To the others on a private or presence channel that the connection is subscribed to: who is not was never allowed
/// to be. Fails with 40010, 40160, and 40001 when that is not what it says.
fn client_event(
    pusher: &mut Pusher,
    event: String,
    mut fields: Fields,
    setting: Setting<'_>,
) -> Result<Vec<Heard>, ErrorInfo> {
    let channel = text(&fields, "channel")?.to_owned();
    let name = ChannelName::parse(&channel)?;
    let is_encrypted = channel.starts_with("private-encrypted-");
    if is_encrypted || !(is_private(&channel) || is_of_users(&name)) {
        return Err(Code::NotPermitted.because("client events go to private and presence channels alone"));
    }
    if !(setting.is_attached)(&name) {
        return Err(Code::NotPermitted.because("client events go to channels that one is subscribed to"));
    }
    let message = InboundMessage {
        name: Some(event),
        data: fields.remove("data").map_or_else(Payload::default, payload),
        client_id: pusher.users.get(channel.as_str()).cloned(),
        ..InboundMessage::default()
    };
    let msg_serial = pusher.next_serial(setting.now_ms);
    let frame = PublishFrame { channel, msg_serial, messages: vec![message], params: Params::default() };
    Ok(vec![Heard::Do(Inbound::Publish(frame))])
}

/// Data as all who read the channel get it: objects and arrays as JSON, also where they come as their text; everything
/// else as a text.
pub fn payload(data: Value) -> Payload {
    match data {
        Value::Null => Payload::default(),
        Value::Object(_) | Value::Array(_) => Payload::Structured(data.to_string()),
        Value::String(text) if is_structured(&text) => Payload::Structured(text),
        Value::String(text) => Payload::Plain(Data::Text(text)),
        Value::Bool(_) | Value::Number(_) => Payload::Plain(Data::Text(data.to_string())),
    }
}

fn is_structured(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
        && node::value_of(text.as_bytes()).is_ok_and(|value| value.is_object() || value.is_array())
}
