//! Credentials for push services: what is taken, and what is refused before anything is sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::auth::{Algorithm, App};
use crate::error::{Code, ErrorInfo};

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        length @ 0..=0x7f => vec![length as u8],
        length @ 0x80..=0xff => vec![0x81, length as u8],
        length => vec![0x82, (length >> 8) as u8, length as u8],
    };
    [&[tag][..], &length, &content].concat()
}

fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

fn pkcs8(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    der(0x30, &[&der(0x02, &[&[0]]), &der(0x30, &[algorithm]), &der(0x04, &[key])])
}

/// In the form of an RSA key with so many bytes in its modulus.
fn rsa(bytes: usize) -> Vec<u8> {
    let algorithm = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let key = der(0x30, &[&der(0x02, &[&[0]]), &der(0x02, &[&[0], &vec![0xc3; bytes]]), &der(0x02, &[&[1, 0, 1]])]);
    pkcs8(algorithm, &key)
}

fn p256() -> Vec<u8> {
    let algorithm = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    pkcs8(algorithm, &der(0x30, &[&der(0x02, &[&[1]]), &der(0x04, &[&[7; 32]])]))
}

pub fn credentials() -> Value {
    json!({
        "fcm": {"serviceAccount": {
            "type": "service_account", "project_id": "match-day", "private_key_id": "k1",
            "private_key": pem(&rsa(256)), "client_email": "push@match-day.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token", "universe_domain": "googleapis.com",
        }},
        "apns": {
            "key": pem(&p256()), "keyId": "ABCDE12345", "teamId": "TEAM567890",
            "topic": "com.example.match", "sandbox": true,
        },
    })
}

fn read(push: Value) -> Result<App, ErrorInfo> {
    App::try_from(json!({"id": "demo", "keys": [], "namespaces": [], "push": push}))
}

/// With another value at the path; null is as if it was not there.
fn with(path: &str, value: Value) -> Value {
    let mut changed = credentials();
    *changed.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
    changed
}

#[test]
fn credentials_are_kept_and_never_shown() {
    let app = read(credentials()).unwrap();
    let (fcm, apns) = (app.push().fcm.as_ref().unwrap(), app.push().apns.as_ref().unwrap());
    assert_eq!((fcm.project.as_str(), fcm.url.as_str()), ("match-day", "https://fcm.googleapis.com"));
    assert_eq!((apns.url.as_str(), apns.key.algorithm), ("https://api.sandbox.push.apple.com", Algorithm::Es256));
    assert_eq!(App::try_from(app.to_json()).unwrap(), app, "as it is stored");
    let shown = [app.push().shown().to_string(), format!("{app:?}")];
    for key in [rsa(256), p256()] {
        let text = BASE64.encode(&key);
        assert!(app.to_json().to_string().contains(&text));
        assert!(!shown.iter().any(|shown| shown.contains(&text[..40]) || shown.contains("PRIVATE")), "{shown:?}");
        assert!(!shown[1].contains(&format!("{:?}", &key[..8])), "nor as numbers");
    }
}

#[test]
fn a_service_account_may_be_a_text_and_its_lines_too() {
    let app = read(credentials()).unwrap();
    let account = credentials()["fcm"]["serviceAccount"].to_string();
    assert_eq!(read(with("/fcm/serviceAccount", json!(account))).unwrap(), app);
    let escaped = pem(&rsa(256)).replace('\n', "\\n");
    let escaped = escaped.trim_end_matches("\\n");
    assert_eq!(read(with("/fcm/serviceAccount/private_key", json!(escaped))).unwrap(), app);
}

#[test]
fn what_cannot_be_used_is_refused_and_not_repeated() {
    let longer = [p256(), vec![0]].concat();
    let truncated = &rsa(256)[..200];
    for (path, value, what) in [
        ("/fcm/serviceAccount/private_key", json!(pem(&p256())), "RSA"),
        ("/fcm/serviceAccount/private_key", json!(pem(&rsa(128))), "2048"),
        ("/fcm/serviceAccount/private_key", json!(pem(truncated)), "RSA"),
        ("/fcm/serviceAccount/private_key", json!(pem(b"secret-in-a-wrong-place")), "PKCS #8"),
        ("/fcm/serviceAccount/private_key", json!(pem(&rsa(8_000))), "RSA"),
        ("/fcm/serviceAccount/private_key", Value::Null, "missing"),
        ("/fcm/serviceAccount/type", json!("authorized_user"), "service_account"),
        ("/fcm/serviceAccount/project_id", json!("../x"), "project"),
        ("/fcm/serviceAccount/client_email", json!("a b"), "address"),
        ("/fcm/serviceAccount/token_uri", json!("file:///x"), "https"),
        ("/fcm/serviceAccount", json!("secret-in-a-wrong-place"), "JSON"),
        ("/fcm/serviceAccount", json!([]), "service account"),
        ("/fcm", json!({"serverKey": "secret-in-a-wrong-place"}), "serverKey"),
        ("/apns/key", json!(pem(&rsa(256))), "P-256"),
        ("/apns/key", json!(pem(&longer)), "P-256"),
        ("/apns/key", json!("secret-in-a-wrong-place"), "PKCS #8"),
        ("/apns/keyId", json!("short"), "10"),
        ("/apns/teamId", json!("TEAM/56789"), "10"),
        ("/apns/topic", json!("com.example\nx"), "bundle"),
        ("/apns/sandbox", json!("yes"), "true or false"),
    ] {
        let error = read(with(path, value)).unwrap_err();
        assert!(error.is(Code::BadRequest), "{path}: {error}");
        assert!(error.message.contains(what) && !error.message.contains("secret-in-a"), "{path}: {error}");
    }
    assert!(read(json!({"gcm": {}})).unwrap_err().message.contains("push has an unknown field"));
}

#[test]
fn services_are_at_public_names() {
    assert_eq!(read(credentials()).unwrap().check_push_addresses(), Ok(()));
    let mut apns = credentials();
    apns["apns"]["sandbox"] = false.into();
    apns["apns"]["url"] = "http://127.0.0.1:8080/".into();
    let fcm = with("/fcm/serviceAccount/token_uri", json!("https://169.254.169.254/token"));
    for private in [apns, fcm] {
        let error = read(private).unwrap().check_push_addresses().unwrap_err();
        assert!(error.is(Code::BadRequest) && error.message.contains("PUSH_PRIVATE_ADDRESSES"), "{error}");
    }
}
