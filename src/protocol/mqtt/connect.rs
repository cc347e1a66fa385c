//! CONNECT, the first packet: who comes, which version it speaks, and what it wants kept.

use serde::{Deserialize, Serialize};

use super::message::Carried;
use super::properties::{self as property, Properties};
use super::wire::Reader;
use super::{Fault, Version, reason};

#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    pub version: Version,
    pub clean_start: bool,
    pub keep_alive_s: u16,
    /// Empty when the server is to choose one.
    pub client_id: String,
    pub username: Option<String>,
    pub password: Option<Vec<u8>>,
    pub will: Option<Will>,
    /// How long the session is to outlive its connection.
    pub session_expiry_s: u32,
    pub receive_maximum: u16,
    pub maximum_packet: Option<u32>,
    /// Whether reasons may be told in words.
    pub wants_reasons: bool,
}

/// A message that is published when its connection ends without DISCONNECT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Will {
    pub topic: String,
    pub retain: bool,
    pub delay_s: u32,
    pub message: Carried,
}

/// Why a CONNECT is refused, and in which version to say so.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub version: Version,
    pub fault: Fault,
}

const WILL: u8 = 0x04;
const PASSWORD: u8 = 0x40;
const USERNAME: u8 = 0x80;

const ALLOWED: &[u8] = &[
    property::SESSION_EXPIRY,
    property::RECEIVE_MAXIMUM,
    property::MAXIMUM_PACKET,
    property::TOPIC_ALIAS_MAXIMUM,
    property::RESPONSE_INFORMATION,
    property::PROBLEM_INFORMATION,
    property::USER_PROPERTY,
    property::AUTH_METHOD,
    property::AUTH_DATA,
];

const OF_WILL: &[u8] = &[
    property::WILL_DELAY,
    property::PAYLOAD_FORMAT,
    property::MESSAGE_EXPIRY,
    property::CONTENT_TYPE,
    property::RESPONSE_TOPIC,
    property::CORRELATION_DATA,
    property::USER_PROPERTY,
];

/// Reads the body of a CONNECT. `first` is the byte before its length.
pub fn read(first: u8, body: &[u8]) -> Result<Connect, Refused> {
    let mut reader = Reader::new(body);
    let in_version = |version| move |fault| Refused { version, fault };
    if first != super::kind::CONNECT << 4 {
        let fault = Fault::protocol("the first packet must be CONNECT");
        return Err(Refused { version: Version::V3, fault });
    }
    let version = version(&mut reader)?;
    body_of(version, &mut reader).map_err(in_version(version))
}

fn version(reader: &mut Reader<'_>) -> Result<Version, Refused> {
    let early = |fault| Refused { version: Version::V3, fault };
    let name = reader.text().map_err(early)?.to_owned();
    let level = reader.byte().map_err(early)?;
    match (name.as_str(), level) {
        ("MQTT", 4) => Ok(Version::V3),
        ("MQTT", 5) => Ok(Version::V5),
        ("MQTT" | "MQIsdp", _) => {
            let version = if level > 5 { Version::V5 } else { Version::V3 };
            let fault = Fault::new(reason::BAD_VERSION, "versions 3.1.1 and 5 are spoken here");
            Err(Refused { version, fault })
        }
        _ => Err(early(Fault::malformed("the protocol's name is not MQTT"))),
    }
}

fn body_of(version: Version, reader: &mut Reader<'_>) -> Result<Connect, Fault> {
    let flags = reader.byte()?;
    check_flags(version, flags)?;
    let keep_alive_s = reader.two()?;
    let properties = match version {
        Version::V3 => Properties::default(),
        Version::V5 => Properties::read(reader, ALLOWED)?,
    };
    check_authentication(&properties)?;
    let clean_start = flags & 0x02 != 0;
    let client_id = reader.text()?.to_owned();
    if version == Version::V3 && client_id.is_empty() && !clean_start {
        return Err(Fault::new(reason::BAD_CLIENT_ID, "a session that is to be kept needs a client id"));
    }
    let will = if flags & WILL != 0 { Some(will(version, flags, reader)?) } else { None };
    let username = if flags & USERNAME != 0 { Some(reader.text()?.to_owned()) } else { None };
    let password = if flags & PASSWORD != 0 { Some(reader.binary()?.to_vec()) } else { None };
    if !reader.is_empty() {
        return Err(Fault::malformed("something follows the end of CONNECT"));
    }
    let session_expiry_s = match version {
        Version::V3 => {
            if clean_start {
                0
            } else {
                u32::MAX
            }
        }
        Version::V5 => properties.number(property::SESSION_EXPIRY).unwrap_or(0),
    };
    Ok(Connect {
        version,
        clean_start,
        keep_alive_s,
        client_id,
        username,
        password,
        will,
        session_expiry_s,
        receive_maximum: properties.positive(property::RECEIVE_MAXIMUM)?.map_or(u16::MAX, |most| most as u16),
        maximum_packet: properties.positive(property::MAXIMUM_PACKET)?,
        wants_reasons: version == Version::V5 && properties.flag(property::PROBLEM_INFORMATION)?.unwrap_or(true),
    })
}

fn check_flags(version: Version, flags: u8) -> Result<(), Fault> {
    let has_will = flags & WILL != 0;
    let qos = flags >> 3 & 3;
    if flags & 1 != 0 || qos == 3 || (!has_will && flags & 0x38 != 0) {
        return Err(Fault::malformed("these flags of CONNECT mean nothing"));
    }
    if version == Version::V3 && flags & PASSWORD != 0 && flags & USERNAME == 0 {
        return Err(Fault::malformed("a password needs a user name"));
    }
    match qos {
        2 => Err(Fault::new(reason::NO_QOS, "a will has a QoS of at most 1")),
        _ => Ok(()),
    }
}

fn check_authentication(properties: &Properties<'_>) -> Result<(), Fault> {
    if properties.text(property::AUTH_METHOD).is_some() {
        return Err(Fault::new(reason::BAD_AUTH_METHOD, "there is no enhanced authentication"));
    }
    match properties.binary(property::AUTH_DATA) {
        Some(_) => Err(Fault::protocol("authentication data needs a method")),
        None => Ok(()),
    }
}

fn will(version: Version, flags: u8, reader: &mut Reader<'_>) -> Result<Will, Fault> {
    let properties = match version {
        Version::V3 => Properties::default(),
        Version::V5 => Properties::read(reader, OF_WILL)?,
    };
    let topic = reader.text()?.to_owned();
    let delay_s = properties.number(property::WILL_DELAY).unwrap_or(0);
    let message = Carried::read(&properties, reader.binary()?)?
        .map_err(|error| Fault::new(reason::of_publish(&error), error.message))?;
    Ok(Will { topic, retain: flags & 0x20 != 0, delay_s, message })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A CONNECT's body: of this level, with these flags, and what follows the keep alive.
    pub fn body(level: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
        [b"\0\x04MQTT", &[level, flags, 0, 30][..], rest].concat()
    }

    fn refused(body: &[u8]) -> (Version, u8) {
        let refused = read(0x10, body).unwrap_err();
        (refused.version, refused.fault.reason)
    }

    #[test]
    fn says_who_comes() {
        let connect = read(0x10, &body(4, 0xc2, b"\0\x03ann\0\x04user\0\x04pass")).unwrap();
        assert_eq!((connect.version, connect.clean_start, connect.keep_alive_s), (Version::V3, true, 30));
        assert_eq!(connect.client_id, "ann");
        assert_eq!((connect.username.as_deref(), connect.password.as_deref()), (Some("user"), Some(&b"pass"[..])));
        assert_eq!((connect.session_expiry_s, connect.receive_maximum, connect.wants_reasons), (0, u16::MAX, false));
    }

    #[test]
    fn says_in_version_5_what_it_wants() {
        let properties = b"\x0d\x11\0\0\0\x3c\x21\0\x0a\x27\0\0\x04\0";
        let connect = read(0x10, &body(5, 0, &[&properties[..], b"\0\0"].concat())).unwrap();
        assert_eq!((connect.session_expiry_s, connect.receive_maximum), (60, 10));
        assert_eq!((connect.maximum_packet, connect.wants_reasons, connect.clean_start), (Some(1_024), true, false));
    }

    #[test]
    fn a_will_is_a_message() {
        let rest = b"\0\0\x01a\x09\x18\0\0\0\x05\x03\0\x01t\0\x03a/b\0\x03off";
        let connect = read(0x10, &body(5, 0x2e, rest)).unwrap();
        let will = connect.will.unwrap();
        assert_eq!((will.topic.as_str(), will.retain, will.delay_s), ("a/b", true, 5));
        assert_eq!(will.message.payload, b"off");
    }

    #[test]
    fn what_is_not_spoken_is_refused_in_its_version() {
        assert_eq!(refused(&body(3, 2, b"\0\0")), (Version::V3, reason::BAD_VERSION));
        assert_eq!(refused(&body(6, 2, b"\0\0\0")), (Version::V5, reason::BAD_VERSION));
        assert_eq!(refused(b"\0\x06MQIsdp\x03\x02\0\x1e\0\0"), (Version::V3, reason::BAD_VERSION));
        assert_eq!(refused(b"\0\x04HTTP\x04\x02\0\x1e\0\0"), (Version::V3, reason::MALFORMED));
        assert_eq!(refused(&body(4, 0, b"\0\0")), (Version::V3, reason::BAD_CLIENT_ID));
        assert_eq!(refused(&body(5, 2, b"\x04\x15\0\x01x\0\0")), (Version::V5, reason::BAD_AUTH_METHOD));
        assert_eq!(refused(&body(5, 0x16, b"\0\0\0\0\0\x01a\0\0")), (Version::V5, reason::NO_QOS));
        for flags in [0x03, 0x1a, 0x22, 0x1e] {
            assert_eq!(refused(&body(4, flags, b"\0\0")).1, reason::MALFORMED, "{flags:#x}");
        }
        assert_eq!(refused(&body(4, 0x42, b"\0\0\0\0")).1, reason::MALFORMED);
        assert_eq!(refused(&body(4, 2, b"\0\0x")).1, reason::MALFORMED);
        assert_eq!(refused(&body(5, 2, b"\x03\x21\0\0\0\0")).1, reason::PROTOCOL_ERROR);
        assert_eq!(refused(&body(5, 2, b"\x06\x21\0\x01\x21\0\x01\0\0")).1, reason::PROTOCOL_ERROR);
        assert_eq!(refused(&body(5, 2, b"\x02\x01\0\0\0")).1, reason::MALFORMED);
        assert_eq!(read(0x30, b"").unwrap_err().fault.reason, reason::PROTOCOL_ERROR);
    }
}
