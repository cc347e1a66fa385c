//! `/channels/{channel}/object`: objects are read and changed (protocol.md § 19).

use std::borrow::Cow;

use serde::Serialize;

use super::caller::Caller;
use super::step::unanswered;
use super::{Context, Step, body, publish};
use crate::auth::Operations;
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::intake::objects::check;
use crate::intake::publish::chosen_id;
use crate::limits::{BODY_MAX_BYTES, OBJECTS_DEPTH_MAX, PUBLISH_MAX_MESSAGES};
use crate::model::name::ChannelName;
use crate::model::node::{Node, Wanted};
use crate::model::objects::id::{self, ROOT, kind_of};
use crate::model::objects::operation::{Action, Kind, ObjectMessage, Operation, Proposal, Target, Value};
use crate::model::objects::parts::{Snapshot, State, Tree};
use crate::model::objects::path::Path;
use crate::protocol::objects::{check as check_kind, is_payload, map, read_payload, value_node};
use crate::rpc::{self, Outcome, Publish, PublishKey, Response, Submission, TreeQuery};

/// A read of an object, which the path may name, or of what `path` leads to from there. Fails with 40160, 92007 for a
/// wildcard, and 92004 for what is no id.
pub fn read(
    request: &Request,
    channel: &ChannelName,
    object_id: Option<String>,
    caller: &Caller,
    form: Form,
) -> Result<Step, ErrorInfo> {
    caller.require_any_of(channel, &[Operations::OBJECT_SUBSCRIBE, Operations::SUBSCRIBE], "read objects here")?;
    let named = object_id.or_else(|| request.parameter("objectId").map(str::to_owned));
    let object_id = named.unwrap_or_else(|| ROOT.to_owned());
    if kind_of(&object_id).is_none() {
        return Err(Code::NoSuchObject.because("that is no id of an object"));
    }
    let path = Path::parse(request.parameter("path").unwrap_or_default())?;
    if path.has_wildcard() {
        return Err(Code::BadPath.because("path not processable: a read goes to one place, and takes no wildcards"));
    }
    let compact = request.parameter("compact") != Some("false");
    let call = caller.call(channel, rpc::Request::Tree(TreeQuery { object_id, path }));
    Ok(form.call(call, move |response| shown(compact, form, response)))
}

fn shown(compact: bool, form: Form, response: Response) -> Result<Reply, ErrorInfo> {
    let Response::Tree(Tree { top, mut objects }) = response else { return Err(unanswered()) };
    objects.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let mut shown = Shown { seen: vec![false; objects.len()], objects: &objects, compact };
    Ok(form.ok(&shown.value(&top, 0).unwrap_or(Node::Null)))
}

/// An answer while it is written: an object that comes again is shown as its id.
struct Shown<'a> {
    /// By their ids.
    objects: &'a [Snapshot],
    seen: Vec<bool>,
    compact: bool,
}

impl<'a> Shown<'a> {
    /// `None` for a reference to what is not there.
    fn value(&mut self, value: &'a Value, depth: usize) -> Option<Node<'static>> {
        match value {
            Value::Object(id) => {
                let at = self.objects.binary_search_by(|object| object.id.as_str().cmp(id)).ok()?;
                if depth > OBJECTS_DEPTH_MAX || std::mem::replace(&mut self.seen[at], true) {
                    return Some(map([("objectId", Node::Text(id.clone()))]));
                }
                Some(self.object(&self.objects[at], depth))
            }
            other if !self.compact => Some(value_node(other)),
            Value::Bool(value) => Some(Node::Bool(*value)),
            Value::Number(value) => Some(Node::Double(*value)),
            Value::Bytes(bytes) => Some(Node::Binary(bytes.clone())),
            Value::Text(text) | Value::Json(text) => Some(Node::Text(text.clone())),
        }
    }

    fn object(&mut self, object: &'a Snapshot, depth: usize) -> Node<'static> {
        let id = Node::Text(object.id.clone());
        match (&object.object.state, self.compact) {
            (State::Counter { count }, true) => Node::Double(*count),
            (State::Counter { count }, false) => {
                let data = map([("number", Node::Double(*count))]);
                map([("objectId", id), ("counter", map([("data", data)]))])
            }
            (State::Map { .. }, true) => Node::Map(self.entries(object, depth)),
            (State::Map { .. }, false) => {
                let data = |(key, node)| (key, map([("data", node)]));
                let entries = Node::Map(self.entries(object, depth).into_iter().map(data).collect());
                map([("objectId", id), ("map", map([("semantics", Node::Text("LWW".into())), ("entries", entries)]))])
            }
        }
    }

    fn entries(&mut self, object: &'a Snapshot, depth: usize) -> Vec<(Cow<'static, str>, Node<'static>)> {
        let mut shown = Vec::new();
        for (key, entry) in &object.entries {
            if let Some(node) = entry.value.as_ref().and_then(|value| self.value(value, depth + 1)) {
                shown.push((key.clone().into(), node));
            }
        }
        shown
    }
}

/// One operation as a body says it.
#[derive(Default)]
struct Asked {
    id: Option<String>,
    object_id: Option<String>,
    path: Option<String>,
    nonce: Option<String>,
    payload: Option<(String, Node<'static>)>,
    is_twofold: bool,
}

impl Asked {
    fn read(node: Node) -> Result<Asked, Wanted> {
        let mut asked = Asked::default();
        for (name, node) in node.into_fields()? {
            match &*name {
                "id" => asked.id = node.into_text()?.filter(|id| !id.is_empty()),
                "objectId" => asked.object_id = node.into_text()?,
                "path" => asked.path = node.into_text()?,
                "nonce" => asked.nonce = node.into_text()?,
                name if is_payload(name) && node != Node::Null => {
                    asked.is_twofold = asked.payload.replace((name.to_owned(), node.into_owned())).is_some();
                }
                _ => {}
            }
        }
        Ok(asked)
    }
}

/// A change of objects. Fails with 40160, 92000 (operations), 92006 and 92007 (whose), and as
/// [`check`] does.
pub fn begin(
    request: &Request,
    channel: &ChannelName,
    caller: &Caller,
    form: Form,
    context: &Context<'_>,
) -> Result<Step, ErrorInfo> {
    caller.require_any_of(channel, &[Operations::OBJECT_PUBLISH], "change objects here")?;
    let read = |node: Node| node.several(PUBLISH_MAX_MESSAGES, Asked::read);
    let (asked, _) = body::decode(request, BODY_MAX_BYTES, read)?;
    let ids: Vec<Option<&str>> = asked.iter().map(|asked| asked.id.as_deref()).collect();
    let id = chosen_id(&ids)?;
    let mut proposals = Vec::new();
    for (index, asked) in asked.into_iter().enumerate() {
        let nonce = format!("{}{index:04}", publish::base(&context.random));
        proposals.extend(proposed(asked, nonce, context.now_ms)?);
    }
    check(&mut proposals, caller.identity(), caller.grant().user_claim(channel).as_ref())?;
    // The others have theirs by their places: a create at a path is two operations.
    proposals.iter_mut().skip(1).for_each(|proposal| proposal.message.id = None);
    let key = id.map_or_else(|| PublishKey::Request(publish::base(&context.random)), PublishKey::Id);
    let (by, content) = (caller.grant().source(), Submission::Objects(proposals));
    let publish = Publish { key, connection_id: None, by, content };
    let (name, message_id) = (channel.to_string(), publish.id());
    let call = caller.call(channel, rpc::Request::Publish(vec![publish]));
    Ok(form.call(call, move |response| {
        let outcome = publish::published(response)?.outcomes.into_iter().next();
        match outcome {
            Some(Outcome::Operated { object_ids, .. }) => {
                Ok(form.created(&Receipt { channel: name, message_id, object_ids }))
            }
            Some(Outcome::Refused(error)) => Err(error),
            Some(Outcome::Accepted { .. }) | None => Err(unanswered()),
        }
    }))
}

/// What an operation of a body comes to: itself, or a create, and a set that puts what is created in its place.
fn proposed(asked: Asked, nonce: String, now_ms: u64) -> Result<Vec<Proposal>, ErrorInfo> {
    let Asked { id, object_id, path, nonce: chosen, payload, is_twofold } = asked;
    let (name, node) = match payload {
        Some(payload) if !is_twofold => payload,
        _ => return Err(Code::BadObject.because("each operation has one payload, such as 'mapSet'")),
    };
    let path = path.as_deref().map(Path::parse).transpose()?;
    let initial = initial_value(&node);
    let action = match (&object_id, &chosen) {
        (Some(object_id), Some(nonce)) if matches!(&*name, "mapCreate" | "counterCreate") => {
            let action = read_payload(&name, node, None)?;
            id::verify(object_id, kind_to_create(&action), &initial, nonce)?;
            action
        }
        _ => read_payload(&name, node, object_id.as_deref())?,
    };
    let message = |object_id: String, action| ObjectMessage {
        id: id.clone(),
        client_id: None,
        extras: None,
        operation: Operation { object_id, action },
    };
    match (object_id, path) {
        (Some(_), Some(_)) => Err(Code::BadObject.because("an operation names its object by 'objectId' or by 'path'")),
        (Some(object_id), None) => {
            let target = if action.creates() { Target::Named } else { Target::Existing };
            let message = message(object_id, action);
            check_kind(&message.operation)?;
            Ok(vec![Proposal { message, target }])
        }
        (None, path) if action.creates() => {
            let object_id = id::make(kind_to_create(&action), &initial, &nonce, now_ms);
            let create = Proposal { message: message(object_id.clone(), action), target: Target::Named };
            let Some(path) = path else { return Ok(vec![create]) };
            let (target, key) = place(path)?;
            let value = Value::Object(object_id);
            let set = ObjectMessage { id: None, ..message(String::new(), Action::MapSet { key, value }) };
            Ok(vec![create, Proposal { message: set, target }])
        }
        (None, None) if action == Action::MapClear => {
            Ok(vec![Proposal { message: message(ROOT.to_owned(), action), target: Target::Named }])
        }
        (None, Some(path)) if action == Action::MapClear && !path.0.is_empty() => {
            Err(Code::BadObject.because("only the root can be cleared"))
        }
        (None, Some(path)) => Ok(vec![Proposal { message: message(String::new(), action), target: Target::At(path) }]),
        (None, None) => Err(Code::NoObjectNamed.because("object id or path required")),
    }
}

fn kind_to_create(action: &Action) -> Kind {
    action.kind().unwrap_or(Kind::Map)
}

/// Where to put what is created.
fn place(path: Path) -> Result<(Target, String), ErrorInfo> {
    let wrong = || Code::BadPath.because("path not processable: what is created needs one place, without wildcards");
    let (parent, key) = path.split_last().ok_or_else(wrong)?;
    if parent.has_wildcard() { Err(wrong()) } else { Ok((Target::At(parent), key)) }
}

/// What an id is made of: the payload as JSON.
fn initial_value(payload: &Node) -> String {
    serde_json::to_string(payload).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    channel: String,
    message_id: String,
    object_ids: Vec<String>,
}
