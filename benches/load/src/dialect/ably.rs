//! The Ably realtime protocol, version 6, as its SDKs speak it: one protocol message per frame, as JSON text or as
//! binary MessagePack. Only the fields that the generator uses are read.

use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Message;

use super::{Control, Dialect, Opening, Role};
use crate::args::Target;

const HEARTBEAT: u8 = 0;
const ACK: u8 = 1;
const NACK: u8 = 2;
pub const CONNECTED: u8 = 4;
pub const DISCONNECTED: u8 = 6;
const CLOSED: u8 = 8;
const ERROR: u8 = 9;
const ATTACH: u8 = 10;
pub const ATTACHED: u8 = 11;
const DETACHED: u8 = 13;
const MESSAGE: u8 = 15;

/// In ATTACHED: the channel's stream goes on where the client left it.
pub const FLAG_RESUMED: u32 = 1 << 2;

#[derive(Clone, Copy)]
pub enum Ably {
    Json,
    Msgpack,
}

/// What the generator reads of a frame.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Incoming {
    pub action: u8,
    pub channel_serial: Option<String>,
    pub connection_id: Option<String>,
    pub connection_details: Option<Details>,
    pub flags: Option<u32>,
    count: Option<u64>,
    pub error: Option<Refusal>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    pub connection_key: Option<String>,
}

#[derive(Deserialize, Debug)]
pub struct Refusal {
    code: Option<u32>,
    message: Option<String>,
}

#[derive(Serialize)]
struct Heartbeat {
    action: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attach<'a> {
    action: u8,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_serial: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Publish<'a> {
    action: u8,
    channel: &'a str,
    msg_serial: u64,
    messages: [Data; 1],
}

#[derive(Serialize)]
struct Data {
    name: &'static str,
    data: String,
}

impl Incoming {
    pub fn has_code(&self) -> bool {
        self.error.as_ref().is_some_and(|error| error.code.is_some())
    }
}

impl Ably {
    pub fn by_name(name: &str) -> Option<Ably> {
        match name {
            "ably-json" => Some(Ably::Json),
            "ably-msgpack" => Some(Ably::Msgpack),
            _ => None,
        }
    }

    pub fn read(self, frame: &Message) -> Result<Incoming, String> {
        match (self, frame) {
            (Ably::Json, Message::Text(text)) => serde_json::from_str(text).map_err(|error| error.to_string()),
            (Ably::Msgpack, Message::Binary(bytes)) => rmp_serde::from_slice(bytes).map_err(|error| error.to_string()),
            _ => Err("a frame of the other format".into()),
        }
    }

    /// ATTACH, from a place in the channel's history if `channel_serial` is given.
    pub fn attach(self, channel: &str, channel_serial: Option<&str>) -> Message {
        self.write(&Attach { action: ATTACH, channel, channel_serial })
    }

    fn write(self, frame: &impl Serialize) -> Message {
        match self {
            Ably::Json => Message::text(serde_json::to_string(frame).expect("plain data")),
            Ably::Msgpack => Message::binary(rmp_serde::to_vec_named(frame).expect("plain data")),
        }
    }
}

impl Dialect for Ably {
    fn url(&self, target: &Target, _: Role) -> String {
        let Target { url, key, channel, channel_in_url, .. } = target;
        let format = match self {
            Ably::Json => "json",
            Ably::Msgpack => "msgpack",
        };
        let held_by = if *channel_in_url { format!("&channel={channel}") } else { String::new() };
        format!("{url}?key={key}&format={format}&v=6&heartbeats=true{held_by}")
    }

    /// CONNECTED, then for a subscriber ATTACH and ATTACHED. A publisher attaches nothing, so it gets no copies.
    fn opening(&self, target: &Target, role: Role, heard: Option<&Message>) -> Result<Opening, String> {
        let Some(frame) = heard else { return Ok(Opening::Wait) };
        let incoming = self.read(frame)?;
        match (incoming.action, role) {
            (CONNECTED, Role::Publisher) | (ATTACHED, _) => Ok(Opening::Ready),
            (CONNECTED, Role::Subscriber) => Ok(Opening::Send(self.attach(&target.channel, None))),
            (HEARTBEAT, _) => Ok(Opening::Wait),
            (action, _) => Err(refusal(action, &incoming)),
        }
    }

    fn publish(&self, target: &Target, serial: u64, data: String) -> Message {
        let messages = [Data { name: "score", data }];
        self.write(&Publish { action: MESSAGE, channel: &target.channel, msg_serial: serial, messages })
    }

    /// Actions that the generator doesn't know are ignored, as the protocol demands.
    fn control(&self, frame: &Message) -> Result<Control, String> {
        let incoming = self.read(frame)?;
        match incoming.action {
            ACK => Ok(Control::Acknowledged(incoming.count.unwrap_or(1))),
            NACK | DISCONNECTED | CLOSED | ERROR | DETACHED => Err(refusal(incoming.action, &incoming)),
            ATTACHED if incoming.flags.unwrap_or(0) & FLAG_RESUMED == 0 => Err(refusal(ATTACHED, &incoming)),
            _ => Ok(Control::Nothing),
        }
    }

    fn alive(&self) -> Option<Message> {
        Some(self.write(&Heartbeat { action: HEARTBEAT }))
    }

    fn acknowledges(&self) -> bool {
        true
    }
}

fn refusal(action: u8, incoming: &Incoming) -> String {
    match &incoming.error {
        Some(Refusal { code, message }) => {
            format!("action {action}: {} {}", code.unwrap_or(0), message.as_deref().unwrap_or(""))
        }
        None => format!("action {action} out of place"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::target;
    use super::*;

    #[test]
    fn publishes_in_both_formats() {
        let target = target();
        let json = Ably::Json.publish(&target, 3, "x".into());
        let expected = r#"{"action":15,"channel":"bench","msgSerial":3,"messages":[{"name":"score","data":"x"}]}"#;
        assert_eq!(json, Message::text(expected));
        let Message::Binary(bytes) = Ably::Msgpack.publish(&target, 3, "x".into()) else { panic!("text") };
        assert_eq!(
            rmp_serde::from_slice::<serde_json::Value>(&bytes).unwrap(),
            serde_json::from_str::<serde_json::Value>(expected).unwrap()
        );
    }

    #[test]
    fn a_subscriber_attaches_and_a_publisher_does_not() {
        let connected =
            Message::text(r#"{"action":4,"connectionId":"c","connectionDetails":{"connectionKey":"k","x":[1]}}"#);
        let attached = Message::text(r#"{"action":11,"channel":"bench","flags":3080192,"params":{}}"#);
        let step = |role, heard| Ably::Json.opening(&target(), role, heard);
        assert_eq!(step(Role::Subscriber, None), Ok(Opening::Wait));
        assert_eq!(step(Role::Publisher, Some(&connected)), Ok(Opening::Ready));
        let attach = Message::text(r#"{"action":10,"channel":"bench"}"#);
        assert_eq!(step(Role::Subscriber, Some(&connected)), Ok(Opening::Send(attach)));
        assert_eq!(step(Role::Subscriber, Some(&attached)), Ok(Opening::Ready));
    }

    #[test]
    fn refusals_are_told_with_their_code() {
        let error = Message::text(r#"{"action":9,"error":{"code":40101,"statusCode":401,"message":"wrong secret"}}"#);
        let expected = Err("action 9: 40101 wrong secret".to_string());
        assert_eq!(Ably::Json.opening(&target(), Role::Publisher, Some(&error)), expected);
        assert_eq!(Ably::Json.control(&error).map(|_| ()), expected.map(|_: Opening| ()));
    }

    #[test]
    fn acknowledgements_count_messages() {
        let ack = Message::text(r#"{"action":1,"msgSerial":4,"count":2,"res":[{"serials":["a"]},{"serials":["b"]}]}"#);
        assert_eq!(Ably::Json.control(&ack), Ok(Control::Acknowledged(2)));
        assert_eq!(Ably::Json.control(&Message::text(r#"{"action":0}"#)), Ok(Control::Nothing));
        assert_eq!(Ably::Json.control(&Message::text(r#"{"action":99,"new":true}"#)), Ok(Control::Nothing));
    }

    #[test]
    fn a_lost_continuity_is_a_failure() {
        assert!(Ably::Json.control(&Message::text(r#"{"action":11,"channel":"bench","flags":0}"#)).is_err());
    }
}
