//! `/apps/{app}/connections`: who is connected, and the end of it. The app knows which objects hold its clients; these
//! are asked, a number of them at a time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};

use super::super::history::limit;
use super::super::page::Links;
use super::super::step::another_answer;
use super::super::{Step, body};
use super::{Operator, ask};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Request};
use crate::limits::{CONNECTIONS_PAGE_MAX, HOLDERS_AT_ONCE_MAX};
use crate::model::name::{AppId, ChannelName};
use crate::rpc::{Act, AdminResponse, HeldConnection, Inspected, Inspection, RelayName, Selector};

/// Fails with 40003 for a limit or a cursor that is none, with 40010 for no channel's name, and with 50003 when an
/// object does not answer.
pub fn list(request: &Request, operator: Operator, form: Form) -> Result<Step, ErrorInfo> {
    let of = Selector {
        connection_id: None,
        client_id: request.parameter("clientId").map(str::to_owned),
        channel: request.parameter("channel").map(ChannelName::parse).transpose()?,
    };
    let (from, after) = request.parameter("cursor").map_or(Ok(Default::default()), read_cursor)?;
    let links = Links::of(request, "connections", &["clientId", "channel"]);
    let limit = limit(request)?.min(CONNECTIONS_PAGE_MAX);
    Ok(ask(operator.id(), holders(&from), None, form, move |response| {
        let (asked, rest) = split(response)?;
        let question = |relay: &RelayName| {
            let after = if relay.as_str() == from { after.clone() } else { String::new() };
            (relay.clone(), Inspection::List { of: of.clone(), after, limit })
        };
        let questions = asked.iter().map(question).collect();
        let page = move |answers: Vec<Option<Inspected>>| {
            let (shown, next) = paged(asked, rest, answers, limit)?;
            Ok(Step::Reply(form.page(&shown, links.header(next))))
        };
        Ok(Step::Inspect(questions, form.then(page)))
    }))
}

/// What of the answers makes the page, and where the next one begins.
fn paged(
    asked: Vec<RelayName>,
    rest: Option<RelayName>,
    answers: Vec<Option<Inspected>>,
    limit: usize,
) -> Result<(Vec<Value>, Option<String>), ErrorInfo> {
    let mut shown = Vec::new();
    for (relay, answer) in asked.into_iter().zip(answers) {
        let Some(Inspected::List { connections, has_more }) = answer else { return Err(unreachable()) };
        let (room, count) = (limit - shown.len(), connections.len());
        let last = connections.get(room.min(count).wrapping_sub(1)).map(|last| last.connection_id.clone());
        shown.extend(connections.iter().take(room).map(shown_one));
        if has_more || count > room {
            return Ok((shown, Some(cursor(relay.as_str(), last.as_deref().unwrap_or_default()))));
        }
    }
    Ok((shown, rest.map(|relay| cursor(relay.as_str(), ""))))
}

fn shown_one(connection: &HeldConnection) -> Value {
    let (transport, protocol) = connection.transport.split_once(' ').unwrap_or((&connection.transport, "ably"));
    json!({
        "connectionId": connection.connection_id,
        "clientId": connection.client_id,
        "keyName": connection.key_name,
        "transport": transport,
        "protocol": protocol,
        "since": connection.since_ms,
        "channels": connection.channels,
        "channelCount": connection.channel_count,
        "unreadBytes": connection.debt_bytes,
        "unacknowledged": connection.unacknowledged,
    })
}

fn holders(from: &str) -> Act {
    Act::Holders { from: from.to_owned(), limit: HOLDERS_AT_ONCE_MAX + 1 }
}

/// Those to ask now, and the first of those to ask later.
fn split(response: AdminResponse) -> Result<(Vec<RelayName>, Option<RelayName>), ErrorInfo> {
    let AdminResponse::Holders(mut holders) = response else { return Err(another_answer()) };
    let rest = holders.get(HOLDERS_AT_ONCE_MAX).cloned();
    holders.truncate(HOLDERS_AT_ONCE_MAX);
    Ok((holders, rest))
}

/// Continue in this object, behind that connection. No object's name holds a line break.
fn cursor(relay: &str, connection_id: &str) -> String {
    BASE64URL.encode([relay, "\n", connection_id].concat())
}

fn read_cursor(text: &str) -> Result<(String, String), ErrorInfo> {
    let read = || {
        let text = String::from_utf8(BASE64URL.decode(text).ok()?).ok()?;
        text.split_once('\n').map(|(relay, id)| (relay.to_owned(), id.to_owned()))
    };
    read().ok_or_else(|| Code::BadParameter.because("the cursor is not one that a page had"))
}

fn unreachable() -> ErrorInfo {
    Code::TimedOut.because("an object that holds connections could not be reached; try again")
}

/// Connections that are ended, object after object.
struct End {
    app: AppId,
    of: Selector,
    comes_back: bool,
    ended: u64,
    unreachable: usize,
}

/// By the connection's id, or those of a client or a channel. Fails with 40000 when the body does not say which, and
/// with 40400 when there is no such connection.
pub fn end(
    request: &Request,
    connection_id: Option<String>,
    operator: Operator,
    form: Form,
) -> Result<Step, ErrorInfo> {
    let body = if request.body.is_empty() { json!({}) } else { body::value(request)? };
    let asked = Asked::read(&body, connection_id.is_some())?;
    let of = Selector { connection_id, client_id: asked.client_id, channel: asked.channel };
    let note = operator.note("disconnect", &target(&of));
    let app = operator.id().clone();
    let end = End { app: app.clone(), of, comes_back: asked.comes_back, ended: 0, unreachable: 0 };
    // Noted first: whoever is ended must not be so by nobody.
    Ok(ask(&app, Act::Note, note, form, move |_| Ok(end.from("", form))))
}

fn target(of: &Selector) -> String {
    let parts = [
        of.connection_id.as_deref().map(|id| format!("connection {id}")),
        of.client_id.as_deref().map(|name| format!("clientId {name}")),
        of.channel.as_ref().map(|channel| format!("channel {channel}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

struct Asked {
    client_id: Option<String>,
    channel: Option<ChannelName>,
    comes_back: bool,
}

impl Asked {
    fn read(body: &Value, is_named: bool) -> Result<Asked, ErrorInfo> {
        let fields = body.as_object().ok_or_else(|| Code::BadBody.because("the body must be an object"))?;
        let mut asked = Asked { client_id: None, channel: None, comes_back: false };
        for (name, value) in fields {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("clientId", Value::String(client_id)) if !is_named => asked.client_id = Some(client_id.clone()),
                ("channel", Value::String(channel)) if !is_named => asked.channel = Some(ChannelName::parse(channel)?),
                ("reconnect", Value::Bool(comes_back)) => asked.comes_back = *comes_back,
                _ => {
                    let what = "it takes clientId and channel, texts, where no connection is named, and reconnect";
                    return Err(Code::BadRequest.because(format!("{name} is wrong here: {what}, true or false")));
                }
            }
        }
        if !is_named && asked.client_id.is_none() && asked.channel.is_none() {
            return Err(Code::BadRequest.because("say whose connections end: clientId or channel"));
        }
        Ok(asked)
    }
}

impl End {
    fn from(self, from: &str, form: Form) -> Step {
        let app = self.app.clone();
        ask(&app, holders(from), None, form, move |response| {
            let (asked, rest) = split(response)?;
            let end = Inspection::End { of: self.of.clone(), comes_back: self.comes_back };
            let questions = asked.into_iter().map(|relay| (relay, end.clone())).collect();
            Ok(Step::Inspect(questions, form.then(move |answers| self.counted(answers, rest, form))))
        })
    }

    fn counted(
        mut self,
        answers: Vec<Option<Inspected>>,
        rest: Option<RelayName>,
        form: Form,
    ) -> Result<Step, ErrorInfo> {
        for answer in answers {
            match answer {
                Some(Inspected::Ended(ended)) => self.ended += ended,
                _ => self.unreachable += 1,
            }
        }
        let is_found = self.of.connection_id.is_some() && self.ended > 0;
        match rest {
            Some(rest) if !is_found => Ok(self.from(rest.as_str(), form)),
            _ => self.reply(form),
        }
    }

    fn reply(self, form: Form) -> Result<Step, ErrorInfo> {
        if self.unreachable > 0 && self.ended == 0 {
            return Err(unreachable());
        }
        if self.of.connection_id.is_some() && self.ended == 0 {
            return Err(Code::NotFound.because("no such connection"));
        }
        Ok(Step::Reply(form.ok(&json!({ "disconnected": self.ended, "unreachable": self.unreachable }))))
    }
}
