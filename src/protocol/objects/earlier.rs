//! Objects as versions up to 5 of the protocol call them: `mapOp`, `counterOp`, `map`, `counter` (protocol.md § 19).
//! Whoever says these names is understood. Who connects with such a version is told them, see
//! [`Dialect::Earlier`](crate::protocol::dialect::Dialect::Earlier).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{bad, fields, read_counter, read_inc, read_key, read_map, read_set, text};
use crate::error::{Code, ErrorInfo};
use crate::model::Format;
use crate::model::node::{self, Node};
use crate::model::objects::id;
use crate::model::objects::operation::{Action, Kind};
use crate::protocol::outbound::Outbound;

/// The fields of an operation that had another name.
#[derive(Default)]
pub struct Earlier<'de> {
    map_op: Option<Node<'de>>,
    counter_op: Option<Node<'de>>,
    nonce: Option<Node<'de>>,
    /// JSON, in a text. SDKs up to version 3 have bytes here, and say of which format.
    initial: Option<Node<'de>>,
    encoding: Option<Node<'de>>,
}

impl<'de> Earlier<'de> {
    /// A create's `map` and `counter` are passed over: they repeat its initial value, of which the id is made.
    pub fn take(&mut self, name: &str, node: Node<'de>) {
        let field = match name {
            "mapOp" => &mut self.map_op,
            "counterOp" => &mut self.counter_op,
            "nonce" => &mut self.nonce,
            "initialValue" => &mut self.initial,
            "initialValueEncoding" => &mut self.encoding,
            _ => return,
        };
        *field = Some(node);
    }

    /// The action of an operation with this number. Fails with 92000.
    pub fn read(self, number: Option<u64>, object_id: &str) -> Result<Action, ErrorInfo> {
        match (number, self) {
            (Some(0), earlier @ Earlier { initial: Some(_), .. }) => earlier.create(Kind::Map, object_id),
            (Some(3), earlier @ Earlier { initial: Some(_), .. }) => earlier.create(Kind::Counter, object_id),
            (Some(1), Earlier { map_op: Some(node), .. }) => read_set(node, "data"),
            (Some(2), Earlier { map_op: Some(node), .. }) => read_key(node).map(|key| Action::MapRemove { key }),
            (Some(4), Earlier { counter_op: Some(node), .. }) => read_inc(node, "amount"),
            _ => bad("an operation needs the payload of its action, such as 'mapSet'"),
        }
    }

    fn create(self, kind: Kind, object_id: &str) -> Result<Action, ErrorInfo> {
        let (Some(initial), Some(nonce)) = (self.initial, self.nonce) else {
            return bad("'initialValue' and 'nonce' are required");
        };
        let encoding = self.encoding.map(|node| text(node, "initialValueEncoding")).transpose()?;
        let format = if encoding.as_deref() == Some("msgpack") { Format::Msgpack } else { Format::Json };
        let initial = match (initial, encoding) {
            (Node::Binary(bytes), _) => bytes,
            (node, None) => text(node, "initialValue")?.into_bytes(),
            (node, Some(_)) => match BASE64.decode(text(node, "initialValue")?) {
                Ok(bytes) => bytes,
                Err(_) => return bad("'initialValue' must be base64"),
            },
        };
        id::verify_earlier(object_id, kind, &initial, &text(nonce, "nonce")?)?;
        let value = node::read(&initial, format).map_err(|error| Code::BadObject.because(error.message))?;
        let mut fields = fields(value, "initialValue")?.into_iter();
        let mut field =
            |wanted| fields.rfind(|(name, node)| name == wanted && *node != Node::Null).map(|(_, node)| node);
        let empty = || Node::Map(Vec::new());
        match kind {
            Kind::Map => read_map(field("map").unwrap_or_else(empty)),
            Kind::Counter => read_counter(field("counter").unwrap_or_else(empty)),
        }
    }
}

/// A frame of objects in the earlier names; `None` for one that has none.
pub fn in_earlier_names<'a>(frame: &Outbound<'a>) -> Option<Outbound<'a>> {
    let state = frame.state.as_ref()?;
    let state = Some(state.iter().map(|message| each_field(message, message_field)).collect());
    Some(Outbound { state, messages: None, presence: None, annotations: None, connection_details: None, ..*frame })
}

type Field<'a> = (&'a str, Node<'static>);

fn each_field(node: &Node<'static>, rename: for<'a> fn(&'a str, &Node<'static>) -> Field<'a>) -> Node<'static> {
    let Node::Map(fields) = node else { return node.clone() };
    let field = |(name, node): &(Cow<'static, str>, Node<'static>)| {
        let (name, node) = rename(name, node);
        (Cow::Owned(name.to_owned()), node)
    };
    Node::Map(fields.iter().map(field).collect())
}

fn message_field<'a>(name: &'a str, node: &Node<'static>) -> Field<'a> {
    match name {
        "operation" => (name, each_field(node, operation_field)),
        "object" => (name, each_field(node, object_field)),
        _ => (name, node.clone()),
    }
}

fn object_field<'a>(name: &'a str, node: &Node<'static>) -> Field<'a> {
    match name {
        "createOp" => (name, each_field(node, operation_field)),
        _ => (name, node.clone()),
    }
}

fn operation_field<'a>(name: &'a str, node: &Node<'static>) -> Field<'a> {
    match name {
        "mapCreate" => ("map", node.clone()),
        "counterCreate" => ("counter", node.clone()),
        "mapSet" | "mapRemove" => ("mapOp", each_field(node, payload_field)),
        "counterInc" => ("counterOp", each_field(node, payload_field)),
        _ => (name, node.clone()),
    }
}

fn payload_field<'a>(name: &'a str, node: &Node<'static>) -> Field<'a> {
    let name = match name {
        "value" => "data",
        "number" => "amount",
        _ => name,
    };
    (name, node.clone())
}
