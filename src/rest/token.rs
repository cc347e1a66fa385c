//! `POST` and `GET /keys/{keyName}/requestToken`: a token for a signed request, or for the key itself (protocol.md
//! § 11.2).

use super::body::{self, Body};
use super::caller::credentials;
use super::form::Form;
use super::inquiry::Inquiry;
use super::{Context, Request, Step};
use crate::auth::{ApprovedToken, Grant, KeyName, NonceUse, TokenDetails, TokenRequest};
use crate::call::{AppCall, AppRequest};
use crate::error::{Code, ErrorInfo};
use crate::limits::BODY_MAX_BYTES;

/// Before the request is read: whatever is wrong with it, there is no such path.
pub(super) fn require_key(key_name: &KeyName, context: &Context<'_>) -> Result<(), ErrorInfo> {
    let key = context.apps.get(key_name.app()).and_then(|app| app.key(key_name));
    key.map(drop).ok_or_else(|| Code::NotFound.because("no such key"))
}

pub(super) fn begin(
    request: &Request,
    key_name: &KeyName,
    form: Form,
    context: &mut Context<'_>,
) -> Result<Step, ErrorInfo> {
    require_key(key_name, context)?;
    let app = context.apps.get(key_name.app()).map(|app| &**app);
    let token_request = token_request(request)?;
    let authority = authority(request, context);
    let known = authority.as_ref().ok().and_then(Option::as_ref);
    let now_ms = context.now_ms;
    let approve = || token_request.approve(key_name, app, known, now_ms);
    let approved = match token_request.is_signed() {
        true => context.attempts.check(&key_name.to_string(), &request.address, now_ms, approve),
        false => approve(),
    };
    let mut approved = match approved {
        // Not signed, and what was presented instead is wrong: that is what the client has to mend.
        Err(error) if error.is(Code::NoCredentials) => return Err(authority.err().unwrap_or(error)),
        approved => approved?,
    };
    let random = *context.random.first_chunk().expect("32 bytes have eight");
    match approved.nonce.take() {
        None => Ok(Step::Reply(form.created(&Issue { approved, random }.issue()))),
        Some(NonceUse { key, forget_at_ms }) => {
            let call = AppCall { app: key_name.app().clone(), request: AppRequest::Nonce { key, forget_at_ms } };
            Ok(Step::Ask(call, Inquiry::token(form, Issue { approved, random })))
        }
    }
}

fn token_request(request: &Request) -> Result<TokenRequest, ErrorInfo> {
    if request.method != "POST" {
        return TokenRequest::from_query(&request.query);
    }
    match Body::of(request, BODY_MAX_BYTES)? {
        Body::Encoded(format) => TokenRequest::from_value(&body::decoded(request, format, |node| node.into_value())?),
        Body::Form(pairs) => TokenRequest::from_query(&pairs),
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

/// A token that may be issued if its nonce is new.
pub struct Issue {
    approved: ApprovedToken,
    random: [u8; 8],
}

impl Issue {
    pub fn issue(self) -> TokenDetails {
        self.approved.issue(self.random)
    }
}
