//! What a client says of a message beside what readers get: what it does to it, and why. Fields in their own types.

use serde_json::Value;

use crate::error::{Code, ErrorInfo};
use crate::model::message::Extras;
use crate::model::message::Params;
use crate::model::node::{Node, Wanted};
use crate::protocol::inbound::params;

/// What a client says of an operation: who does it, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stated {
    pub client_id: Option<String>,
    pub description: Option<String>,
    pub metadata: Option<Params>,
}

impl Stated {
    pub fn read(node: Node) -> Result<Stated, Wanted> {
        let mut stated = Stated::default();
        if node == Node::Null {
            return Ok(stated);
        }
        for (name, node) in node.into_fields()? {
            match &*name {
                "clientId" => stated.client_id = node.into_text()?,
                "description" => stated.description = node.into_text()?,
                "metadata" if node != Node::Null => stated.metadata = Some(params(node)?),
                _ => {}
            }
        }
        Ok(stated)
    }
}

/// The number of an action, which REST may also name.
pub fn action_of(node: Node) -> Result<Option<u64>, Wanted> {
    match node {
        Node::Text(name) => match name.as_str() {
            "message.create" => Ok(Some(0)),
            "message.update" => Ok(Some(1)),
            "message.delete" => Ok(Some(2)),
            "message.append" => Ok(Some(5)),
            _ => Err("an action, such as 'message.update'"),
        },
        node => node.integer(),
    }
}

/// Fails with 40032 for extras that are no object.
pub(crate) fn object(extras: Value) -> Result<Extras, ErrorInfo> {
    match extras {
        Value::Object(map) => Ok(map),
        _ => Err(Code::BadExtras.because("extras must be an object")),
    }
}
