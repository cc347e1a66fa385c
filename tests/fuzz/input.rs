//! Inputs: something good, damaged in a few places.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};

use crate::random::Random;

/// What parsers split at, escape, count by, or take for something else.
const TOKENS: &[&str] = &[
    "*",
    ":",
    ".",
    "[",
    "]",
    "[*]",
    "[meta]",
    "[?rewind=1]",
    "{",
    "}",
    "\"",
    ",",
    "/",
    "%2F",
    "%",
    "\\u0000",
    "\\ud800",
    "\n",
    "\r\n",
    "\0",
    "é",
    "🎾",
    "null",
    "-1",
    "0",
    "1e400",
    "18446744073709551616",
    "9007199254740993",
    "=",
    "&",
    "!",
    "@",
    "#",
    "publish",
    "subscribe",
    "Bearer ",
    "Basic ",
    "ably.channel.",
    "x-ably-token",
    "HS256",
    "none",
    "demo",
    "demo.full",
];

/// Bytes that begin something in msgpack: maps, lists, texts, bytes, numbers, and lengths that nothing has.
const LEADS: &[u8] = &[
    0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7, 0xca, 0xcb, 0xcc, 0xcf, 0xd0, 0xd3, 0xd9, 0xdb,
    0xdc, 0xdd, 0xde, 0xdf, 0xff,
];

pub struct Input {
    pub random: Random,
    made: String,
}

impl Input {
    pub fn new(seed: u64) -> Input {
        Input { random: Random::new(seed), made: String::new() }
    }

    /// All that was made, to be shown.
    pub fn made(&self) -> &str {
        &self.made
    }

    pub fn note(&mut self, what: &str, bytes: &[u8]) {
        self.made += &format!("{what}: {}\n", bytes.escape_ascii());
    }

    /// One of these, damaged or not.
    pub fn text(&mut self, what: &str, of: &[&str]) -> String {
        let good = (*self.random.pick(of)).to_owned();
        let text = String::from_utf8_lossy(&self.damage(good.into_bytes())).into_owned();
        self.note(what, text.as_bytes());
        text
    }

    /// One of these as JSON, its values and then its text damaged or not.
    pub fn json(&mut self, of: &[Value]) -> Value {
        let mut value = self.random.pick(of).clone();
        for _ in 0..self.random.below(3) {
            self.twist(&mut value);
        }
        value
    }

    /// A value somewhere inside becomes another, goes, or moves deeper.
    fn twist(&mut self, value: &mut Value) {
        let stays = self.random.chance(700);
        match value {
            Value::Object(fields) if stays && !fields.is_empty() => {
                let names: Vec<String> = fields.keys().cloned().collect();
                let name = self.random.pick(&names).clone();
                if self.random.chance(100) {
                    fields.remove(&name);
                } else if self.random.chance(150) {
                    let moved = fields.remove(&name).unwrap_or_default();
                    let name = self.token();
                    fields.insert(name, moved);
                } else if let Some(inner) = fields.get_mut(&name) {
                    self.twist(inner);
                }
            }
            Value::Array(elements) if stays && !elements.is_empty() => {
                let at = self.random.below(elements.len() as u64) as usize;
                if self.random.chance(200) {
                    let again = elements[at].clone();
                    elements.push(again);
                } else {
                    self.twist(&mut elements[at]);
                }
            }
            Value::String(text) if stays => {
                let damaged = self.damage(text.clone().into_bytes());
                *text = String::from_utf8_lossy(&damaged).into_owned();
            }
            other => *other = self.value(other.clone()),
        }
    }

    fn value(&mut self, old: Value) -> Value {
        match self.random.below(12) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(u64::MAX),
            4 => json!(1e308),
            5 => json!(0.5),
            6 => json!([old]),
            7 => json!({"a": old}),
            8 => json!(old.to_string()),
            9 => (0..self.random.below(200)).fold(old, |inner, _| json!([inner])),
            10 => json!("x".repeat(1 << self.random.below(13))),
            _ => json!(self.token()),
        }
    }

    fn token(&mut self) -> String {
        (*self.random.pick(TOKENS)).to_owned()
    }

    /// Changes bytes in up to four places, often none.
    pub fn damage(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..self.random.below(5) {
            let at = self.random.below(bytes.len() as u64 + 1) as usize;
            let to = (at + self.random.below(8) as usize).min(bytes.len());
            match self.random.below(9) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..to)),
                2 => drop(bytes.splice(at..at, self.token().into_bytes())),
                3 => drop(bytes.splice(at..to, self.token().into_bytes())),
                4 => bytes.insert(at, *self.random.pick(LEADS)),
                5 if at < bytes.len() => bytes[at] = *self.random.pick(LEADS),
                6 if at < bytes.len() => bytes[at] ^= 1 << self.random.below(8),
                7 => {
                    let piece = bytes[at..to].repeat(self.random.below(40) as usize);
                    drop(bytes.splice(at..at, piece));
                }
                _ => bytes.insert(at, self.random.next() as u8),
            }
        }
        bytes
    }
}

/// A value in one of the two formats.
pub fn encoded(value: &Value, is_json: bool) -> Vec<u8> {
    match is_json {
        true => value.to_string().into_bytes(),
        false => rmp_serde::to_vec_named(value).unwrap_or_default(),
    }
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL.encode(bytes)
}
