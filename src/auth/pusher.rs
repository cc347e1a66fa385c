//! What servers sign for Pusher clients, and the requests that they sign themselves (protocol.md § 26): HMAC-SHA256
//! with the key's secret, in hexadecimal. Owns the texts that are signed, and that they are compared in constant time.

use super::encoding::from_hex;
use super::{Key, KeyName};
use crate::error::{Code, ErrorInfo};

/// What a signature lets a connection do.
#[derive(Clone, Copy, Debug)]
pub enum Signed<'a> {
    /// Subscribe to a channel; on a presence channel as who `channel_data` says.
    Channel { channel: &'a str, channel_data: Option<&'a str> },
    /// Be the user whom `user_data` describes.
    User { user_data: &'a str },
}

impl Signed<'_> {
    fn text(self, socket_id: &str) -> String {
        match self {
            Signed::Channel { channel, channel_data: None } => format!("{socket_id}:{channel}"),
            Signed::Channel { channel, channel_data: Some(data) } => format!("{socket_id}:{channel}:{data}"),
            Signed::User { user_data } => format!("{socket_id}::user::{user_data}"),
        }
    }
}

impl Key {
    /// What a server of the key's owner answers to a client that asks for authorisation: `KEY:SIGNATURE`.
    pub fn sign_for_pusher(&self, socket_id: &str, signed: Signed<'_>) -> String {
        format!("{}:{}", self.name, to_hex(&self.secret.mac(signed.text(socket_id).as_bytes())))
    }

    /// Fails with 40101 when `auth` is not what this key's secret made for that connection and that purpose.
    pub fn check_for_pusher(&self, auth: &str, socket_id: &str, signed: Signed<'_>) -> Result<(), ErrorInfo> {
        let wrong = |why: &str| Code::BadCredentials.because(why.to_owned());
        let (name, signature) = auth.rsplit_once(':').ok_or_else(|| wrong("'auth' must be KEY:SIGNATURE"))?;
        if KeyName::parse(name).ok().as_ref() != Some(&self.name) {
            return Err(wrong("'auth' names another key than the connection's"));
        }
        self.verify_hex(&signed.text(socket_id), signature).ok_or_else(|| wrong("the signature in 'auth' is wrong"))
    }

    /// Whether the signature is that of the text.
    pub fn verify_hex(&self, text: &str, signature: &str) -> Option<()> {
        let tag = from_hex(signature)?;
        self.secret.verifies(text.as_bytes(), &tag).then_some(())
    }
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)] as char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Capability, Secret};

    fn key(name: &str, secret: &str) -> Key {
        Key {
            name: KeyName::parse(name).unwrap(),
            secret: Secret::parse(secret, 8).unwrap(),
            capability: Capability::full(),
            revocable_tokens: false,
            valid_until_ms: None,
            pusher: true,
        }
    }

    /// Made with another implementation: `openssl dgst -sha256 -hmac local-only`.
    #[test]
    fn signatures_are_those_of_other_implementations() {
        let key = key("demo.key1", "local-only");
        let channel = Signed::Channel { channel: "private-foobar", channel_data: None };
        assert_eq!(key.sign_for_pusher("1234.1234", channel), CHANNEL);
        let data = r#"{"user_id":10,"user_info":{"name":"Mr. Channels"}}"#;
        let presence = Signed::Channel { channel: "presence-foobar", channel_data: Some(data) };
        assert_eq!(key.sign_for_pusher("1234.1234", presence), PRESENCE);
        let user = Signed::User { user_data: r#"{"id":"12345"}"# };
        assert_eq!(key.sign_for_pusher("1234.1234", user), USER);
        for (auth, signed) in [(CHANNEL, channel), (PRESENCE, presence), (USER, user)] {
            assert_eq!(key.check_for_pusher(auth, "1234.1234", signed), Ok(()));
        }
    }

    const CHANNEL: &str = "demo.key1:2b47b3567cde1c11d80d68ff974e08be78905f081b7e5ed578905d60d2abc017";
    const PRESENCE: &str = "demo.key1:1b4f841c1d2491e77c47d5b297422a10500ce7b9fe9fbe5be6131ac2f7c846ba";
    const USER: &str = "demo.key1:e55e0780ba1d7df17032bbd4779b6557e2a9bc7e7e52b6da55752c4e2f24a46a";

    #[test]
    fn a_signature_is_good_for_one_connection_purpose_and_key() {
        let key = key("demo.key1", "local-only");
        let signed = Signed::Channel { channel: "private-a", channel_data: None };
        let auth = key.sign_for_pusher("1.2", signed);
        let other = Signed::Channel { channel: "private-b", channel_data: None };
        let with_data = Signed::Channel { channel: "private-a", channel_data: Some("{}") };
        let wrong = [
            (auth.as_str(), "1.3", signed),
            (&auth, "1.2", other),
            (&auth, "1.2", with_data),
            (&auth[..auth.len() - 1], "1.2", signed),
            (&auth[..auth.len() - 2], "1.2", signed),
            ("demo.key1:", "1.2", signed),
            ("demo.key1:zz", "1.2", signed),
            ("", "1.2", signed),
        ];
        for (auth, socket_id, signed) in wrong {
            let error = key.check_for_pusher(auth, socket_id, signed).unwrap_err();
            assert!(error.is(Code::BadCredentials), "{auth} {signed:?}");
        }
        let renamed = auth.replace("key1", "key2");
        assert!(key.check_for_pusher(&renamed, "1.2", signed).is_err());
    }
}
