//! The members that an app is made with: permanent, held by no connection, there until the app ends (protocol.md §
//! 12.4).

use serde_json::{Map, Value, json};

use super::creation::list;
use crate::auth::{App, Identity, Source};
use crate::error::{Code, ErrorInfo};
use crate::intake::presence;
use crate::limits::{FIXTURE_CHANNELS_MAX, FIXTURES_MAX_BYTES, MEMBERS_PER_CONNECTION_MAX};
use crate::model::Format;
use crate::model::name::{AppId, ChannelName};
use crate::model::node;
use crate::protocol::inbound::{InboundMessage, wrong};
use crate::rpc::{
    Address, ChannelCall, ConnectionOutcome, Lease, Publish, PublishKey, RelayName, Request, Rules, Submission,
};

/// The connection that all of them say they are of. Nobody has it: those of clients are random, and hold no `.`.
fn connection_id(app: &AppId) -> String {
    format!("{}.fixtures", app.as_str())
}

fn hold() -> Lease {
    Lease { relay: RelayName::nobody(), grace_ms: 0 }
}

/// The calls that enter the members of a body's `channels`. Fails with 40000, saying where, for a channel that is none,
/// with 40009 when they say too much, and as [`presence::check`] does for each member.
pub fn entering(app: &App, body: &Map<String, Value>) -> Result<Vec<ChannelCall>, ErrorInfo> {
    let channels = list(body, "channels", FIXTURE_CHANNELS_MAX)?;
    let bytes: usize = channels.iter().map(|channel| channel.to_string().len()).sum();
    if bytes > FIXTURES_MAX_BYTES {
        return Err(Code::TooLarge.because(format!("channels must have at most {FIXTURES_MAX_BYTES} bytes")));
    }
    let mut calls = Vec::new();
    for (index, channel) in channels.iter().enumerate() {
        let wrong = |error: ErrorInfo| ErrorInfo { message: format!("channels[{index}]: {}", error.message), ..error };
        calls.extend(entering_one(app, channel, index as u64).map_err(wrong)?);
    }
    Ok(calls)
}

fn entering_one(app: &App, channel: &Value, index: u64) -> Result<Option<ChannelCall>, ErrorInfo> {
    let fields = channel.as_object().ok_or_else(|| Code::BadRequest.because("must be an object"))?;
    let name = fields.get("name").and_then(Value::as_str).ok_or_else(|| Code::BadRequest.because("has no name"))?;
    let name = ChannelName::parse(name)?.owner();
    name.refuse_view()?;
    let members = list(fields, "presence", MEMBERS_PER_CONNECTION_MAX)?;
    if members.is_empty() {
        return Ok(None);
    }
    // As a client would send them, so that what they may hold and how it is read have one home.
    let members = json!(members).to_string();
    let node = node::read(members.as_bytes(), Format::Json)?;
    let (mut events, _) = InboundMessage::read_several(node).map_err(|wanted| wrong(Format::Json, wanted))?;
    for event in &mut events {
        (event.action, event.id) = (Some(presence::ENTER), None);
    }
    let connection_id = connection_id(app.id());
    let updates = presence::check(events, &Identity::Wildcard, None, &connection_id, index)?;
    let content = Submission::Presence { lease: hold(), updates };
    let publish =
        Publish { key: PublishKey::Serial(index), connection_id: Some(connection_id), by: Source::SERVER, content };
    Ok(Some(call(app.id(), name.clone(), Rules::on(app, &name), publish)))
}

/// The calls by which they leave these channels.
pub fn leaving(id: &AppId, app: Option<&App>, channels: &str) -> Vec<ChannelCall> {
    let mut calls = Vec::new();
    for name in channels.lines().filter_map(|name| ChannelName::parse(name).ok()) {
        let content = Submission::ConnectionOutcome { lease: hold(), outcome: ConnectionOutcome::Left };
        let key = PublishKey::Request(format!("deleted!{}", id.as_str()));
        let publish = Publish { key, connection_id: Some(connection_id(id)), by: Source::SERVER, content };
        let rules = app.map_or(crate::auth::Rules::NONE, |app| app.rules(&name));
        calls.push(call(id, name, Rules::of(rules), publish));
    }
    calls
}

fn call(app: &AppId, channel: ChannelName, rules: Rules, publish: Publish) -> ChannelCall {
    ChannelCall { to: Address { app: app.clone(), channel }, rules, request: Request::Publish(vec![publish]) }
}
