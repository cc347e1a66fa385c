//! The NATS client protocol in WebSocket frames: lines and payloads, binary. The server puts what it has for a client
//! into one frame, so a frame may hold several messages.

use tokio_tungstenite::tungstenite::Message;

use super::{Control, Dialect, Opening, Role, excerpt};
use crate::args::Target;
use crate::subscriber::bytes;

/// Not verbose: no `+OK` for each publish, which no client library asks for either.
const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"1\",\"protocol\":1}\r\n";

pub struct Nats;

impl Dialect for Nats {
    fn url(&self, target: &Target, _: Role) -> String {
        target.url.clone()
    }

    /// INFO, then CONNECT and PING in one write; a subscription made before the PING stands when the PONG comes.
    fn opening(&self, Target { channel, .. }: &Target, role: Role, heard: Option<&Message>) -> Result<Opening, String> {
        let Some(frame) = heard else { return Ok(Opening::Wait) };
        let subscribe = match role {
            Role::Publisher => String::new(),
            Role::Subscriber => format!("SUB {channel} 1\r\n"),
        };
        match bytes(frame) {
            line if line.starts_with(b"INFO ") => Ok(send(format!("{CONNECT}{subscribe}PING\r\n"))),
            line if line.starts_with(b"PONG\r\n") => Ok(Opening::Ready),
            line if line.starts_with(b"PING\r\n") => Ok(send("PONG\r\n".into())),
            _ => Err(excerpt(frame)),
        }
    }

    fn publish(&self, Target { channel, .. }: &Target, _: u64, data: String) -> Message {
        Message::binary(format!("PUB {channel} {}\r\n{data}\r\n", data.len()))
    }

    /// A PING behind messages in one frame is not seen, and not needed: the server forgives two, two minutes apart.
    fn control(&self, frame: &Message) -> Result<Control, String> {
        match bytes(frame) {
            line if line.starts_with(b"PING\r\n") => Ok(Control::Answer(Message::binary("PONG\r\n"))),
            line if line.starts_with(b"INFO ") => Ok(Control::Nothing),
            _ => Err(excerpt(frame)),
        }
    }

    fn acknowledges(&self) -> bool {
        false
    }
}

fn send(lines: String) -> Opening {
    Opening::Send(Message::binary(lines))
}

#[cfg(test)]
mod tests {
    use super::super::target;
    use super::*;

    #[test]
    fn a_subscriber_is_ready_when_its_subscription_stands() {
        let step = |heard: Option<&'static str>| {
            let frame = heard.map(Message::binary);
            Nats.opening(&target(), Role::Subscriber, frame.as_ref())
        };
        assert_eq!(step(None), Ok(Opening::Wait));
        let greeting = Opening::Send(Message::binary(format!("{CONNECT}SUB bench 1\r\nPING\r\n")));
        assert_eq!(step(Some("INFO {\"server_id\":\"x\"}\r\n")), Ok(greeting));
        assert_eq!(step(Some("PONG\r\n")), Ok(Opening::Ready));
        assert!(step(Some("-ERR 'Authorization Violation'\r\n")).is_err());
    }

    #[test]
    fn a_publish_names_its_length() {
        assert_eq!(Nats.publish(&target(), 0, "abc".into()), Message::binary("PUB bench 3\r\nabc\r\n"));
    }

    #[test]
    fn pings_are_answered_and_errors_told() {
        let pong = Control::Answer(Message::binary("PONG\r\n"));
        assert_eq!(Nats.control(&Message::binary("PING\r\n")), Ok(pong));
        assert!(Nats.control(&Message::binary("-ERR 'Slow Consumer'\r\n")).is_err());
    }
}
