//! Requests that are signed: `auth_signature` is the HMAC of the method, the path and all other parameters, which name
//! the key, the time and the MD5 of the body.

use md5::{Digest, Md5};

use crate::auth::{Guessed, Key, KeyName};
use crate::error::{Code, ErrorInfo};
use crate::http::Request;
use crate::limits::PUSHER_CLOCK_SKEW_MAX_MS;
use crate::model::name::AppId;
use crate::rest::Context;
use crate::rest::caller::Caller;

/// Fails with 40101 for a signature that the key did not make, for a key or an app that is not there, and for a key
/// that has ended; with 40104 when the request is not of now, with 40003 for another version of signatures, and with
/// 42910 when too much that was wrong came before.
pub fn caller(request: &Request, id: &AppId, context: &mut Context<'_>) -> Result<Caller, ErrorInfo> {
    let parameter = |name: &str| request.parameter(name).ok_or_else(|| missing(name));
    let (key_name, signature) = (parameter("auth_key")?, parameter("auth_signature")?);
    if parameter("auth_version")? != "1.0" {
        return Err(Code::BadParameter.because("'auth_version' must be 1.0"));
    }
    let app = context.apps.get(id).cloned();
    let now_ms = context.now_ms;
    let named = KeyName::parse(key_name).ok();
    let verify = || {
        let key = named.as_ref().and_then(|name| app.as_ref()?.live_key(name, now_ms)).ok_or_else(unknown)?;
        verify(key, request, signature)?;
        Ok(key.name.clone())
    };
    let name = context.attempts.check(Guessed::Key(named.as_ref()), &request.address, now_ms, verify)?;
    check_time(parameter("auth_timestamp")?, now_ms)?;
    let app = app.clone().ok_or_else(unknown)?;
    Caller::of_key(app, &name, request).ok_or_else(unknown)
}

fn verify(key: &Key, request: &Request, signature: &str) -> Result<(), ErrorInfo> {
    let wrong = || Code::BadCredentials.because("the signature of this request is wrong");
    key.verify_hex(&signed_text(request), signature).ok_or_else(wrong)
}

/// The method, the path as it stands in the URL, and the parameters by name, as they were before they were encoded.
fn signed_text(request: &Request) -> String {
    let mut parameters: Vec<(String, &str)> = request
        .query
        .iter()
        .filter(|(name, _)| name != "auth_signature")
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .collect();
    parameters.sort();
    let parameters: Vec<String> = parameters.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}\n{}\n{}", request.method, request.path, parameters.join("&"))
}

fn check_time(timestamp: &str, now_ms: u64) -> Result<(), ErrorInfo> {
    let sent_ms = timestamp.parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1_000));
    match sent_ms.is_some_and(|sent_ms| sent_ms.abs_diff(now_ms) <= PUSHER_CLOCK_SKEW_MAX_MS) {
        true => Ok(()),
        false => {
            let bound = PUSHER_CLOCK_SKEW_MAX_MS / 1_000;
            Err(Code::BadTimestamp.because(format!("'auth_timestamp' must be of now, give or take {bound} seconds")))
        }
    }
}

/// Fails with 40101 when the body is not the one that was signed.
pub fn check_body(request: &Request) -> Result<(), ErrorInfo> {
    let digest = || Md5::digest(&request.body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match request.parameter("body_md5") {
        None if request.body.is_empty() => Ok(()),
        None => Err(missing("body_md5")),
        Some(signed) if signed.eq_ignore_ascii_case(&digest()) => Ok(()),
        Some(_) => Err(Code::BadCredentials.because("'body_md5' is not that of the body")),
    }
}

fn missing(name: &str) -> ErrorInfo {
    Code::NoCredentials.because(["the parameter '", name, "' is missing: this request must be signed"].concat())
}

fn unknown() -> ErrorInfo {
    Code::BadCredentials.because("'auth_key' is no key of this app")
}

#[cfg(test)]
mod tests;
