//! What is done to a message that was published: it is updated, deleted or appended to (protocol.md § 18).

use serde::{Deserialize, Serialize};

use super::data::Data;
use super::message::{Extras, Message, Params, characters};
use super::revision::Act;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub act: Act,
    /// Of the message.
    pub serial: String,
    pub patch: Patch,
    /// Who does it.
    pub client_id: Option<String>,
    pub description: Option<String>,
    pub metadata: Option<Params>,
    /// Whose messages it may be done to.
    pub reach: Reach,
}

/// What takes the place of what the message has; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Patch {
    pub name: Option<String>,
    pub data: Data,
    /// Of the data.
    pub encoding: Option<String>,
    #[serde(with = "crate::model::json_text")]
    pub extras: Option<Extras>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reach {
    Any,
    /// Those of the client of this name.
    Of(String),
}

impl Operation {
    /// Bytes that it takes where it waits, about.
    pub fn weight(&self) -> usize {
        let Patch { name, data, encoding, extras } = self.patch.clone();
        Message { name, data, encoding, extras, ..Message::default() }.weight() + self.stated_bytes()
    }

    pub fn stated_bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_deref().map_or(0, characters);
        let metadata = self.metadata.iter().flat_map(|metadata| metadata.iter());
        let metadata: usize = metadata.map(|(name, value)| characters(name) + characters(value)).sum();
        text(&self.description) + metadata
    }
}
