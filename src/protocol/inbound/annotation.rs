//! Annotations as clients send them.

use serde_json::Value;

use crate::limits::PUBLISH_MAX_MESSAGES;
use crate::model::data::Payload;
use crate::model::node::{Node, Wanted};

/// An annotation as a client sends it, in a frame or in a REST body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InboundAnnotation {
    pub id: Option<String>,
    pub action: Option<u64>,
    pub message_serial: Option<String>,
    pub kind: Option<String>,
    pub name: Option<String>,
    /// Checked later, so that what is wrong with it is said of it.
    pub count: Option<Value>,
    pub client_id: Option<String>,
    pub data: Payload,
    pub encoding: Option<String>,
    /// REST: on behalf of the connection that holds this key, which annotations cannot be.
    pub connection_key: Option<String>,
    pub extras: Option<Value>,
}

impl InboundAnnotation {
    /// Fails when it is no object, or a field is of the wrong type.
    pub fn read(node: Node) -> Result<InboundAnnotation, Wanted> {
        let mut annotation = InboundAnnotation::default();
        for (name, node) in node.into_fields()? {
            match &*name {
                "id" => annotation.id = node.into_text()?.filter(|id| !id.is_empty()),
                "action" => annotation.action = action_of(node)?,
                "messageSerial" => annotation.message_serial = node.into_text()?,
                "type" => annotation.kind = node.into_text()?,
                "name" => annotation.name = node.into_text()?,
                "count" => annotation.count = Some(node.into_value()?).filter(|count| !count.is_null()),
                "clientId" => annotation.client_id = node.into_text()?,
                "connectionKey" => annotation.connection_key = node.into_text()?,
                "data" => annotation.data = node.try_into()?,
                "encoding" => annotation.encoding = node.into_text()?,
                "extras" => annotation.extras = Some(node.into_value()?).filter(|extras| !extras.is_null()),
                _ => {}
            }
        }
        Ok(annotation)
    }

    /// Those of one publish: one, or a list, and whether it is a list. Of too many one more is kept than may be.
    pub fn read_several(node: Node) -> Result<(Vec<InboundAnnotation>, bool), Wanted> {
        node.several(PUBLISH_MAX_MESSAGES, InboundAnnotation::read)
    }
}

/// Over REST its name is as good as its number.
fn action_of(node: Node) -> Result<Option<u64>, Wanted> {
    match &node {
        Node::Text(name) if name == "annotation.create" => Ok(Some(0)),
        Node::Text(name) if name == "annotation.delete" => Ok(Some(1)),
        node => node.integer(),
    }
}
