//! `POST /keys/{keyName}/revokeTokens`: tokens of a key end before they expire (protocol.md § 11.7).

use super::caller::Caller;
use super::step::another_answer;
use super::{Step, body};
use crate::auth::{KeyName, RevokeRequest};
use crate::error::ErrorInfo;
use crate::http::{Form, Request};
use crate::rpc::{AppCall, AppRequest, AppResponse};

/// Fails as [`RevokeRequest::authorize`] and [`RevokeRequest::from_value`] do.
pub fn begin(
    request: &Request,
    key_name: &KeyName,
    caller: &Caller,
    form: Form,
    now_ms: u64,
) -> Result<Step, ErrorInfo> {
    RevokeRequest::authorize(key_name, Some(caller.app()), caller.grant())?;
    let asked = RevokeRequest::from_value(&body::value(request)?, now_ms)?;
    let revocations = asked.revocations(key_name);
    let call = AppCall { app: key_name.app().clone(), request: AppRequest::Revoke(revocations) };
    Ok(form.ask(call, move |response| match response {
        AppResponse::Revoked(outcomes) => Ok(Step::Reply(form.created(&asked.report(outcomes)))),
        _ => Err(another_answer()),
    }))
}
