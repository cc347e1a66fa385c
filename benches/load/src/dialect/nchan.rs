//! Nchan, a module of nginx: the payload is the frame. Channels are named in the URL, publishers and subscribers have
//! locations of their own, and each publish is answered with the state of the channel.

use tokio_tungstenite::tungstenite::Message;

use super::{Control, Dialect, Opening, Role, excerpt};
use crate::args::Target;

pub struct Nchan;

impl Dialect for Nchan {
    fn url(&self, Target { url, channel, .. }: &Target, role: Role) -> String {
        let location = match role {
            Role::Publisher => "pub",
            Role::Subscriber => "sub",
        };
        format!("{url}{location}?id={channel}")
    }

    fn opening(&self, _: &Target, _: Role, _: Option<&Message>) -> Result<Opening, String> {
        Ok(Opening::Ready)
    }

    fn publish(&self, _: &Target, _: u64, data: String) -> Message {
        Message::text(data)
    }

    fn control(&self, frame: &Message) -> Result<Control, String> {
        match frame {
            Message::Text(text) if text.starts_with("queued messages: ") => Ok(Control::Acknowledged(1)),
            _ => Err(format!("not an answer to a publish: {}", excerpt(frame))),
        }
    }

    fn acknowledges(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::target;
    use super::*;

    #[test]
    fn each_role_has_its_location() {
        assert_eq!(Nchan.url(&target(), Role::Publisher), "ws://127.0.0.1:1/pub?id=bench");
        assert_eq!(Nchan.url(&target(), Role::Subscriber), "ws://127.0.0.1:1/sub?id=bench");
    }

    #[test]
    fn the_state_of_the_channel_acknowledges_one_message() {
        let answer =
            "queued messages: 2\r\nlast requested: 0 sec. ago\r\nactive subscribers: 1\r\nlast message id: 1:1";
        assert_eq!(Nchan.control(&Message::text(answer)), Ok(Control::Acknowledged(1)));
        assert!(Nchan.control(&Message::text("403 Forbidden")).is_err());
    }
}
