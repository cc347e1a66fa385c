//! `/apps/{app}/bans`: which clients are kept out, and of what.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::Value;

use super::super::history::limit;
use super::super::page::Links;
use super::super::step::another_answer;
use super::super::{Step, body};
use super::{Operator, Scope, ask};
use crate::auth::{Ban, subject};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::limits::BANS_PAGE_MAX;
use crate::rpc::{Act, AdminResponse};

/// What an operator must be of who bans there, or lifts a ban.
fn scope(channels: Option<&str>) -> Scope<'_> {
    channels.map_or(Scope::App, Scope::Channels)
}

/// Fails as [`Operator::require`] and [`Ban::from_value`] do.
pub fn ban(request: &Request, operator: &Operator, form: Form) -> Result<Step, ErrorInfo> {
    let asked = body::value(request);
    operator.require(scope(asked.as_ref().ok().and_then(|asked| asked.get("channel")?.as_str())))?;
    let ban = Ban::from_value(&asked?, operator.now_ms)?;
    let made = form.created(&ban.to_json());
    let note = operator.note(action(&ban), &target(&ban.client_id, ban.channels.as_deref()));
    Ok(ask(operator.id(), Act::Ban(ban), note, form, move |_| Ok(Step::Reply(made))))
}

/// By `clientId`, and `channel` as the ban names it. Fails as [`Operator::require`] does, and with 40400 when there is
/// no such ban.
pub fn lift(request: &Request, operator: &Operator, form: Form) -> Result<Step, ErrorInfo> {
    operator.require(scope(request.parameter("channel")))?;
    let name = request.parameter("clientId").ok_or_else(|| Code::BadParameter.because("clientId must say of whom"))?;
    let (client_id, channels) = subject(name, request.parameter("channel"))?;
    let note = operator.note("unban", &target(&client_id, channels.as_deref()));
    Ok(ask(operator.id(), Act::Lift { client_id, channels }, note, form, |response| match response {
        AdminResponse::Lifted(true) => Ok(Step::Reply(Reply::empty())),
        AdminResponse::Lifted(false) => {
            Err(Code::NotFound.because("there is no such ban; a ban is named as it was made"))
        }
        _ => Err(another_answer()),
    }))
}

/// What the audit calls it.
fn action(ban: &Ban) -> &'static str {
    match ban.interval_ms {
        None => "ban",
        Some(0) => "mute",
        Some(_) => "slow mode",
    }
}

fn target(client_id: &str, channels: Option<&str>) -> String {
    match channels {
        Some(channels) => format!("clientId {client_id} on {channels}"),
        None => format!("clientId {client_id}"),
    }
}

/// Fails with 40003 for a limit or a cursor that is none.
pub fn list(request: &Request, operator: &Operator, form: Form) -> Result<Step, ErrorInfo> {
    let limit = limit(request)?.min(BANS_PAGE_MAX);
    let bad_cursor = || Code::BadParameter.because("the cursor is not one that a page had");
    let cursor = request.parameter("cursor");
    let after = cursor.map(|text| String::from_utf8(BASE64URL.decode(text).ok()?).ok());
    let after = after.map_or(Ok(String::new()), |after| after.ok_or_else(bad_cursor))?;
    let links = Links::of(request, "bans", &[]);
    let now_ms = operator.now_ms;
    Ok(ask(operator.id(), Act::Bans { after, limit: limit + 1 }, None, form, move |response| {
        let AdminResponse::Bans(mut bans) = response else { return Err(another_answer()) };
        let has_more = bans.len() > limit;
        bans.truncate(limit);
        let next = bans.last().filter(|_| has_more).map(|ban| BASE64URL.encode(ban.key()));
        let shown: Vec<Value> = bans.iter().filter(|ban| ban.is_in_force(now_ms)).map(Ban::to_json).collect();
        Ok(Step::Reply(form.page(&shown, links.header(next))))
    }))
}
