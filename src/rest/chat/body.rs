//! What clients of a room send, and the message that it comes to. Fails with 40001 for what cannot be decoded, and with
//! 40000 for what is no chat message.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::message::CHAT_MESSAGE;
use crate::error::{Code, ErrorInfo};
use crate::limits::BODY_MAX_BYTES;
use crate::model::data::Payload;
use crate::model::node::{Node, Wanted};
use crate::protocol::inbound::InboundMessage;
use crate::protocol::stated::Stated;
use crate::rest::{Request, body};

/// Text, with what an application says of it.
pub struct Said {
    text: String,
    metadata: Map<String, Value>,
    headers: Map<String, Value>,
}

impl Said {
    pub fn of(request: &Request) -> Result<Said, ErrorInfo> {
        match body::value(request)? {
            Value::Object(fields) => Said::read(fields),
            _ => Err(bad("the body is an object with 'text'")),
        }
    }

    fn read(mut fields: Map<String, Value>) -> Result<Said, ErrorInfo> {
        let text = match fields.remove("text") {
            Some(Value::String(text)) if !text.is_empty() => text,
            _ => return Err(bad("'text' must be a string that is not empty")),
        };
        let metadata = object(&mut fields, "metadata")?;
        Ok(Said { text, metadata, headers: object(&mut fields, "headers")? })
    }

    pub fn into_message(self) -> InboundMessage {
        let data = json!({"text": self.text, "metadata": self.metadata});
        InboundMessage {
            name: Some(CHAT_MESSAGE.to_owned()),
            data: Payload::Structured(data.to_string()),
            extras: Some(json!({"headers": self.headers})),
            ..InboundMessage::default()
        }
    }
}

/// What is left of a message that is deleted.
pub fn emptied() -> InboundMessage {
    InboundMessage { data: Payload::Structured("{}".to_owned()), extras: Some(json!({})), ..InboundMessage::default() }
}

/// What takes a message's place, and why.
pub struct Edit {
    pub said: Said,
    pub stated: Stated,
}

impl Edit {
    pub fn of(request: &Request) -> Result<Edit, ErrorInfo> {
        let read = |node: Node| {
            let mut fields = node.into_fields()?;
            let message = fields.iter().rposition(|(name, _)| name == "message").map(|at| fields.swap_remove(at).1);
            Ok((message.map(Node::into_value).transpose()?, reasons(fields)?))
        };
        match body::decode(request, BODY_MAX_BYTES, read)? {
            (Some(Value::Object(fields)), stated) => Ok(Edit { said: Said::read(fields)?, stated }),
            _ => Err(bad("the body is an object with 'message', which has 'text'")),
        }
    }
}

/// Why a message is deleted, if anybody says.
pub fn stated(request: &Request) -> Result<Stated, ErrorInfo> {
    if request.body.is_empty() {
        return Ok(Stated::default());
    }
    body::decode(request, BODY_MAX_BYTES, |node| reasons(node.into_fields()?))
}

/// Who does it is who asks.
fn reasons(fields: Vec<(Cow<'_, str>, Node<'_>)>) -> Result<Stated, Wanted> {
    Ok(Stated { client_id: None, ..Stated::read(Node::Map(fields))? })
}

/// An object, and one that is empty where there is none.
fn object(fields: &mut Map<String, Value>, name: &str) -> Result<Map<String, Value>, ErrorInfo> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(bad(&format!("'{name}' must be an object"))),
    }
}

pub fn bad(why: &str) -> ErrorInfo {
    Code::BadRequest.because(why)
}
