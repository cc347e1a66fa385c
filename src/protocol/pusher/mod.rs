//! Protocol 7 of Pusher Channels (protocol.md § 26): a door by which `pusher-js` and its kin come to the same channels.

use serde::{Deserialize, Serialize};

use super::Encoded;
use super::dialect::Dialect;
use super::door::{Heard, Setting, Visitor};
use super::outbound::Outbound;
use crate::error::ErrorInfo;
use crate::model::Format;

/// What a connection remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pusher {}

impl Visitor for Pusher {
    fn dialect(&self) -> Dialect {
        Dialect::Pusher
    }

    fn hear(&mut self, _: &[u8], _: Format, _: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo> {
        Ok(Vec::new())
    }

    fn echoes(&self) -> bool {
        false
    }

    fn bounces(&self) -> bool {
        true
    }

    fn tell(&mut self, frame: &Outbound<'_>) -> Encoded {
        encode(frame)
    }
}

/// The key that the path of a connection names: `/app/KEY`.
pub fn key_in(path: &str) -> Option<&str> {
    path.strip_prefix("/app/").filter(|key| !key.contains('/'))
}

/// What all readers are told.
pub fn encode(_: &Outbound<'_>) -> Encoded {
    Encoded::NOTHING
}
