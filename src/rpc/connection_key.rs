//! Connection keys: who holds one may resume its connection (protocol.md § 6).
//!
//! `<connectionId>!<shard>-<generation>-<mac>`, all of it safe in a path. The mac is made with a secret of the relay,
//! so a key can't be guessed and proves itself even to a relay that lost its memory; it also covers its [`Holder`], so
//! that nobody resumes as somebody else. Each resume makes the next generation.
//!
//! Who comes back may name nothing but the key, and requests of a connection over HTTP never do. Where a channel's own
//! object holds it, `!` and the channel's name in base64 follow, which lead there and prove nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::model::name::ChannelName;

/// Bytes of the mac that are kept: 128 bits.
const MAC_BYTES: usize = 16;

/// What a key says, before or after it is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionKey {
    pub connection_id: String,
    pub shard: u16,
    pub generation: u32,
}

/// Whose a connection is, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A client of these credentials. The key resumes its connection.
    Client(Option<&'a str>),
    /// Whoever has the key, which is given out before it is known who that is. No credentials prove it, so it resumes
    /// nothing.
    Bearer,
}

impl<'a> From<Option<&'a str>> for Holder<'a> {
    fn from(client_id: Option<&'a str>) -> Holder<'a> {
        Holder::Client(client_id)
    }
}

/// The parameter of the URL by which a client names the connection that it goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TakeoverKind {
    /// `resume`: its own, whose transport it lost.
    Resume,
    /// `recover`: that of another client, which is gone: the page before a reload.
    Recover,
    /// `upgrade`: its own, whose transport goes on until the client says otherwise. Up to version 2 of the protocol.
    Upgrade,
}

/// Which of a connection's keys are good: the newest, and until its client was heard also the one that it was taken
/// over with, because the CONNECTED that brought the newest may be lost.
///
/// That one is good only for a client that comes as the last one came: it tries again what it tried. Another client
/// that shared the connection, and is told that it goes on elsewhere, comes back by `resume` after a `recover`, with
/// the same key and perhaps before the one that recovered has said a word. It must not get the connection back.
///
/// Each takeover makes a generation of its own, also the second one with the same key. What the first had made is then
/// good for nothing, so two clients with the same key can't take the connection from each other for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generations {
    pub current: u32,
    /// What the newest was made from, until its client is heard; or by `Upgrade`, until it says that it goes on by it.
    pub before: Option<(u32, TakeoverKind)>,
    /// The last that was given out: beyond the current one there are those of proposed transports.
    pub last: u32,
}

impl Generations {
    pub const FIRST: Generations = Generations { current: 0, before: None, last: 0 };

    /// Also of a proposed transport: its client may have gone on by it, and lost it before that was heard here.
    pub fn accept(self, generation: u32, kind: TakeoverKind) -> bool {
        (self.current..=self.last).contains(&generation) || Some((generation, kind)) == self.before
    }

    /// Whether a key of this generation shows who holds the connection.
    pub fn belong(self, generation: u32) -> bool {
        generation == self.current || self.before.is_some_and(|(before, _)| before == generation)
    }

    /// Those of the client that takes the connection over with a key of this generation.
    pub fn taken_over(self, with: u32, kind: TakeoverKind) -> Generations {
        let next = self.last + 1;
        Generations { current: next, before: Some((with, kind)), last: next }
    }

    /// Those of a transport that is proposed instead of the one that has these.
    pub fn proposed(&mut self) -> Generations {
        self.last += 1;
        let before = self.current;
        Generations { current: self.last, before: Some((before, TakeoverKind::Upgrade)), last: self.last }
    }

    /// Of a transport that is only proposed: the generation of the one that it is to replace.
    pub fn replaces(self) -> Option<u32> {
        self.before.filter(|(_, kind)| *kind == TakeoverKind::Upgrade).map(|(before, _)| before)
    }
}

impl ConnectionKey {
    /// The key as text, signed for its holder.
    pub fn sign<'a>(&self, secret: &[u8], holder: impl Into<Holder<'a>>) -> String {
        format!("{}-{}", self.body(), BASE64URL.encode(self.mac(secret, holder.into())))
    }

    /// What a key claims to be, without proof: enough to find its relay.
    pub fn claimed(text: &str) -> Option<ConnectionKey> {
        let (connection_id, rest) = text.split_once('!')?;
        let mut parts = rest.splitn(3, '-');
        let (shard, generation) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let plain = !connection_id.is_empty() && connection_id.bytes().all(|b| b.is_ascii_alphanumeric());
        plain.then(|| ConnectionKey { connection_id: connection_id.to_owned(), shard, generation })
    }

    /// The key, if it was signed with this secret for this holder.
    pub fn verify<'a>(text: &str, secret: &[u8], holder: impl Into<Holder<'a>>) -> Option<ConnectionKey> {
        let key = ConnectionKey::claimed(text)?;
        let mac = text.strip_prefix(&key.body())?.strip_prefix('-')?;
        let mac = BASE64URL.decode(mac.split_once('!').map_or(mac, |(mac, _)| mac)).ok()?;
        let proved = mac.len() == MAC_BYTES && key.hmac(secret, holder.into()).verify_truncated_left(&mac).is_ok();
        proved.then_some(key)
    }

    /// A key by which the object of a channel is found.
    pub fn leading_to(key: &str, channel: &str) -> String {
        [key, "!", &BASE64URL.encode(channel)].concat()
    }

    /// The channel that a key leads to, without proof.
    pub fn channel(text: &str) -> Option<ChannelName> {
        let name = BASE64URL.decode(text.split('!').nth(2)?).ok()?;
        ChannelName::parse(std::str::from_utf8(&name).ok()?).ok()
    }

    fn body(&self) -> String {
        format!("{}!{}-{}", self.connection_id, self.shard, self.generation)
    }

    fn mac(&self, secret: &[u8], holder: Holder<'_>) -> Vec<u8> {
        self.hmac(secret, holder).finalize().into_bytes()[..MAC_BYTES].to_vec()
    }

    fn hmac(&self, secret: &[u8], holder: Holder<'_>) -> Hmac<Sha256> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(secret).expect("any length will do");
        hmac.update(self.body().as_bytes());
        // Absent and empty differ, and no text can be taken for the other part.
        let (kind, client_id) = match holder {
            Holder::Client(None) => (0, ""),
            Holder::Client(Some(client_id)) => (1, client_id),
            Holder::Bearer => (2, ""),
        };
        hmac.update(&[kind]);
        hmac.update(client_id.as_bytes());
        hmac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ConnectionKey {
        ConnectionKey { connection_id: "Ht1RaHhHJ5XM".into(), shard: 0, generation: 3 }
    }

    #[test]
    fn a_key_proves_itself() {
        let text = key().sign(b"secret", Some("bob"));
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_!-".contains(&b)), "{text}");
        assert_eq!(ConnectionKey::verify(&text, b"secret", Some("bob")), Some(key()));
        assert_eq!(ConnectionKey::claimed(&text), Some(key()));
    }

    #[test]
    fn a_key_leads_to_a_channel_and_proves_the_same() {
        let plain = key().sign(b"secret", None);
        for name in ["scores", "a/b!c ü"] {
            let text = ConnectionKey::leading_to(&plain, name);
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_!-".contains(&b)), "{text}");
            assert_eq!(ConnectionKey::channel(&text).unwrap().as_str(), name);
            assert_eq!(ConnectionKey::verify(&text, b"secret", None), Some(key()));
            assert_eq!(ConnectionKey::verify(&text, b"other", None), None);
        }
        for nowhere in [&plain, "", "a!0-1-x!", "a!0-1-x!%", "a!0-1-x!_w"] {
            assert_eq!(ConnectionKey::channel(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn nothing_else_does() {
        let text = key().sign(b"secret", Some("bob"));
        assert_eq!(ConnectionKey::verify(&text, b"other", Some("bob")), None);
        assert_eq!(ConnectionKey::verify(&text, b"secret", Some("eve")), None);
        assert_eq!(ConnectionKey::verify(&text, b"secret", None), None);
        for holder in [Holder::Client(None), Holder::Client(Some("")), Holder::Bearer] {
            let proves = |other| ConnectionKey::verify(&key().sign(b"secret", holder), b"secret", other).is_some();
            let others =
                [Holder::Client(None), Holder::Client(Some("")), Holder::Client(Some("\u{2}")), Holder::Bearer];
            assert_eq!(others.map(proves), others.map(|other| other == holder), "{holder:?}");
        }
        for forged in [text.replace("-3-", "-4-"), text[..text.len() - 1].to_owned(), text.replace("Ht1R", "Xt1R")] {
            assert_eq!(ConnectionKey::verify(&forged, b"secret", Some("bob")), None, "{forged}");
        }
        for malformed in ["", "!", "a!0-1-", "a!0-1", "a!x-1-y", "_____!ablyjs_test_fake-key____", "a b!0-1-xx"] {
            assert_eq!(ConnectionKey::verify(malformed, b"secret", None), None, "{malformed}");
        }
    }
}
