//! What the server says, but for messages.

use super::properties as property;
use super::wire::{put_binary, put_length};
use super::{Version, kind, reason};

/// A CONNACK that lets in, and what it says in version 5.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connack<'a> {
    pub session_present: bool,
    /// The client id that the server chose.
    pub assigned: Option<&'a str>,
    /// When it is not what was asked for.
    pub session_expiry_s: Option<u32>,
    pub keep_alive_s: Option<u16>,
    pub receive_maximum: u16,
    pub maximum_packet: u32,
}

impl Connack<'_> {
    pub fn packet(&self, version: Version) -> Vec<u8> {
        let mut body = vec![u8::from(self.session_present), reason::SUCCESS];
        if version == Version::V5 {
            put_properties(&self.properties(), &mut body);
        }
        packet(kind::CONNACK << 4, &body)
    }

    fn properties(&self) -> Vec<u8> {
        let mut written = Vec::new();
        if let Some(seconds) = self.session_expiry_s {
            written.push(property::SESSION_EXPIRY);
            written.extend(seconds.to_be_bytes());
        }
        if let Some(id) = self.assigned {
            written.push(property::ASSIGNED_CLIENT_ID);
            put_binary(id.as_bytes(), &mut written);
        }
        if let Some(seconds) = self.keep_alive_s {
            written.push(property::SERVER_KEEP_ALIVE);
            written.extend(seconds.to_be_bytes());
        }
        written.push(property::RECEIVE_MAXIMUM);
        written.extend(self.receive_maximum.to_be_bytes());
        written.push(property::MAXIMUM_PACKET);
        written.extend(self.maximum_packet.to_be_bytes());
        written.extend([property::TOPIC_ALIAS_MAXIMUM, 0, 0]);
        written.extend([property::MAXIMUM_QOS, 1, property::RETAIN_AVAILABLE, 1]);
        written.extend([property::WILDCARD_AVAILABLE, 0, property::SHARED_AVAILABLE, 0]);
        written
    }
}

/// A CONNACK that refuses; `None` where the client is to be cut off without one.
pub fn refusal(version: Version, reason: u8, why: &str) -> Option<Vec<u8>> {
    match version {
        Version::V3 => Some(packet(kind::CONNACK << 4, &[0, reason::return_code(reason)?])),
        Version::V5 => {
            let mut body = vec![0, reason];
            put_properties(&reason_string(why), &mut body);
            Some(packet(kind::CONNACK << 4, &body))
        }
    }
}

/// `why` is for version 5 alone.
pub fn puback(version: Version, packet_id: u16, reason: u8, why: &str) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 && reason != reason::SUCCESS {
        body.push(reason);
        put_properties(&reason_string(why), &mut body);
    }
    packet(kind::PUBACK << 4, &body)
}

pub fn suback(version: Version, packet_id: u16, codes: &[u8]) -> Vec<u8> {
    let told = |code: &u8| if version == Version::V3 && *code > 2 { 0x80 } else { *code };
    acknowledgement(kind::SUBACK, version, packet_id, codes.iter().map(told).collect())
}

pub fn unsuback(version: Version, packet_id: u16, codes: &[u8]) -> Vec<u8> {
    let codes = if version == Version::V3 { Vec::new() } else { codes.to_vec() };
    acknowledgement(kind::UNSUBACK, version, packet_id, codes)
}

fn acknowledgement(kind: u8, version: Version, packet_id: u16, codes: Vec<u8>) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    body.extend(codes);
    packet(kind << 4, &body)
}

pub fn pingresp() -> Vec<u8> {
    packet(kind::PINGRESP << 4, &[])
}

/// In version 3.1.1 a server says nothing when it closes.
pub fn disconnect(version: Version, reason: u8, why: &str) -> Option<Vec<u8>> {
    let mut body = vec![reason];
    put_properties(&reason_string(why), &mut body);
    (version == Version::V5).then(|| packet(kind::DISCONNECT << 4, &body))
}

fn reason_string(why: &str) -> Vec<u8> {
    let mut written = Vec::new();
    if !why.is_empty() {
        written.push(property::REASON_STRING);
        put_binary(why.replace('\0', "").as_bytes(), &mut written);
    }
    written
}

fn put_properties(properties: &[u8], into: &mut Vec<u8>) {
    put_length(properties.len(), into);
    into.extend(properties);
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    put_length(body.len(), &mut packet);
    packet.extend(body);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_version_three_are_pinned() {
        let connack = Connack { session_present: true, ..Connack::default() };
        assert_eq!(connack.packet(Version::V3), [0x20, 2, 1, 0]);
        assert_eq!(refusal(Version::V3, reason::NOT_AUTHORIZED, "no"), Some(vec![0x20, 2, 0, 5]));
        assert_eq!(refusal(Version::V3, reason::MALFORMED, "no"), None);
        assert_eq!(puback(Version::V3, 258, reason::SUCCESS, ""), [0x40, 2, 1, 2]);
        assert_eq!(suback(Version::V3, 1, &[0, 1, reason::NO_WILDCARD]), [0x90, 5, 0, 1, 0, 1, 0x80]);
        assert_eq!(unsuback(Version::V3, 1, &[0, 0x11]), [0xb0, 2, 0, 1]);
        assert_eq!(pingresp(), [0xd0, 0]);
        assert_eq!(disconnect(Version::V3, reason::BUSY, ""), None);
    }

    #[test]
    fn packets_of_version_five_are_pinned() {
        let connack = Connack {
            session_present: false,
            assigned: Some("me"),
            session_expiry_s: Some(60),
            keep_alive_s: Some(30),
            receive_maximum: 100,
            maximum_packet: 65_536,
        };
        let expected = b"\x20\x23\0\0\x20\x11\0\0\0\x3c\x12\0\x02me\x13\0\x1e\x21\0\x64\x27\0\x01\0\0\x22\0\0\x24\x01\x25\x01\x28\0\x2a\0";
        assert_eq!(connack.packet(Version::V5), expected);
        assert_eq!(refusal(Version::V5, reason::NOT_AUTHORIZED, "no").unwrap(), b"\x20\x08\0\x87\x05\x1f\0\x02no");
        assert_eq!(puback(Version::V5, 1, reason::SUCCESS, ""), [0x40, 2, 0, 1]);
        assert_eq!(puback(Version::V5, 1, reason::QUOTA, ""), [0x40, 4, 0, 1, 0x97, 0]);
        assert_eq!(suback(Version::V5, 1, &[reason::NO_WILDCARD]), [0x90, 4, 0, 1, 0, 0xa2]);
        assert_eq!(unsuback(Version::V5, 1, &[0x11]), [0xb0, 4, 0, 1, 0, 0x11]);
        assert_eq!(disconnect(Version::V5, reason::BUSY, "no").unwrap(), b"\xe0\x07\x89\x05\x1f\0\x02no");
    }
}
