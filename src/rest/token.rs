//! `POST` and `GET /keys/{keyName}/requestToken`: a token for a signed request, or for the key itself (protocol.md
//! § 11.2).

use super::body::{self, Body};
use super::caller::credentials;
use super::step::{Begin, another_answer};
use super::{Context, Step};
use crate::auth::{Grant, Guessed, KeyName, NonceUse, TokenRequest};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Request};
use crate::intake::parameters::{self, QueryOf};
use crate::limits::TOKEN_REQUEST_MAX_BYTES;
use crate::rpc::{AppCall, AppRequest, AppResponse};

/// Fails with 40400 for a key that is not there: whatever else is wrong, there is no such path.
pub fn admit(key_name: KeyName, form: Form, context: &Context<'_>) -> Result<Box<Begin>, ErrorInfo> {
    let key = context.apps.get(key_name.app()).and_then(|app| app.live_key(&key_name, context.now_ms));
    key.ok_or_else(|| Code::NotFound.because("no such key"))?;
    Ok(Box::new(move |request, context| begin(request, &key_name, form, context)))
}

fn begin(request: &Request, key_name: &KeyName, form: Form, context: &mut Context<'_>) -> Result<Step, ErrorInfo> {
    let app = context.apps.get(key_name.app()).map(|app| &**app);
    let token_request = token_request(request)?;
    let authority = authority(request, context);
    let known = authority.as_ref().ok().and_then(Option::as_ref);
    let now_ms = context.now_ms;
    let approve = || token_request.approve(key_name, app, known, now_ms);
    let approved = match token_request.is_signed() {
        true => context.attempts.check(Guessed::Key(Some(key_name)), &request.address, now_ms, approve),
        false => approve(),
    };
    let mut approved = match approved {
        // Not signed, and what was presented instead is wrong: that is what the client has to mend.
        Err(error) if error.is(Code::NoCredentials) => return Err(authority.err().unwrap_or(error)),
        approved => approved?,
    };
    let random = *context.random.first_chunk().expect("32 bytes have eight");
    match approved.nonce.take() {
        None => Ok(Step::Reply(form.created(&approved.issue(random)))),
        Some(NonceUse { key, forget_at_ms }) => {
            let call = AppCall { app: key_name.app().clone(), request: AppRequest::Nonce { key, forget_at_ms } };
            Ok(form.ask(call, move |response| match response {
                AppResponse::Fresh(true) => Ok(Step::Reply(form.created(&approved.issue(random)))),
                AppResponse::Fresh(false) => Err(Code::NonceReplayed.into()),
                _ => Err(another_answer()),
            }))
        }
    }
}

fn token_request(request: &Request) -> Result<TokenRequest, ErrorInfo> {
    if request.method != "POST" {
        return TokenRequest::from_query(&request.query);
    }
    match Body::of(request, TOKEN_REQUEST_MAX_BYTES)? {
        Body::Encoded(format) => TokenRequest::from_value(&body::decoded(request, format, |node| node.into_value())?),
        Body::Form(pairs) => {
            // As in the query, where they may stand, too.
            parameters::check(QueryOf::Token, &pairs, request.headers.name_an_sdk())?;
            TokenRequest::from_query(&pairs)
        }
    }
}

/// What the request's own credentials allow; a signed token request needs none.
fn authority(request: &Request, context: &mut Context<'_>) -> Result<Option<Grant>, ErrorInfo> {
    let credentials = match credentials(request) {
        Err(error) if error.is(Code::NoCredentials) => return Ok(None),
        credentials => credentials?,
    };
    let app = context.apps.get(credentials.app_id()).map(|app| &**app);
    context.attempts.verify(&credentials, app, &request.address, context.now_ms).map(Some)
}
