//! Credentials of every kind, and requests for tokens. What was not signed grants nothing.

use courtside::auth::{App, Credentials, Grant, Identity, KeyName, Presented, Surface, TokenRequest};
use courtside::error::ErrorInfo;
use courtside::model::name::ChannelName;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::input::{Input, base64url, encoded};

const NOW_MS: u64 = 1_800_000_000_000;
const NOW_S: u64 = NOW_MS / 1_000;
const SECRET: &str = "local-only";

fn app() -> App {
    let key = |name: &str, capability: Value| json!({"name": name, "secret": SECRET, "capability": capability});
    let keys = [key("full", json!({"*": ["*"]})), key("chat", json!({"chat:*": ["publish", "subscribe"]}))];
    serde_json::from_value(json!({"id": "demo", "keys": keys})).unwrap()
}

fn verify(query: &[(String, String)], authorization: Option<&str>, surface: Surface) -> Result<Grant, ErrorInfo> {
    let presented = Presented { authorization, client_id: None, query };
    Credentials::parse(&presented, surface)?.verify(Some(&app()), NOW_MS)
}

fn token_of(key: &str) -> String {
    let name = KeyName::parse(key).unwrap();
    let query = [("key".to_owned(), format!("{key}:{SECRET}"))];
    let authority = verify(&query, None, Surface::Rest).unwrap();
    let fields = json!({"keyName": key, "clientId": "ann", "capability": r#"{"chat:*":["publish"]}"#});
    let request = TokenRequest::from_value(&fields).unwrap();
    request.approve(&name, Some(&app()), Some(&authority), NOW_MS).unwrap().issue([7; 8]).token
}

fn mac(message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn signed(header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    format!("{text}.{}", base64url(mac(text.as_bytes())))
}

/// Never more than the key that is named allows, whatever a grant says.
fn check(grant: &Grant) {
    let key = app().key(&grant.key_name).expect("a known key").clone();
    for name in ["chat:room", "scores", "[?rewind=1]chat:x"] {
        let channel = ChannelName::parse(name).unwrap();
        assert!(key.capability.operations(&channel).contains(grant.capability.operations(&channel)), "on {name}");
    }
}

/// Anything in any place.
pub fn any(input: &mut Input) {
    let token = token_of("demo.chat");
    let jwt = signed(&json!({"alg": "HS256", "kid": "demo.chat"}), &json!({"iat": NOW_S, "exp": NOW_S + 60}));
    let value = input.text("value", &["demo.chat:local-only", "demo.chat:wrong", "this.is:wrong", &token, &jwt]);
    let name = *input.random.pick(&["key", "access_token", "accessToken"]);
    let surface = *input.random.pick(&[Surface::Realtime, Surface::Rest]);
    let header = format!("{}{value}", input.random.pick(&["Bearer ", "Basic ", "bearer  ", ""]));
    let encoded = format!("Basic {}", base64url(&value));
    let query = [(name.to_owned(), value)];
    for grant in [
        verify(&query, None, surface),
        verify(&[], Some(&header), surface),
        verify(&[], Some(&encoded), surface),
        Credentials::renewed(&query[0].1, Some("ann")).and_then(|credentials| credentials.verify(Some(&app()), NOW_MS)),
    ] {
        grant.iter().for_each(check);
    }
}

/// A token, or the bytes of one. Nobody else signed it: it is as it was, or refused.
pub fn token(input: &mut Input) {
    let good = token_of("demo.chat");
    let (app, opaque) = good.split_once('.').unwrap();
    let text = if input.random.chance(500) {
        input.text("token", &[&good])
    } else {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(opaque).unwrap();
        let bytes = input.damage(bytes);
        input.note("token's bytes", &bytes);
        format!("{app}.{}", base64url(bytes))
    };
    let query = [("accessToken".to_owned(), text.clone())];
    if let Ok(grant) = verify(&query, None, Surface::Realtime) {
        let as_it_was = verify(&[("accessToken".to_owned(), good)], None, Surface::Realtime).unwrap();
        assert_eq!(grant, as_it_was, "{text}");
    }
}

/// A JWT whose parts say anything, signed by the key; or one that was changed after.
pub fn jwt(input: &mut Input) {
    let wrapped = token_of("demo.chat");
    let header =
        input.json(&[json!({"alg": "HS256", "typ": "JWT", "kid": "demo.chat"}), json!({"x-ably-token": wrapped})]);
    let claims = input.json(&[
        json!({"iat": NOW_S, "exp": NOW_S + 60, "x-ably-clientId": "ann", "x-ably-revocation-key": "r"}),
        json!({"iat": NOW_S, "exp": NOW_S + 60, "x-ably-capability": r#"{"chat:*":["publish"]}"#, "nbf": NOW_S}),
        json!({"iat": NOW_S, "exp": NOW_S + 60, "x-ably-capability": {"chat:a": ["*"]}, "ably.channel.*": "guest"}),
        json!({"iat": NOW_S, "exp": NOW_S + 60, "x-ably-token": wrapped}),
    ]);
    let good = signed(&header, &claims);
    let text = if input.random.chance(800) { good } else { input.text("changed", &[&good]) };
    input.note("header", header.to_string().as_bytes());
    input.note("claims", claims.to_string().as_bytes());
    for surface in [Surface::Realtime, Surface::Rest] {
        if let Ok(grant) = verify(&[("accessToken".to_owned(), text.clone())], None, surface) {
            check(&grant);
            assert!(grant.expires_at_ms.is_some_and(|at_ms| at_ms > NOW_MS), "it ends some time");
            let bytes = postcard::to_allocvec(&grant).expect("it encodes to memory");
            assert_eq!(postcard::from_bytes(&bytes), Ok(grant), "it travels");
        }
    }
}

/// A request for a token, signed over what it says or not. A token that is issued is a good one, of what was asked for.
pub fn token_request(input: &mut Input) {
    let good = json!({
        "keyName": "demo.chat", "ttl": 60_000, "capability": r#"{"chat:*":["publish"]}"#, "clientId": "ann",
        "timestamp": NOW_MS, "nonce": "0123456789abcdef", "mac": "",
    });
    let mut body = input.json(&[good]);
    let text = |name: &str| match &body[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let fields = ["keyName", "ttl", "capability", "clientId", "timestamp", "nonce"].map(|name| text(name) + "\n");
    if let (true, Some(object)) = (input.random.chance(900), body.as_object_mut()) {
        use base64::Engine;
        let mac = base64::engine::general_purpose::STANDARD.encode(mac(fields.concat().as_bytes()));
        object.insert("mac".to_owned(), mac.into());
    }
    let bytes = encoded(&body, true);
    let bytes = if input.random.chance(200) { input.damage(bytes) } else { bytes };
    input.note("body", &bytes);
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else { return };
    let Ok(request) = TokenRequest::from_value(&body) else { return };
    let key_name = KeyName::parse("demo.chat").unwrap();
    let Ok(approved) = request.approve(&key_name, Some(&app()), None, NOW_MS) else { return };
    let details = approved.issue([7; 8]);
    let grant = verify(&[("accessToken".to_owned(), details.token)], None, Surface::Realtime).expect("a good token");
    check(&grant);
    assert_eq!((grant.expires_at_ms, grant.client_id.as_str()), (Some(details.expires), details.client_id.as_deref()));
    assert_eq!(grant.capability.text(), details.capability);
    assert!(Identity::parse(details.client_id.as_deref()).is_ok());
}
