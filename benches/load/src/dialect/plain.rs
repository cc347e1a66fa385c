//! Raw text, forwarded as it is: the dialect of the smallest servers. The role is a query parameter.

use tokio_tungstenite::tungstenite::Message;

use super::{Control, Dialect, Opening, Role, excerpt};
use crate::args::Target;

pub struct Plain;

impl Dialect for Plain {
    fn url(&self, target: &Target, role: Role) -> String {
        let role = match role {
            Role::Publisher => "publisher",
            Role::Subscriber => "subscriber",
        };
        format!("{}?role={role}", target.url)
    }

    fn opening(&self, _: &Target, _: Role, _: Option<&Message>) -> Result<Opening, String> {
        Ok(Opening::Ready)
    }

    fn publish(&self, _: &Target, _: u64, data: String) -> Message {
        Message::text(data)
    }

    fn control(&self, frame: &Message) -> Result<Control, String> {
        Err(format!("a frame that nobody sent: {}", excerpt(frame)))
    }

    fn acknowledges(&self) -> bool {
        false
    }
}
