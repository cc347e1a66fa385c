//! `GET /audit` and `GET /apps/{app}/audit`: what operators have done, the latest first.

use serde_json::Value;

use super::super::apps;
use super::super::caller::Caller;
use super::super::history::limit;
use super::super::page::{Links, before};
use super::super::step::{Begin, another_answer};
use super::super::{Context, Step};
use super::ask;
use super::operator::{Operator, is_by_deployment};
use crate::error::ErrorInfo;
use crate::http::{Form, Request};
use crate::limits::AUDIT_PAGE_MAX;
use crate::model::name::AppId;
use crate::rpc::{Act, AdminResponse};

/// Of all apps, for whoever has the admin token; of its own app, for a key.
pub fn admit(request: &Request, form: Form, context: &mut Context<'_>) -> Result<Box<Begin>, ErrorInfo> {
    if is_by_deployment(request, context) {
        apps::require_maker(request, context)?;
        return Ok(Box::new(move |request, _| page(request, &AppId::deployment(), form)));
    }
    let operator = Operator::of_own_app(Caller::authenticate(request, context)?, context.now_ms)?;
    Ok(Box::new(move |request, _| list(request, &operator, form)))
}

pub fn list(request: &Request, operator: &Operator, form: Form) -> Result<Step, ErrorInfo> {
    page(request, operator.id(), form)
}

/// Fails with 40003 for a limit or a cursor that is none.
fn page(request: &Request, app: &AppId, form: Form) -> Result<Step, ErrorInfo> {
    let limit = limit(request)?.min(AUDIT_PAGE_MAX);
    let before = before(request)?;
    let links = Links::of(request, "audit", &[]);
    Ok(ask(app, Act::Audit { before, limit: limit + 1 }, None, form, move |response| {
        let AdminResponse::Audit(mut notes) = response else { return Err(another_answer()) };
        let has_more = notes.len() > limit;
        notes.truncate(limit);
        let next = notes.last().filter(|_| has_more).map(|(number, _)| number.to_string());
        let shown: Vec<Value> = notes.iter().map(|(_, note)| note.to_json()).collect();
        Ok(Step::Reply(form.page(&shown, links.header(next))))
    }))
}
