//! Properties of MQTT 5, by their numbers: which there are, of what kind, and that none stands where it has no meaning.

use super::wire::Reader;
use super::{Fault, reason};
use crate::limits::MQTT_USER_PROPERTIES_MAX;

pub const PAYLOAD_FORMAT: u8 = 0x01;
pub const MESSAGE_EXPIRY: u8 = 0x02;
pub const CONTENT_TYPE: u8 = 0x03;
pub const RESPONSE_TOPIC: u8 = 0x08;
pub const CORRELATION_DATA: u8 = 0x09;
pub const SUBSCRIPTION_ID: u8 = 0x0b;
pub const SESSION_EXPIRY: u8 = 0x11;
pub const ASSIGNED_CLIENT_ID: u8 = 0x12;
pub const SERVER_KEEP_ALIVE: u8 = 0x13;
pub const AUTH_METHOD: u8 = 0x15;
pub const AUTH_DATA: u8 = 0x16;
pub const PROBLEM_INFORMATION: u8 = 0x17;
pub const WILL_DELAY: u8 = 0x18;
pub const RESPONSE_INFORMATION: u8 = 0x19;
pub const REASON_STRING: u8 = 0x1f;
pub const RECEIVE_MAXIMUM: u8 = 0x21;
pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub const TOPIC_ALIAS: u8 = 0x23;
pub const MAXIMUM_QOS: u8 = 0x24;
pub const RETAIN_AVAILABLE: u8 = 0x25;
pub const USER_PROPERTY: u8 = 0x26;
pub const MAXIMUM_PACKET: u8 = 0x27;
pub const WILDCARD_AVAILABLE: u8 = 0x28;
pub const SHARED_AVAILABLE: u8 = 0x2a;

#[derive(Clone, Debug, PartialEq)]
enum Value<'a> {
    Number(u32),
    Text(&'a str),
    Binary(&'a [u8]),
    Pair(&'a str, &'a str),
}

/// Those of one packet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties<'a> {
    all: Vec<(u8, Value<'a>)>,
}

impl<'a> Properties<'a> {
    /// Fails for one that is not among these, for one that stands twice, unless it is a user property, and for too many
    /// of those.
    pub fn read(reader: &mut Reader<'a>, allowed: &[u8]) -> Result<Properties<'a>, Fault> {
        let length = reader.length()?;
        let mut reader = Reader::new(reader.take(length)?);
        let (mut properties, mut of_user) = (Properties::default(), 0);
        while !reader.is_empty() {
            let id = reader.byte()?;
            if !allowed.contains(&id) {
                return Err(Fault::malformed(&format!("a property {id:#04x} has no place in this packet")));
            }
            if id != USER_PROPERTY && properties.value(id).is_some() {
                return Err(Fault::protocol(&format!("the property {id:#04x} stands twice")));
            }
            of_user += usize::from(id == USER_PROPERTY);
            if of_user > MQTT_USER_PROPERTIES_MAX {
                let why = format!("a packet has at most {MQTT_USER_PROPERTIES_MAX} user properties");
                return Err(Fault::new(reason::QUOTA, why));
            }
            properties.all.push((id, value(id, &mut reader)?));
        }
        Ok(properties)
    }

    fn value(&self, id: u8) -> Option<&Value<'a>> {
        self.all.iter().find(|(known, _)| *known == id).map(|(_, value)| value)
    }

    pub fn number(&self, id: u8) -> Option<u32> {
        match self.value(id)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// One that must not be zero.
    pub fn positive(&self, id: u8) -> Result<Option<u32>, Fault> {
        match self.number(id) {
            Some(0) => Err(Fault::protocol(&format!("the property {id:#04x} must not be 0"))),
            number => Ok(number),
        }
    }

    /// One that must be 0 or 1.
    pub fn flag(&self, id: u8) -> Result<Option<bool>, Fault> {
        match self.number(id) {
            Some(2..) => Err(Fault::protocol(&format!("the property {id:#04x} must be 0 or 1"))),
            number => Ok(number.map(|number| number == 1)),
        }
    }

    pub fn text(&self, id: u8) -> Option<String> {
        match self.value(id)? {
            Value::Text(text) => Some((*text).to_owned()),
            _ => None,
        }
    }

    pub fn binary(&self, id: u8) -> Option<Vec<u8>> {
        match self.value(id)? {
            Value::Binary(bytes) => Some(bytes.to_vec()),
            _ => None,
        }
    }

    pub fn user(&self) -> Vec<(String, String)> {
        let pair = |(_, value): &(u8, Value<'_>)| match value {
            Value::Pair(name, value) => Some(((*name).to_owned(), (*value).to_owned())),
            _ => None,
        };
        self.all.iter().filter_map(pair).collect()
    }
}

fn value<'a>(id: u8, reader: &mut Reader<'a>) -> Result<Value<'a>, Fault> {
    Ok(match id {
        PAYLOAD_FORMAT | PROBLEM_INFORMATION | RESPONSE_INFORMATION => Value::Number(reader.byte()?.into()),
        RECEIVE_MAXIMUM | TOPIC_ALIAS_MAXIMUM | TOPIC_ALIAS => Value::Number(reader.two()?.into()),
        MESSAGE_EXPIRY | SESSION_EXPIRY | WILL_DELAY | MAXIMUM_PACKET => Value::Number(reader.four()?),
        SUBSCRIPTION_ID => Value::Number(reader.length()? as u32),
        CORRELATION_DATA | AUTH_DATA => Value::Binary(reader.binary()?),
        USER_PROPERTY => Value::Pair(reader.text()?, reader.text()?),
        _ => Value::Text(reader.text()?),
    })
}
