//! Who comes by MQTT: its credentials, what it is called, and whether its will may be published.

use crate::auth::{App, Grant, Identity, Key, KeyName, Operations};
use crate::error::{Code, ErrorInfo};
use crate::intake::publish;
use crate::limits::{CLIENT_ID_MAX_BYTES, MQTT_WILL_MAX_BYTES};
use crate::model::message::Params;
use crate::model::name::ChannelName;
use crate::protocol::mqtt::connect::{Connect, Will};
use crate::protocol::mqtt::session::Testament;
use crate::protocol::mqtt::{Mqtt, topic};

/// The credentials as a query has them: a key, whose name is the user name and whose secret is the password, or else a
/// token as the password, beside any other user name or none. A whole key as the user name is a key too.
pub fn presented(connect: &Connect) -> Vec<(String, String)> {
    let password = connect.password.as_deref().map(String::from_utf8_lossy);
    let username = connect.username.as_deref().unwrap_or_default();
    match password {
        Some(secret) if KeyName::parse(username).is_ok() => {
            vec![("key".to_owned(), format!("{username}:{secret}"))]
        }
        Some(token) => vec![("access_token".to_owned(), token.into_owned())],
        None if !username.is_empty() => vec![("key".to_owned(), username.to_owned())],
        None => Vec::new(),
    }
}

/// Lets in a client with good credentials, of this key and app. Fails with 40012 for a client id that it may not have,
/// with 40009 for a will that is too large, and as a publish of that would.
pub fn admit(
    mut connect: Connect,
    grant: &mut Grant,
    (key, app): (&Key, &App),
    (fresh_id, is_secure): (&str, bool),
) -> Result<Mqtt, ErrorInfo> {
    let requested = requested(&grant.client_id, &connect.client_id)?;
    *grant = grant.clone().of_client(requested, key)?;
    let will = connect.will.take().map(|will| testament(will, grant, app, is_secure)).transpose()?;
    // Its client may come back as that.
    let fresh_id = grant.client_id.name().map_or_else(|| fresh_id.to_owned(), |name| format!("{name}/{fresh_id}"));
    let mut mqtt = Mqtt::of(connect, &fresh_id);
    mqtt.will = will;
    Ok(mqtt)
}

/// A client id is its client's identity where the credentials leave that open. Where they name one, it is that, or
/// begins with it and a slash, for each device of a user; where they name none, it only tells sessions apart.
fn requested<'a>(granted: &Identity, client_id: &'a str) -> Result<Option<&'a str>, ErrorInfo> {
    if client_id.len() > CLIENT_ID_MAX_BYTES {
        return Err(Code::BadClientId.because(format!("a client id has at most {CLIENT_ID_MAX_BYTES} bytes")));
    }
    match granted {
        Identity::Wildcard if client_id == "*" => Err(Code::BadClientId.because("no client is called '*'")),
        Identity::Wildcard => Ok(Some(client_id)),
        Identity::Anonymous => Ok(None),
        Identity::Named(name) => {
            let rest = client_id.strip_prefix(&**name);
            let is_theirs = client_id.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let why = "the client id must be the token's clientId, or begin with it and '/'";
            if is_theirs { Ok(None) } else { Err(Code::BadClientId.because(why)) }
        }
    }
}

fn testament(will: Will, grant: &Grant, app: &App, is_secure: bool) -> Result<Testament, ErrorInfo> {
    let channel = ChannelName::parse(&topic::channel(&will.topic)?)?;
    if !grant.permits(&channel, Operations::PUBLISH) {
        return Err(Code::NotPermitted.because("the capability does not allow to publish the will on its topic"));
    }
    let rules = app.rules(&channel);
    rules.admit(grant.client_id.name().is_some(), is_secure)?;
    if will.retain && !rules.persist_last {
        return Err(Code::BadRequest.because("a will cannot be retained there: the namespace has no 'persistLast'"));
    }
    let message = will.message.into_message(None);
    let checked = publish::check(vec![message], &Params::default(), &grant.client_id)?;
    let checked = checked.claimed(grant.user_claim(&channel).as_ref())?;
    let message = checked.messages.into_iter().next().unwrap_or_default();
    if message.weight() > MQTT_WILL_MAX_BYTES {
        return Err(Code::TooLarge.because(format!("a will has at most {MQTT_WILL_MAX_BYTES} bytes")));
    }
    Ok(Testament { channel, delay_s: will.delay_s, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Capability, Revocation, Revocations, Target};
    use crate::protocol::mqtt::connect;
    use crate::protocol::mqtt::connect::tests::body;

    fn connect(flags: u8, rest: &[u8]) -> Connect {
        connect::read(0x10, &body(4, flags, rest)).unwrap()
    }

    fn presents(flags: u8, rest: &[u8]) -> Vec<(String, String)> {
        presented(&connect(flags, rest))
    }

    #[test]
    fn a_key_is_a_user_name_and_a_password_and_a_token_is_a_password() {
        let one = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(presents(0xc2, b"\0\0\0\x08demo.key\0\x06secret"), one("key", "demo.key:secret"));
        assert_eq!(presents(0xc2, b"\0\0\0\x05token\0\x05a.b.c"), one("access_token", "a.b.c"));
        assert_eq!(presents(0xc2, b"\0\0\0\x08demo.key\0\x05a.b.c"), one("key", "demo.key:a.b.c"));
        assert_eq!(presents(0xc2, b"\0\0\0\0\0\x05a.b.c"), one("access_token", "a.b.c"));
        assert_eq!(presents(0x82, b"\0\0\0\x0fdemo.key:secret"), one("key", "demo.key:secret"));
        assert_eq!(presents(0x02, b"\0\0"), []);
    }

    #[test]
    fn credentials_say_what_a_client_may_be_called() {
        let named = |name: &str| Identity::parse(Some(name)).unwrap();
        let is = |granted: &Identity, client_id: &str| {
            let identity = requested(granted, client_id).and_then(|requested| granted.for_connection(requested));
            identity.map_err(|error| error.code)
        };
        assert_eq!(is(&Identity::Wildcard, "ann"), Ok(named("ann")));
        assert_eq!(is(&Identity::Wildcard, ""), Ok(Identity::Wildcard));
        assert_eq!(is(&Identity::Anonymous, "mqttjs_1"), Ok(Identity::Anonymous));
        assert_eq!(is(&named("ann"), "ann/phone"), Ok(named("ann")));
        assert_eq!(is(&named("ann"), ""), Ok(named("ann")));
        for (granted, client_id) in [(named("ann"), "bob"), (named("ann"), "anna"), (Identity::Wildcard, "*")] {
            assert_eq!(is(&granted, client_id), Err(Code::BadClientId.number()), "{client_id}");
        }
        assert_eq!(is(&Identity::Wildcard, "a\nb"), Err(Code::BadClientId.number()));
    }

    fn app() -> App {
        let key = r#"{"name":"key","secret":"local-only","revocableTokens":true}"#;
        serde_json::from_str(&format!(r#"{{"id":"demo","keys":[{key}],"namespaces":[]}}"#)).unwrap()
    }

    /// As at every door: who takes a name by a token for `*` ends with that.
    #[test]
    fn a_client_that_took_its_name_can_be_revoked_as_one_who_may_be_anybody() {
        let key_name = KeyName::parse("demo.key").unwrap();
        let revoked = |token: &str, client_id: &str| {
            let client_id = [&[0, client_id.len() as u8], client_id.as_bytes()].concat();
            let grant = Grant::of_key(key_name.clone(), Capability::full());
            let client = Identity::parse(Some(token)).unwrap();
            let mut grant = Grant { basic: false, client_id: client, issued_at_ms: Some(1), ..grant };
            let app = app();
            let key = app.key(&key_name).unwrap();
            admit(connect(0x02, &client_id), &mut grant, (key, &app), ("fresh", true)).unwrap();
            let mut revocations = Revocations::default();
            let target = Target::ClientId("*".to_owned());
            let revocation = Revocation { key_name: key_name.clone(), target, issued_before_ms: 2, applies_at_ms: 2 };
            revocations.insert(revocation).unwrap();
            revocations.revokes(&grant, 2)
        };
        assert!(revoked("*", "ann") && revoked("*", ""));
        assert!(!revoked("ann", "ann") && !revoked("", "ann"));
    }

    #[test]
    fn a_client_may_come_back_by_the_client_id_that_it_was_given() {
        for token in ["ann", "*", ""] {
            let key = Grant::of_key(KeyName::parse("demo.key").unwrap(), Capability::full());
            let grant = Grant { client_id: Identity::parse(Some(token)).unwrap(), ..key };
            let app = app();
            let admitted = (app.key(&grant.key_name).unwrap(), &app);
            let given = admit(connect(0x02, b"\0\0"), &mut grant.clone(), admitted, ("fresh", true)).unwrap().client_id;
            assert_eq!(given, if token == "ann" { "ann/fresh" } else { "fresh" });
            assert!(requested(&grant.client_id, &given).is_ok(), "{token}");
        }
    }

    #[test]
    fn a_will_is_checked_as_a_publish_is() {
        let app = app();
        let admits = |capability: &str, topic: &str, payload: &[u8]| {
            let capability = Capability::parse(capability).unwrap();
            let mut grant = Grant::of_key(KeyName::parse("demo.key").unwrap(), capability);
            let length = |length: usize| (length as u16).to_be_bytes();
            let (topic, payload) = (topic.as_bytes(), payload);
            let rest = [&b"\0\x01a"[..], &length(topic.len()), topic, &length(payload.len()), payload].concat();
            let key = app.key(&grant.key_name).unwrap();
            let mqtt = admit(connect(0x06, &rest), &mut grant, (key, &app), ("fresh", true));
            mqtt.map(|mqtt| mqtt.will.unwrap().channel.as_str().to_owned()).map_err(|error| error.code)
        };
        let all = r#"{"*":["*"]}"#;
        assert_eq!(admits(all, "a/b", b"off"), Ok("a:b".to_owned()));
        assert_eq!(admits(all, "a//b", b"off"), Err(Code::BadChannelName.number()));
        assert_eq!(admits(r#"{"*":["subscribe"]}"#, "a", b"off"), Err(Code::NotPermitted.number()));
        assert_eq!(admits(all, "a", &[b'x'; 9_000]), Err(Code::TooLarge.number()));
    }
}
