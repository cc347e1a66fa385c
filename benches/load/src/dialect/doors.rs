//! Subscribers by the doors of other protocols, beside publishers that speak Ably's: so what differs is the door.

use tokio_tungstenite::tungstenite::Message;

use super::{Ably, Control, Dialect, Opening, Role, excerpt};
use crate::args::Target;

const PUBLISHER: Ably = Ably::Json;

#[derive(Clone, Copy)]
pub enum Door {
    Pusher,
    SocketIo,
    Mqtt { qos: u8 },
}

impl Door {
    pub fn by_name(name: &str) -> Option<Door> {
        match name {
            "pusher" => Some(Door::Pusher),
            "socketio" => Some(Door::SocketIo),
            "mqtt-0" => Some(Door::Mqtt { qos: 0 }),
            "mqtt-1" => Some(Door::Mqtt { qos: 1 }),
            _ => None,
        }
    }

    fn step(self, target: &Target, heard: &Message) -> Option<Opening> {
        let channel = &target.channel;
        Some(match (self, text(heard), bytes(heard).first()) {
            (Door::Pusher, said, _) if said.contains("pusher:connection_established") => {
                let subscribe = format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}"#);
                Opening::Send(Message::text(subscribe))
            }
            (Door::Pusher, said, _) if said.contains("subscription_succeeded") => Opening::Ready,
            (Door::Pusher, said, _) if said.contains("pusher:ping") => Opening::Send(pong()),
            (Door::SocketIo, said, _) if said.starts_with('0') => {
                Opening::Send(Message::text(format!("40/{channel},")))
            }
            (Door::SocketIo, said, _) if said.starts_with("40") => Opening::Ready,
            (Door::SocketIo, "2", _) => Opening::Send(Message::text("3")),
            (Door::Mqtt { qos }, _, Some(0x20)) if bytes(heard)[3] == 0 => {
                let topic = [&(channel.len() as u16).to_be_bytes()[..], channel.as_bytes()].concat();
                Opening::Send(packet(0x82, &[&[0, 1, 0][..], &topic, &[qos]].concat()))
            }
            (Door::Mqtt { qos }, _, Some(0x90)) if bytes(heard).last() == Some(&qos) => Opening::Ready,
            _ => return None,
        })
    }
}

impl Dialect for Door {
    fn url(&self, target: &Target, role: Role) -> String {
        let Target { url, key, .. } = target;
        match (role, self) {
            (Role::Publisher, _) => PUBLISHER.url(target, role),
            (_, Door::Pusher) => {
                let name = key.split(':').next().unwrap_or_default();
                format!("{url}app/{name}?protocol=7&client=load&version=1")
            }
            (_, Door::SocketIo) => format!("{url}socket.io/?EIO=4&transport=websocket&key={key}"),
            (_, Door::Mqtt { .. }) => format!("{url}mqtt"),
        }
    }

    fn opening(&self, target: &Target, role: Role, heard: Option<&Message>) -> Result<Opening, String> {
        match (role, self, heard) {
            (Role::Publisher, ..) => PUBLISHER.opening(target, role, heard),
            (_, Door::Mqtt { .. }, None) => Ok(Opening::Send(connect(&target.key))),
            (_, _, None) => Ok(Opening::Wait),
            (_, _, Some(frame)) => self.step(target, frame).ok_or_else(|| excerpt(frame)),
        }
    }

    fn publish(&self, target: &Target, serial: u64, data: String) -> Message {
        PUBLISHER.publish(target, serial, data)
    }

    fn control(&self, frame: &Message) -> Result<Control, String> {
        match (self, text(frame)) {
            (_, said) if said.starts_with(r#"{"action""#) => PUBLISHER.control(frame),
            (Door::Pusher, said) if said.contains("pusher:ping") => Ok(Control::Answer(pong())),
            (Door::SocketIo, "2") => Ok(Control::Answer(Message::text("3"))),
            (Door::Mqtt { .. }, _) if bytes(frame).first() == Some(&0xd0) => Ok(Control::Nothing),
            _ => Err(excerpt(frame)),
        }
    }

    fn answer(&self, frame: &Message) -> Option<Message> {
        match self {
            Door::Mqtt { qos: 1 } => Some(Message::binary(acknowledgements(bytes(frame)))),
            _ => None,
        }
    }

    fn alive(&self) -> Option<Message> {
        match self {
            Door::Pusher => Some(pong()),
            Door::SocketIo => Some(Message::text("3")),
            Door::Mqtt { .. } => Some(Message::binary(vec![0xc0, 0])),
        }
    }

    /// Publishers are.
    fn acknowledges(&self) -> bool {
        true
    }
}

fn pong() -> Message {
    Message::text(r#"{"event":"pusher:pong","data":{}}"#)
}

/// Version 5, without a session or a keep alive, by the key's name and secret.
fn connect(key: &str) -> Message {
    let (name, secret) = key.split_once(':').unwrap_or((key, ""));
    let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    packet(0x10, &[&b"\0\x04MQTT\x05\xc2\0\0\0\0\0"[..], &text(name), &text(secret)].concat())
}

fn packet(first: u8, body: &[u8]) -> Message {
    let mut packet = vec![first];
    let mut left = body.len();
    while left >= 128 {
        packet.push(left as u8 | 128);
        left >>= 7;
    }
    packet.push(left as u8);
    packet.extend(body);
    Message::binary(packet)
}

/// A PUBACK for each PUBLISH of a frame.
fn acknowledgements(mut bytes: &[u8]) -> Vec<u8> {
    let mut told = Vec::new();
    while let [first, rest @ ..] = bytes {
        let digits = rest.iter().take_while(|byte| **byte >= 128).count() + 1;
        let length = rest[..digits].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 127));
        let (body, next) = rest[digits..].split_at(length);
        if first >> 4 == 3 {
            let topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
            told.extend([0x40, 2, body[topic], body[topic + 1]]);
        }
        bytes = next;
    }
    told
}

fn text(frame: &Message) -> &str {
    if let Message::Text(text) = frame { text } else { "" }
}

fn bytes(frame: &Message) -> &[u8] {
    if let Message::Binary(bytes) = frame { bytes } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::super::target;
    use super::*;

    fn step(door: Door, heard: &Message) -> Result<Opening, String> {
        door.opening(&target(), Role::Subscriber, Some(heard))
    }

    #[test]
    fn each_door_is_entered_in_its_words() {
        let sent = |opening| if let Ok(Opening::Send(message)) = opening { message } else { panic!("{opening:?}") };
        let established = Message::text(r#"{"event":"pusher:connection_established","data":"{}"}"#);
        let subscribe = r#"{"event":"pusher:subscribe","data":{"channel":"bench"}}"#;
        assert_eq!(sent(step(Door::Pusher, &established)), Message::text(subscribe));
        let succeeded = Message::text(r#"{"event":"pusher_internal:subscription_succeeded","channel":"bench"}"#);
        assert_eq!(step(Door::Pusher, &succeeded), Ok(Opening::Ready));
        assert_eq!(sent(step(Door::SocketIo, &Message::text(r#"0{"sid":"a"}"#))), Message::text("40/bench,"));
        assert_eq!(step(Door::SocketIo, &Message::text(r#"40/bench,{"sid":"a"}"#)), Ok(Opening::Ready));
        let mqtt = Door::Mqtt { qos: 1 };
        let connect = sent(mqtt.opening(&target(), Role::Subscriber, None));
        assert_eq!(bytes(&connect)[1] as usize, bytes(&connect).len() - 2);
        let subscribe = sent(step(mqtt, &Message::binary(b"\x20\x03\0\0\0".to_vec())));
        assert_eq!(subscribe, Message::binary(b"\x82\x0b\0\x01\0\0\x05bench\x01".to_vec()));
        assert_eq!(step(mqtt, &Message::binary(b"\x90\x04\0\x01\0\x01".to_vec())), Ok(Opening::Ready));
        assert!(step(mqtt, &Message::binary(b"\x20\x03\0\x86\0".to_vec())).is_err());
    }

    #[test]
    fn each_message_of_a_frame_is_acknowledged() {
        let mqtt = Door::Mqtt { qos: 1 };
        let long = [&b"\x32\x83\x01\0\x01a\0\x02\0"[..], &[b'x'; 125]].concat();
        let frame = [&b"\x32\x07\0\x01a\0\x01\0x"[..], &long].concat();
        let expected = Message::binary(b"\x40\x02\0\x01\x40\x02\0\x02".to_vec());
        assert_eq!(mqtt.answer(&Message::binary(frame)), Some(expected));
        assert_eq!(Door::Pusher.answer(&Message::text("")), None);
    }

    #[test]
    fn pings_are_answered_and_refusals_told() {
        assert_eq!(Door::Pusher.control(&Message::text(r#"{"event":"pusher:ping"}"#)), Ok(Control::Answer(pong())));
        assert_eq!(Door::SocketIo.control(&Message::text("2")), Ok(Control::Answer(Message::text("3"))));
        let ack = Message::text(r#"{"action":1,"msgSerial":0,"count":2}"#);
        assert_eq!(Door::SocketIo.control(&ack), Ok(Control::Acknowledged(2)));
        assert!(Door::Mqtt { qos: 0 }.control(&Message::binary(b"\xe0\x01\x97".to_vec())).is_err());
    }
}
