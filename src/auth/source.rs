//! Whose share of something an input takes.

use serde::{Deserialize, Serialize};

use super::Grant;

/// All that comes by one API key; or else under its name, from one client where that is known. What the server does
/// itself counts as a key's. Two sources that meet in one number share a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    number: u32,
    /// Who has a key is the app's own: it may use all there is.
    pub is_key: bool,
}

impl Source {
    pub const SERVER: Source = Source { number: 0, is_key: true };
}

impl Grant {
    pub fn source(&self) -> Source {
        self.source_of(self.client_id.name())
    }

    /// Of the client who it is said to be.
    pub fn source_of(&self, client: Option<&str>) -> Source {
        let client = client.filter(|_| !self.basic);
        let texts = [self.key_name.app().as_str(), self.key_name.id(), client.unwrap_or_default()];
        // FNV-1a. No text has a zero byte, so none can pass for two.
        let bytes = texts.iter().flat_map(|text| text.bytes().chain([0]));
        let number = bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Source { number, is_key: self.basic }
    }
}
