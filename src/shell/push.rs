//! Performs what push asks of the platform: its curve and cipher, and requests to push services.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use futures_util::StreamExt;
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::worker_sys::web_sys::Response as RawResponse;
use worker::{Env, Response};

use super::calls;
use super::platform::{Service, object, random_bytes};
use crate::app::push::web::{self, Cipher, Parties, VapidKeys};
use crate::app::push::{Answered, Authorise, Outcome, Post, To, WebPush};
use crate::auth::{Algorithm, SigningKey};
use crate::limits::{PUSH_ANSWER_MAX_BYTES, PUSH_TIMEOUT_MS, PUSH_TTL_S};
use crate::push::recipient::WebRecipient;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = generateKey)]
    fn generate_key(algorithm: &Object, extractable: bool, usages: &Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = importKey)]
    fn import_key(
        format: &str,
        data: &JsValue,
        algorithm: &Object,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = exportKey)]
    fn export_key(format: &str, key: &JsValue) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = deriveBits)]
    fn derive_bits(algorithm: &Object, key: &JsValue, length: u32) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = encrypt)]
    fn encrypt(algorithm: &Object, key: &JsValue, data: &Uint8Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = sign)]
    fn sign(algorithm: &Object, key: &JsValue, data: &Uint8Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = fetch)]
    fn fetch(url: &str, init: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_namespace = AbortSignal, js_name = timeout)]
    fn abort_after(ms: f64) -> JsValue;
}

/// Makes the request of an attempt.
pub async fn attempt(env: &Env, to: &To) -> Outcome {
    match to {
        To::Channel(call) => {
            let answer = calls::within(PUSH_TIMEOUT_MS, calls::call_channel(env, call).answer()).await.flatten();
            answer.map_or(Outcome::Unreachable, Outcome::Channel)
        }
        To::Web(push) => post(push).await.unwrap_or(Outcome::Unreachable),
        To::Post(post) => ask(env, post).await.unwrap_or(Outcome::Unreachable),
        To::Authorise(authorise) => self::authorise(env, authorise).await,
    }
}

/// A new public key and its private one.
pub async fn make_keys() -> Option<(Vec<u8>, Vec<u8>)> {
    let pair = pair("ECDSA", &["sign", "verify"]).await.ok()?;
    let jwk = done(export_key("jwk", &field(&pair, "privateKey"))).await.ok()?;
    let part = |name: &str| BASE64URL.decode(field(&jwk, name).as_string()?).ok();
    Some(([&[4], &part("x")?[..], &part("y")?[..]].concat(), part("d")?))
}

/// What speaks HTTP/2 for a runtime that does not, if it has that: a server of one's own. The platform speaks it.
const HTTP2: &str = "HTTP2";

async fn authorise(env: &Env, authorise: &Authorise) -> Outcome {
    let Ok(signature) = signed_by(&authorise.key, &authorise.statement).await else { return Outcome::BadKey };
    let signed = authorise.signed(&signature);
    let Some(url) = authorise.exchange_url.clone() else { return Outcome::Signed(signed) };
    let headers = vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
    let post = Post { url, headers, body: Authorise::exchange(&signed), needs_http2: false };
    ask(env, &post).await.unwrap_or(Outcome::Unreachable)
}

/// Follows no redirect, as it may lead where this server may not call.
async fn ask(env: &Env, post: &Post) -> Result<Outcome, JsValue> {
    let headers = object([]);
    for (name, value) in &post.headers {
        Reflect::set(&headers, &name.into(), &value.into())?;
    }
    let init = object([
        ("method", "POST".into()),
        ("headers", headers.into()),
        ("body", post.body.as_str().into()),
        ("redirect", "manual".into()),
        ("signal", abort_after(PUSH_TIMEOUT_MS as f64)),
    ]);
    let via = Reflect::get(env, &HTTP2.into())?;
    let asked = match post.needs_http2 && !via.is_undefined() {
        true => via.unchecked_into::<Service>().fetch_by(&post.url, &init),
        false => fetch(&post.url, &init),
    };
    let response: RawResponse = done(asked).await?.unchecked_into();
    let retry_after_s = response.headers().get("retry-after")?.and_then(|text| text.trim().parse().ok());
    Ok(Outcome::Answered(Answered { status: response.status(), retry_after_s, body: beginning(response).await }))
}

/// As much of an answer as is looked at; the rest is not waited for.
async fn beginning(response: RawResponse) -> String {
    let mut read = Vec::new();
    if let Ok(mut stream) = Response::from(response).stream() {
        while let Some(Ok(chunk)) = stream.next().await {
            read.extend(chunk);
            if read.len() >= PUSH_ANSWER_MAX_BYTES {
                break;
            }
        }
    }
    read.truncate(PUSH_ANSWER_MAX_BYTES);
    String::from_utf8_lossy(&read).into_owned()
}

async fn signed_by(key: &SigningKey, statement: &str) -> Result<Vec<u8>, JsValue> {
    let (imported, how) = match key.algorithm {
        Algorithm::Rs256 => {
            let rsa = || object([("name", "RSASSA-PKCS1-v1_5".into()), ("hash", "SHA-256".into())]);
            (rsa(), rsa())
        }
        Algorithm::Es256 => (curve("ECDSA"), object([("name", "ECDSA".into()), ("hash", "SHA-256".into())])),
    };
    let pkcs8 = Uint8Array::from(key.expose());
    let key = done(import_key("pkcs8", &pkcs8, &imported, false, &list(&["sign"]))).await?;
    done(sign(&how, &key, &Uint8Array::from(statement.as_bytes()))).await.map(|signature| bytes(&signature))
}

async fn post(push: &WebPush) -> Result<Outcome, JsValue> {
    let signature = signed(&push.keys, &push.statement).await?;
    let authorization = web::authorization(&push.statement, &signature, &push.keys.public_text());
    let body = encrypted(&push.recipient, &push.message).await?;
    let headers = object([
        ("TTL", PUSH_TTL_S.to_string().into()),
        ("Urgency", "normal".into()),
        ("Content-Encoding", "aes128gcm".into()),
        ("Content-Type", "application/octet-stream".into()),
        ("Authorization", authorization.into()),
    ]);
    if let Some(topic) = &push.topic {
        Reflect::set(&headers, &"Topic".into(), &topic.into())?;
    }
    let init = object([
        ("method", "POST".into()),
        ("headers", headers.into()),
        ("body", Uint8Array::from(&body[..]).into()),
        ("redirect", "manual".into()),
        ("signal", abort_after(PUSH_TIMEOUT_MS as f64)),
    ]);
    let response: RawResponse = done(fetch(&push.recipient.endpoint.url, &init)).await?.unchecked_into();
    if let Some(body) = response.body() {
        let _ = JsFuture::from(body.cancel()).await;
    }
    let retry_after_s = response.headers().get("retry-after")?.and_then(|text| text.trim().parse().ok());
    Ok(Outcome::Status { status: response.status(), retry_after_s })
}

/// By a pair of keys that is made for this message, as RFC 8291 has it.
async fn encrypted(recipient: &WebRecipient, message: &str) -> Result<Vec<u8>, JsValue> {
    let pair = pair("ECDH", &["deriveBits"]).await?;
    let sender = bytes(&done(export_key("raw", &field(&pair, "publicKey"))).await?);
    let receiver = Uint8Array::from(&recipient.p256dh[..]);
    let receiver = done(import_key("raw", &receiver, &curve("ECDH"), false, &Array::new())).await?;
    let agreement = object([("name", "ECDH".into()), ("public", receiver)]);
    let shared = bytes(&done(derive_bits(&agreement, &field(&pair, "privateKey"), 256)).await?);
    let salt = random_bytes();
    let parties = Parties { p256dh: &recipient.p256dh, auth: &recipient.auth, sender: &sender, shared: &shared };
    let cipher = Cipher::derive(&parties, &salt);
    let name = object([("name", "AES-GCM".into())]);
    let key = done(import_key("raw", &Uint8Array::from(&cipher.key[..]), &name, false, &list(&["encrypt"]))).await?;
    let how = object([("name", "AES-GCM".into()), ("iv", Uint8Array::from(&cipher.nonce[..]).into())]);
    let sealed = done(encrypt(&how, &key, &Uint8Array::from(&web::padded(message)[..]))).await?;
    Ok(web::body(&salt, &sender, &bytes(&sealed)))
}

async fn signed(keys: &VapidKeys, statement: &str) -> Result<Vec<u8>, JsValue> {
    let coordinate = |range: std::ops::Range<usize>| BASE64URL.encode(&keys.public[range]).into();
    let jwk = object([
        ("kty", "EC".into()),
        ("crv", "P-256".into()),
        ("x", coordinate(1..33)),
        ("y", coordinate(33..65)),
        ("d", BASE64URL.encode(&keys.private).into()),
    ]);
    let key = done(import_key("jwk", &jwk, &curve("ECDSA"), false, &list(&["sign"]))).await?;
    let how = object([("name", "ECDSA".into()), ("hash", "SHA-256".into())]);
    done(sign(&how, &key, &Uint8Array::from(statement.as_bytes()))).await.map(|signature| bytes(&signature))
}

async fn pair(algorithm: &str, usages: &[&str]) -> Result<JsValue, JsValue> {
    done(generate_key(&curve(algorithm), true, &list(usages))).await
}

fn curve(algorithm: &str) -> Object {
    object([("name", algorithm.into()), ("namedCurve", "P-256".into())])
}

fn list(texts: &[&str]) -> Array {
    texts.iter().map(|text| JsValue::from(*text)).collect()
}

fn bytes(buffer: &JsValue) -> Vec<u8> {
    Uint8Array::new(buffer).to_vec()
}

fn field(value: &JsValue, name: &str) -> JsValue {
    Reflect::get(value, &name.into()).unwrap_or_default()
}

async fn done(promise: Result<Promise, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(promise?).await
}
