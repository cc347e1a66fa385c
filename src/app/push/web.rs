//! What Web Push asks of a sender: a statement of who it is (RFC 8292), and a message that only the browser can read
//! (RFC 8291, in the encoding of RFC 8188). The curve and the cipher are the platform's; what goes into them is here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::base::pinned::Versioned;
use crate::limits::VAPID_TTL_MS;

/// The keys by which push services know an app. Never made anew: browsers subscribe for one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct VapidKeys {
    /// An uncompressed point of P-256.
    pub public: Vec<u8>,
    /// 32 bytes.
    pub private: Vec<u8>,
    /// Whom a push service may write to when the operator does not say. Empty when that is not known either.
    pub contact: String,
}

impl Versioned for VapidKeys {
    const VERSION: u8 = 1;
}

impl std::fmt::Debug for VapidKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("VapidKeys").field(&self.public_text()).finish()
    }
}

impl VapidKeys {
    pub fn public_text(&self) -> String {
        BASE64URL.encode(&self.public)
    }
}

/// The claims that the app's private key signs, for the push service at this origin. They name whom it may write to,
/// unless `contact` is empty.
pub fn statement(origin: &str, contact: &str, now_ms: u64) -> String {
    let mut claims = serde_json::json!({ "aud": origin, "exp": (now_ms + VAPID_TTL_MS) / 1_000 });
    if !contact.is_empty() {
        claims["sub"] = contact.into();
    }
    [BASE64URL.encode(r#"{"typ":"JWT","alg":"ES256"}"#), BASE64URL.encode(claims.to_string())].join(".")
}

/// The header `Authorization`, once the statement is signed.
pub fn authorization(statement: &str, signature: &[u8], public: &str) -> String {
    format!("vapid t={statement}.{}, k={public}", BASE64URL.encode(signature))
}

/// The parties to one message: the browser's keys, and a pair that is made for this message alone.
pub struct Parties<'a> {
    pub p256dh: &'a [u8],
    pub auth: &'a [u8],
    pub sender: &'a [u8],
    /// What both can compute, and nobody else.
    pub shared: &'a [u8],
}

/// What the message is encrypted with, by AES-128-GCM.
#[derive(Debug, PartialEq)]
pub struct Cipher {
    pub key: [u8; 16],
    pub nonce: [u8; 12],
}

impl Cipher {
    pub fn derive(parties: &Parties<'_>, salt: &[u8; 16]) -> Cipher {
        let Parties { p256dh, auth, sender, shared } = parties;
        let agreed = mac(auth, &[shared]);
        let material = mac(&agreed, &[b"WebPush: info\0", p256dh, sender, &[1]]);
        let pseudorandom = mac(salt, &[&material]);
        let key = mac(&pseudorandom, &[b"Content-Encoding: aes128gcm\0\x01"]);
        let nonce = mac(&pseudorandom, &[b"Content-Encoding: nonce\0\x01"]);
        Cipher { key: first(&key), nonce: first(&nonce) }
    }
}

/// A message as it is encrypted: the last of its records, as there is one.
pub fn padded(message: &str) -> Vec<u8> {
    [message.as_bytes(), &[2]].concat()
}

/// The body of the request.
pub fn body(salt: &[u8; 16], sender: &[u8], encrypted: &[u8]) -> Vec<u8> {
    [&salt[..], &4_096u32.to_be_bytes(), &[sender.len() as u8], sender, encrypted].concat()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| hmac.update(part));
    hmac.finalize().into_bytes().into()
}

fn first<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    std::array::from_fn(|index| bytes[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Vec<u8> {
        BASE64URL.decode(text).unwrap()
    }

    /// RFC 8291, appendix A.
    #[test]
    fn a_message_is_encrypted_as_the_rfc_has_it() {
        let p256dh = decoded("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
        let sender = decoded("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8");
        let auth = decoded("BTBZMqHH6r4Tts7J_aSIgg");
        let shared = decoded("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs");
        let salt: [u8; 16] = decoded("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let parties = Parties { p256dh: &p256dh, auth: &auth, sender: &sender, shared: &shared };
        let cipher = Cipher::derive(&parties, &salt);
        assert_eq!(BASE64URL.encode(cipher.key), "oIhVW04MRdy2XN9CiKLxTg");
        assert_eq!(BASE64URL.encode(cipher.nonce), "4h_95klXJ5E_qnoN");
        let padded = padded("When I grow up, I want to be a watermelon");
        assert_eq!(BASE64URL.encode(&padded), "V2hlbiBJIGdyb3cgdXAsIEkgd2FudCB0byBiZSBhIHdhdGVybWVsb24C");
        let encrypted = decoded("8pfeW0KbunFT06SuDKoJH9Ql87S1QUrdirN6GcG7sFz1y1sqLgVi1VhjVkHsUoEsbI_0LpXMuGvnzQ");
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzA\
                        C8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(BASE64URL.encode(body(&salt, &sender, &encrypted)), expected);
    }

    #[test]
    fn a_sender_states_whom_it_speaks_to_and_for_how_long() {
        let statement = statement("https://push.example.com", "mailto:ops@example.com", 1_800_000_000_000);
        let (head, claims) = statement.split_once('.').unwrap();
        assert_eq!(decoded(head), br#"{"typ":"JWT","alg":"ES256"}"#);
        let expected = r#"{"aud":"https://push.example.com","exp":1800043200,"sub":"mailto:ops@example.com"}"#;
        assert_eq!(String::from_utf8(decoded(claims)).unwrap(), expected);
        assert_eq!(authorization("a.b", &[0xff], "K"), "vapid t=a.b._w, k=K");
    }
}
