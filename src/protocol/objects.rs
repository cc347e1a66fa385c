//! Objects on the wire: what clients send of operations, and what they get of operations and objects (protocol.md §
//! 19). What versions up to 5 call otherwise is in `earlier`.

mod earlier;

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use self::earlier::Earlier;
pub use self::earlier::in_earlier_names;
use super::stated::object;
use crate::error::{Code, ErrorInfo};
use crate::limits::PUBLISH_MAX_MESSAGES;
use crate::model::message;
use crate::model::node::{self, Node, Wanted};
use crate::model::objects::id::{self, kind_of};
use crate::model::objects::operation::{Action, Kind, ObjectMessage, Operation, Proposal, Target, Value};
use crate::model::objects::parts::{Entry, Object, Snapshot, Stamp, State};

/// The site of this server, of which there is one: who accepted an operation.
pub const SITE: &str = "main";

/// The only semantics of maps: of two writers the later wins.
const LWW: u64 = 0;

type Fields<'de> = Vec<(Cow<'de, str>, Node<'de>)>;

fn bad<T>(why: impl Into<String>) -> Result<T, ErrorInfo> {
    Err(Code::BadObject.because(why))
}

fn wanted(place: &'static str) -> impl Fn(Wanted) -> ErrorInfo {
    move |wanted| Code::BadObject.because(["'", place, "' must be ", wanted].concat())
}

fn fields<'de>(node: Node<'de>, place: &'static str) -> Result<Fields<'de>, ErrorInfo> {
    node.into_fields().map_err(wanted(place))
}

fn text(node: Node, place: &'static str) -> Result<String, ErrorInfo> {
    node.into_text().map_err(wanted(place))?.ok_or_else(|| wanted(place)("a string"))
}

/// The field `state` of a frame. Of too many operations one more is kept than may be. Fails with 92000 for what is no
/// operation that a client may do.
pub fn read_state(node: Node) -> Result<Vec<Proposal>, ErrorInfo> {
    let Node::List(nodes) = node else { return bad("'state' must be a list") };
    nodes.into_iter().take(PUBLISH_MAX_MESSAGES + 1).map(read_message).collect()
}

fn read_message(node: Node) -> Result<Proposal, ErrorInfo> {
    let (mut id, mut client_id, mut extras, mut operation) = (None, None, None, None);
    for (name, node) in fields(node, "state")? {
        match &*name {
            _ if node == Node::Null => {}
            "id" => id = Some(text(node, "id")?).filter(|id| !id.is_empty()),
            "clientId" => client_id = Some(text(node, "clientId")?),
            "extras" => extras = Some(object(node.into_value().map_err(wanted("extras"))?)?),
            "operation" => operation = Some(read_operation(node)?),
            "object" => return bad("a client sends operations, and no 'object'"),
            _ => {}
        }
    }
    let Some(operation) = operation else { return bad("an object message needs an 'operation'") };
    let message = ObjectMessage { id, client_id, extras, operation };
    Ok(Proposal { message, target: Target::Named })
}

fn read_operation(node: Node) -> Result<Operation, ErrorInfo> {
    let (mut number, mut object_id, mut payload, mut earlier) = (None, None, None, Earlier::default());
    for (name, node) in fields(node, "operation")? {
        match &*name {
            _ if node == Node::Null => {}
            "action" => number = node.integer().map_err(wanted("action"))?,
            "objectId" => object_id = Some(text(node, "objectId")?),
            name if is_payload(name) && payload.is_some() => return bad("an operation has one payload"),
            name if is_payload(name) => payload = Some((name.to_owned(), node)),
            name => earlier.take(name, node),
        }
    }
    let Some(object_id) = object_id else { return bad("an operation needs an 'objectId'") };
    let action = match (payload, number) {
        (Some((name, node)), _) => read_payload(&name, node, Some(&object_id))?,
        (None, Some(6)) => Action::MapClear,
        (None, _) => earlier.read(number, &object_id)?,
    };
    if number != Some(action.number().into()) {
        return bad("'action' must be the number of the operation that the payload is for");
    }
    let operation = Operation { object_id, action };
    check(&operation)?;
    Ok(operation)
}

const PAYLOADS: [&str; 9] = [
    "mapCreate",
    "mapCreateWithObjectId",
    "mapSet",
    "mapRemove",
    "counterCreate",
    "counterCreateWithObjectId",
    "counterInc",
    "objectDelete",
    "mapClear",
];

pub fn is_payload(name: &str) -> bool {
    PAYLOADS.contains(&name)
}

/// What a payload says is to be done. Without an id the object is the server's to name. Fails with 92000.
pub fn read_payload(name: &str, node: Node, object_id: Option<&str>) -> Result<Action, ErrorInfo> {
    match (name, object_id) {
        ("mapCreate" | "counterCreate", Some(_)) => bad("nonce is required when objectId is specified"),
        ("mapCreate", None) => read_map(node),
        ("counterCreate", None) => read_counter(node),
        ("mapCreateWithObjectId" | "counterCreateWithObjectId", None) => bad("'objectId' is missing"),
        ("mapCreateWithObjectId", Some(id)) => read_initial(node, Kind::Map, id),
        ("counterCreateWithObjectId", Some(id)) => read_initial(node, Kind::Counter, id),
        ("mapSet", _) => read_set(node, "value"),
        ("mapRemove", _) => read_key(node).map(|key| Action::MapRemove { key }),
        ("counterInc", _) => read_inc(node, "number"),
        ("mapClear", _) => fields(node, "mapClear").map(|_| Action::MapClear),
        ("objectDelete", _) => bad("objects are deleted by the server, when nobody can reach them"),
        _ => bad("there is no such operation"),
    }
}

fn read_inc(node: Node, place: &'static str) -> Result<Action, ErrorInfo> {
    let number = read_number(node, place)?;
    number.map_or_else(|| bad(["'", place, "' is missing"].concat()), |number| Ok(Action::CounterInc(number)))
}

/// Fails with 92000 for an operation on an object of another kind, a malformed id, and a clear of another map than the
/// root.
pub fn check(operation: &Operation) -> Result<(), ErrorInfo> {
    let kind = kind_of(&operation.object_id);
    match &operation.action {
        _ if kind.is_none() => bad("'objectId' is no id of an object"),
        action if action.kind() != kind => bad("the operation is for an object of another kind"),
        Action::MapClear if operation.object_id != id::ROOT => bad("only the root can be cleared"),
        Action::MapCreate(_) if operation.object_id == id::ROOT => bad("the root is there already"),
        _ => Ok(()),
    }
}

fn read_initial(node: Node, kind: Kind, object_id: &str) -> Result<Action, ErrorInfo> {
    let (mut initial, mut nonce) = (None, None);
    for (name, node) in fields(node, "mapCreateWithObjectId")? {
        match &*name {
            "initialValue" => initial = Some(text(node, "initialValue")?),
            "nonce" => nonce = Some(text(node, "nonce")?),
            _ => {}
        }
    }
    let (Some(initial), Some(nonce)) = (initial, nonce) else { return bad("'initialValue' and 'nonce' are required") };
    id::verify(object_id, kind, &initial, &nonce)?;
    let Ok(value) = node::from_json(initial.as_bytes()) else { return bad("'initialValue' must be JSON") };
    match kind {
        Kind::Map => read_map(value),
        Kind::Counter => read_counter(value),
    }
}

/// Of keys that come twice the last counts.
fn read_map(node: Node) -> Result<Action, ErrorInfo> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    for (name, node) in fields(node, "mapCreate")? {
        match &*name {
            _ if node == Node::Null => {}
            "semantics" if node.integer() != Ok(Some(LWW)) => return bad("'semantics' must be 0"),
            "entries" => {
                for (key, node) in fields(node, "entries")? {
                    entries.push((key.into_owned(), read_entry(node)?));
                }
            }
            _ => {}
        }
    }
    Ok(Action::MapCreate(last_of_each(entries)))
}

fn last_of_each(entries: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let mut seen = BTreeSet::new();
    let mut last: Vec<_> = entries.into_iter().rev().filter(|(key, _)| seen.insert(key.clone())).collect();
    last.reverse();
    last
}

fn read_entry(node: Node) -> Result<Value, ErrorInfo> {
    let mut value = None;
    for (name, node) in fields(node, "entries")? {
        match &*name {
            _ if node == Node::Null || node == Node::Bool(false) => {}
            "data" => value = Some(read_value(node)?),
            "tombstone" | "timeserial" | "serialTimestamp" => {
                return bad("the entries of a new map have 'data', and nothing else");
            }
            _ => {}
        }
    }
    value.map_or_else(|| bad("an entry of a map needs 'data'"), Ok)
}

fn read_counter(node: Node) -> Result<Action, ErrorInfo> {
    read_number(node, "count").map(|count| Action::CounterCreate(count.unwrap_or(0.0)))
}

fn read_number(node: Node, place: &'static str) -> Result<Option<f64>, ErrorInfo> {
    let mut number = None;
    for (name, node) in fields(node, "counter")? {
        if name == place {
            number = Some(finite(node, place)?);
        }
    }
    Ok(number)
}

/// What is no number is read as null.
fn finite(node: Node, place: &'static str) -> Result<f64, ErrorInfo> {
    let number = match node {
        Node::Number(number) => number.as_f64(),
        Node::Double(number) => Some(number),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| wanted(place)("a finite number"))
}

fn read_set(node: Node, value_name: &'static str) -> Result<Action, ErrorInfo> {
    let (mut key, mut value) = (None, None);
    for (name, node) in fields(node, "mapSet")? {
        match &*name {
            "key" => key = Some(text(node, "key")?),
            name if name == value_name => value = Some(read_value(node)?),
            _ => {}
        }
    }
    match (key, value) {
        (Some(key), Some(value)) => Ok(Action::MapSet { key, value }),
        _ => bad(["a set needs 'key' and '", value_name, "'"].concat()),
    }
}

fn read_key(node: Node) -> Result<String, ErrorInfo> {
    let key = fields(node, "mapRemove")?.into_iter().rfind(|(name, _)| name == "key");
    key.map_or_else(|| bad("'mapRemove' needs 'key'"), |(_, node)| text(node, "key"))
}

/// Exactly one of the fields that a value may have. What old clients call JSON is a string with an encoding.
pub fn read_value(node: Node) -> Result<Value, ErrorInfo> {
    let (mut values, mut is_json) = (Vec::new(), false);
    for (name, node) in fields(node, "value")? {
        values.push(match (&*name, node) {
            ("number", node) => Value::Number(finite(node, "number")?),
            (_, Node::Null) => continue,
            ("objectId", node) => Value::Object(text(node, "objectId")?),
            ("boolean", Node::Bool(value)) => Value::Bool(value),
            ("bytes", Node::Binary(bytes)) => Value::Bytes(bytes),
            ("bytes", node) => match BASE64.decode(text(node, "bytes")?) {
                Ok(bytes) => Value::Bytes(bytes),
                Err(_) => return bad("'bytes' must be base64"),
            },
            ("string", node) => Value::Text(text(node, "string")?),
            ("json", node) => Value::Json(text(node, "json")?),
            ("boolean", _) => return bad("'boolean' must be true or false"),
            ("encoding", node) => {
                is_json = text(node, "encoding")? == "json";
                continue;
            }
            _ => continue,
        });
    }
    let value = match values.pop() {
        Some(Value::Text(text)) if is_json => Value::Json(text),
        Some(value) => value,
        None => return bad("a value needs one of objectId, boolean, bytes, number, string and json"),
    };
    match &value {
        _ if !values.is_empty() => bad("a value has only one of objectId, boolean, bytes, number, string and json"),
        Value::Object(id) if kind_of(id).is_none() => bad("'objectId' is no id of an object"),
        Value::Json(text) if node::from_json(text.as_bytes()).is_err() => bad("'json' must be JSON"),
        _ => Ok(value),
    }
}

/// A map of fields that are there.
pub fn map<'a>(fields: impl IntoIterator<Item = (&'a str, Node<'a>)>) -> Node<'a> {
    let there = fields.into_iter().filter(|(_, node)| *node != Node::Null);
    Node::Map(there.map(|(name, node)| (name.into(), node)).collect())
}

fn string(text: &str) -> Node<'static> {
    Node::Text(text.to_owned())
}

pub fn value_node(value: &Value) -> Node<'static> {
    map([match value {
        Value::Object(id) => ("objectId", string(id)),
        Value::Bool(value) => ("boolean", Node::Bool(*value)),
        Value::Bytes(bytes) => ("bytes", Node::Binary(bytes.clone())),
        Value::Number(value) => ("number", Node::Double(*value)),
        Value::Text(text) => ("string", string(text)),
        Value::Json(text) => ("json", string(text)),
    }])
}

fn entries_node(entries: impl Iterator<Item = (String, Node<'static>)>) -> Node<'static> {
    Node::Map(entries.map(|(key, node)| (key.into(), node)).collect())
}

fn operation_node(operation: &Operation) -> Node<'static> {
    let (name, payload) = match &operation.action {
        Action::MapCreate(entries) => {
            let entry = |(key, value): &(String, Value)| (key.clone(), map([("data", value_node(value))]));
            ("mapCreate", map_node(entries_node(entries.iter().map(entry)), Node::Null))
        }
        Action::MapSet { key, value } => ("mapSet", map([("key", string(key)), ("value", value_node(value))])),
        Action::MapRemove { key } => ("mapRemove", map([("key", string(key))])),
        Action::CounterCreate(count) => ("counterCreate", map([("count", Node::Double(*count))])),
        Action::CounterInc(by) | Action::CounterStep(by) => ("counterInc", map([("number", Node::Double(*by))])),
        Action::Delete => ("objectDelete", map([])),
        Action::MapClear => ("mapClear", map([])),
    };
    let action = Node::Number(operation.action.number().into());
    map([("action", action), ("objectId", string(&operation.object_id)), (name, payload)])
}

fn map_node(entries: Node<'static>, cleared: Node<'static>) -> Node<'static> {
    map([("semantics", Node::Number(LWW.into())), ("entries", entries), ("clearTimeserial", cleared)])
}

/// The operations of an entry, as a frame of their channel has them.
pub fn operations_of(entry: &message::Entry, epoch: &str) -> Vec<Node<'static>> {
    let time = Node::Number(entry.position.time_ms().into());
    let optional = |text: Option<&String>| text.map_or(Node::Null, |text| string(text));
    let render = |(index, operation): (usize, &ObjectMessage)| {
        let stamp = Stamp { position: entry.position, index: index as u16 };
        let extras = operation.extras.as_ref().map_or(Node::Null, |extras| Node::of_value(extras.clone().into()));
        map([
            ("id", Node::Text(operation.id.clone().unwrap_or_else(|| format!("{}:{index}", entry.id)))),
            ("clientId", optional(operation.client_id.as_ref())),
            ("connectionId", optional(entry.connection_id.as_ref())),
            ("timestamp", time.clone()),
            ("serial", Node::Text(stamp.serial(epoch))),
            ("serialTimestamp", time.clone()),
            ("siteCode", string(SITE)),
            ("extras", extras),
            ("operation", operation_node(&operation.operation)),
        ])
    };
    entry.objects().iter().enumerate().map(render).collect()
}

/// An object, or some entries of one, as a sync has it. What its create said is among its entries; that it was applied
/// is told by an empty one, so that no reader applies it again.
pub fn snapshot_node(snapshot: &Snapshot, epoch: &str) -> Node<'static> {
    let Snapshot { id, object, entries } = snapshot;
    let serial = |stamp: Option<Stamp>| stamp.map_or(Node::Null, |stamp| Node::Text(stamp.serial(epoch)));
    let (name, state) = match object.state {
        State::Map { cleared } => {
            let entries = entries.iter().map(|(key, entry)| (key.clone(), entry_node(entry, epoch)));
            ("map", map_node(entries_node(entries), serial(cleared)))
        }
        State::Counter { count } => ("counter", map([("count", Node::Double(count))])),
    };
    let state = map([
        ("objectId", string(id)),
        ("siteTimeserials", map([(SITE, serial(object.stamp))])),
        ("tombstone", Node::Bool(object.gone.is_some())),
        ("createOp", if object.created { created(id, object) } else { Node::Null }),
        (name, state),
    ]);
    let gone = object.gone.map_or(Node::Null, |gone| Node::Number(gone.time_ms().into()));
    map([("object", state), ("serialTimestamp", gone)])
}

fn created(id: &str, object: &Object) -> Node<'static> {
    let action = match object.kind() {
        Kind::Map => Action::MapCreate(Vec::new()),
        Kind::Counter => Action::CounterCreate(0.0),
    };
    operation_node(&Operation { object_id: id.to_owned(), action })
}

fn entry_node(entry: &Entry, epoch: &str) -> Node<'static> {
    let serial = ("timeserial", Node::Text(entry.stamp.serial(epoch)));
    match &entry.value {
        Some(value) => map([serial, ("data", value_node(value))]),
        None => {
            let time = Node::Number(entry.stamp.time_ms().into());
            map([serial, ("tombstone", Node::Bool(true)), ("serialTimestamp", time)])
        }
    }
}
