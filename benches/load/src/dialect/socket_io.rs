//! Socket.IO 4: its packets (protocol 5) inside Engine.IO's (protocol 4), one to a text frame. The first digit is
//! Engine.IO's packet type, the second Socket.IO's.

use tokio_tungstenite::tungstenite::Message;

use super::{Control, Dialect, Opening, Role, excerpt};
use crate::args::Target;

const PING: &str = "2";
const PONG: &str = "3";
const CONNECT: &str = "40";

pub struct SocketIo;

impl Dialect for SocketIo {
    fn url(&self, target: &Target, _: Role) -> String {
        format!("{}socket.io/?EIO=4&transport=websocket", target.url)
    }

    /// Engine.IO's open packet, then CONNECT, whose payload tells our server the role, and its answer.
    fn opening(&self, _: &Target, role: Role, heard: Option<&Message>) -> Result<Opening, String> {
        let Some(frame) = heard else { return Ok(Opening::Wait) };
        let role = match role {
            Role::Publisher => "publisher",
            Role::Subscriber => "subscriber",
        };
        match text(frame) {
            packet if packet.starts_with('0') => {
                Ok(Opening::Send(Message::text(format!("{CONNECT}{{\"role\":\"{role}\"}}"))))
            }
            packet if packet.starts_with(CONNECT) => Ok(Opening::Ready),
            PING => Ok(Opening::Send(Message::text(PONG))),
            _ => Err(excerpt(frame)),
        }
    }

    fn publish(&self, _: &Target, _: u64, data: String) -> Message {
        Message::text(format!("42[\"score\",\"{data}\"]"))
    }

    fn control(&self, frame: &Message) -> Result<Control, String> {
        match text(frame) {
            PING => Ok(Control::Answer(Message::text(PONG))),
            _ => Err(excerpt(frame)),
        }
    }

    fn acknowledges(&self) -> bool {
        false
    }
}

fn text(frame: &Message) -> &str {
    match frame {
        Message::Text(text) => text,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::target;
    use super::*;

    #[test]
    fn a_subscriber_says_its_role_and_waits_for_the_answer() {
        let step = |heard: Option<&'static str>| {
            let frame = heard.map(Message::text);
            SocketIo.opening(&target(), Role::Subscriber, frame.as_ref())
        };
        assert_eq!(step(None), Ok(Opening::Wait));
        let connect = Opening::Send(Message::text(r#"40{"role":"subscriber"}"#));
        assert_eq!(step(Some(r#"0{"sid":"a","upgrades":[],"pingInterval":25000}"#)), Ok(connect));
        assert_eq!(step(Some(r#"40{"sid":"b"}"#)), Ok(Opening::Ready));
        assert!(step(Some(r#"44{"message":"refused"}"#)).is_err());
    }

    #[test]
    fn an_event_carries_the_data() {
        assert_eq!(SocketIo.publish(&target(), 0, "abc".into()), Message::text(r#"42["score","abc"]"#));
    }

    #[test]
    fn pings_are_answered_and_disconnects_told() {
        assert_eq!(SocketIo.control(&Message::text("2")), Ok(Control::Answer(Message::text("3"))));
        assert!(SocketIo.control(&Message::text("41")).is_err());
    }
}
