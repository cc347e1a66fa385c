//! What clients say after CONNECT.

use super::message::Carried;
use super::properties::{self as property, Properties};
use super::session;
use super::wire::Reader;
use super::{Fault, Version, kind, reason};
use crate::error::ErrorInfo;
use crate::limits::MQTT_FILTERS_MAX;

#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    Publish(Publish),
    Puback { packet_id: u16 },
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    Pingreq,
    Disconnect(Disconnect),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    pub is_duplicate: bool,
    pub retain: bool,
    pub topic: String,
    /// That of a publish to be acknowledged, of QoS 1.
    pub packet_id: Option<u16>,
    /// Of all that it says: by this, one that comes again is told from another under the same packet id.
    pub digest: u32,
    pub message: Result<Carried, ErrorInfo>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    pub packet_id: u16,
    pub subscription_id: Option<u32>,
    pub filters: Vec<(String, Wishes)>,
}

/// What a subscription asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// At most 1 is granted.
    pub qos: u8,
    pub no_local: bool,
    pub retained: Retained,
}

/// Whether a subscription is given the retained message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retained {
    #[default]
    Always,
    /// Not one that was there before.
    IfNew,
    Never,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe {
    pub packet_id: u16,
    pub filters: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disconnect {
    /// The will is published all the same.
    pub with_will: bool,
    pub session_expiry_s: Option<u32>,
}

const OF_PUBLISH: &[u8] = &[
    property::PAYLOAD_FORMAT,
    property::MESSAGE_EXPIRY,
    property::TOPIC_ALIAS,
    property::RESPONSE_TOPIC,
    property::CORRELATION_DATA,
    property::USER_PROPERTY,
    property::CONTENT_TYPE,
];

/// Reads one packet: the byte before its length, and what follows that.
pub fn read(version: Version, first: u8, body: &[u8]) -> Result<Packet, Fault> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    let wanted = match kind {
        kind::PUBLISH => flags,
        kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE => 2,
        _ => 0,
    };
    if flags != wanted {
        return Err(Fault::malformed("the flags of a packet are wrong"));
    }
    let mut reader = Reader::new(body);
    let packet = match kind {
        kind::PUBLISH => publish(version, flags, body, &mut reader).map(Packet::Publish)?,
        kind::PUBACK => puback(version, &mut reader)?,
        kind::SUBSCRIBE => subscribe(version, &mut reader).map(Packet::Subscribe)?,
        kind::UNSUBSCRIBE => unsubscribe(version, &mut reader).map(Packet::Unsubscribe)?,
        kind::PINGREQ => Packet::Pingreq,
        kind::DISCONNECT => disconnect(version, &mut reader).map(Packet::Disconnect)?,
        kind::PUBREC | kind::PUBREL | kind::PUBCOMP => return Err(Fault::protocol("there is no QoS 2")),
        kind::AUTH if version == Version::V5 => return Err(Fault::protocol("there is no enhanced authentication")),
        kind::CONNECT => return Err(Fault::protocol("CONNECT comes once")),
        _ => return Err(Fault::malformed("no client sends packets of this type")),
    };
    match reader.is_empty() {
        true => Ok(packet),
        false => Err(Fault::malformed("something follows the end of a packet")),
    }
}

fn publish(version: Version, flags: u8, body: &[u8], reader: &mut Reader<'_>) -> Result<Publish, Fault> {
    let (is_duplicate, qos) = (flags & 0x08 != 0, flags >> 1 & 3);
    match qos {
        2 => return Err(Fault::new(reason::NO_QOS, "the highest QoS is 1")),
        3 => return Err(Fault::malformed("there is no QoS 3")),
        0 if is_duplicate => return Err(Fault::malformed("a publish of QoS 0 has no duplicate")),
        _ => {}
    }
    let topic = reader.text()?.to_owned();
    let packet_id = if qos == 0 { None } else { Some(packet_id(reader)?) };
    let properties = properties(version, reader, OF_PUBLISH)?;
    if topic.is_empty() || properties.number(property::TOPIC_ALIAS).is_some() {
        return Err(Fault::new(reason::BAD_ALIAS, "there are no topic aliases"));
    }
    let message = Carried::read(&properties, reader.rest())?;
    let digest = packet_id.map_or(0, |_| session::digest(body));
    Ok(Publish { is_duplicate, retain: flags & 1 != 0, topic, packet_id, digest, message })
}

fn packet_id(reader: &mut Reader<'_>) -> Result<u16, Fault> {
    match reader.two()? {
        0 => Err(Fault::protocol("a packet id must not be 0")),
        id => Ok(id),
    }
}

fn properties<'a>(version: Version, reader: &mut Reader<'a>, allowed: &[u8]) -> Result<Properties<'a>, Fault> {
    match version {
        Version::V3 => Ok(Properties::default()),
        Version::V5 => Properties::read(reader, allowed),
    }
}

/// What it says of its reason matters to nobody: the client has the message.
fn puback(version: Version, reader: &mut Reader<'_>) -> Result<Packet, Fault> {
    let packet_id = packet_id(reader)?;
    if version == Version::V5 && !reader.is_empty() {
        reader.byte()?;
        if !reader.is_empty() {
            Properties::read(reader, &[property::REASON_STRING, property::USER_PROPERTY])?;
        }
    }
    Ok(Packet::Puback { packet_id })
}

fn subscribe(version: Version, reader: &mut Reader<'_>) -> Result<Subscribe, Fault> {
    let packet_id = packet_id(reader)?;
    let properties = properties(version, reader, &[property::SUBSCRIPTION_ID, property::USER_PROPERTY])?;
    let subscription_id = properties.positive(property::SUBSCRIPTION_ID)?;
    let mut filters = Vec::new();
    while !reader.is_empty() {
        let filter = reader.text()?.to_owned();
        filters.push((filter, wishes(version, reader.byte()?)?));
        admit_filters(filters.len())?;
    }
    match filters.is_empty() {
        true => Err(Fault::protocol("SUBSCRIBE needs a topic")),
        false => Ok(Subscribe { packet_id, subscription_id, filters }),
    }
}

/// Of so many filters of a packet, or of packets that wait for their answer.
pub fn admit_filters(count: usize) -> Result<(), Fault> {
    if count <= MQTT_FILTERS_MAX {
        return Ok(());
    }
    Err(Fault::new(reason::QUOTA, format!("at most {MQTT_FILTERS_MAX} topics of subscriptions are asked for at once")))
}

fn wishes(version: Version, options: u8) -> Result<Wishes, Fault> {
    let (qos, retained) = (options & 3, options >> 4 & 3);
    let known = if version == Version::V3 { 0x03 } else { 0x3f };
    if qos == 3 || options & !known != 0 {
        return Err(Fault::malformed("these options of a subscription mean nothing"));
    }
    let retained = match retained {
        0 => Retained::Always,
        1 => Retained::IfNew,
        2 => Retained::Never,
        _ => return Err(Fault::protocol("there is no retain handling 3")),
    };
    Ok(Wishes { qos: qos.min(1), no_local: options & 4 != 0, retained })
}

fn unsubscribe(version: Version, reader: &mut Reader<'_>) -> Result<Unsubscribe, Fault> {
    let packet_id = packet_id(reader)?;
    properties(version, reader, &[property::USER_PROPERTY])?;
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(reader.text()?.to_owned());
        admit_filters(filters.len())?;
    }
    match filters.is_empty() {
        true => Err(Fault::protocol("UNSUBSCRIBE needs a topic")),
        false => Ok(Unsubscribe { packet_id, filters }),
    }
}

fn disconnect(version: Version, reader: &mut Reader<'_>) -> Result<Disconnect, Fault> {
    let mut said = Disconnect { with_will: false, session_expiry_s: None };
    if version == Version::V3 || reader.is_empty() {
        return Ok(said);
    }
    said.with_will = reader.byte()? != reason::SUCCESS;
    if !reader.is_empty() {
        let allowed = [property::SESSION_EXPIRY, property::REASON_STRING, property::USER_PROPERTY];
        said.session_expiry_s = Properties::read(reader, &allowed)?.number(property::SESSION_EXPIRY);
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::super::wire::put_binary;
    use super::*;
    use crate::limits::MQTT_USER_PROPERTIES_MAX;

    fn refused(version: Version, first: u8, body: &[u8]) -> u8 {
        read(version, first, body).unwrap_err().reason
    }

    #[test]
    fn a_publish_has_a_topic_and_a_payload() {
        let read3 = read(Version::V3, 0x3b, b"\0\x03a/b\0\x07hello").unwrap();
        let Packet::Publish(publish) = read3 else { unreachable!() };
        assert_eq!((publish.topic.as_str(), publish.packet_id), ("a/b", Some(7)));
        assert!(publish.is_duplicate && publish.retain);
        assert_eq!(publish.message.unwrap().payload, b"hello");
        let read5 = read(Version::V5, 0x30, b"\0\x01a\x02\x01\x01hi").unwrap();
        let Packet::Publish(publish) = read5 else { unreachable!() };
        assert_eq!((publish.packet_id, publish.message.unwrap().payload.as_slice()), (None, &b"hi"[..]));
    }

    fn message_of(properties: &[(&str, &str)], payload: &[u8]) -> Result<Carried, ErrorInfo> {
        let mut written = b"\x01\x01".to_vec();
        for (name, value) in properties {
            written.push(property::USER_PROPERTY);
            [name, value].into_iter().for_each(|text| put_binary(text.as_bytes(), &mut written));
        }
        let length = u8::try_from(written.len()).unwrap();
        let body = [b"\0\x01a", &[length][..], &written, payload].concat();
        match read(Version::V5, 0x30, &body) {
            Ok(Packet::Publish(publish)) => publish.message,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn what_has_no_place_in_a_message_is_refused_and_not_its_connection() {
        let reason = |properties, payload| reason::of_publish(&message_of(properties, payload).unwrap_err());
        assert_eq!(reason(&[], b"\xff"), reason::BAD_PAYLOAD);
        assert_eq!(reason(&[("a", "1"), ("a", "2")], b""), reason::IMPLEMENTATION);
        let answer = [("clientId", "who asked"), ("a", "1"), ("action", "update")];
        assert_eq!(message_of(&answer, b"").unwrap().headers, [("a".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn what_is_not_there_has_its_own_reason() {
        assert_eq!(refused(Version::V5, 0x34, b"\0\x01a\0\x01\0"), reason::NO_QOS);
        assert_eq!(refused(Version::V5, 0x30, b"\0\0\0"), reason::BAD_ALIAS);
        assert_eq!(refused(Version::V5, 0x30, b"\0\x01a\x03\x23\0\x01"), reason::BAD_ALIAS);
        assert_eq!(refused(Version::V5, 0xf0, b""), reason::PROTOCOL_ERROR);
        assert_eq!(refused(Version::V5, 0x62, b"\0\x01"), reason::PROTOCOL_ERROR);
        assert_eq!(refused(Version::V5, 0x10, b""), reason::PROTOCOL_ERROR);
    }

    #[test]
    fn what_makes_no_sense_is_malformed() {
        for (first, body) in [
            (0x36, &b"\0\x01a\0\x01"[..]),
            (0x38, b"\0\x01a"),
            (0x80, b"\0\x01\0\x01a\0"),
            (0xc1, b""),
            (0xc0, b"x"),
            (0x20, b"\0\0"),
            (0xf0, b""),
            (0x82, b"\0\x01\0\x01a\x03"),
            (0x82, b"\0\x01\0\x01a\x04"),
            (0x82, b"\0\x01\0\x02a"),
            (0x30, b"\0\x02a"),
        ] {
            assert_eq!(refused(Version::V3, first, body), reason::MALFORMED, "{first:#x} {body:?}");
        }
        for (first, body) in [(0x32, &b"\0\x01a\0\0"[..]), (0x82, b"\0\x01"), (0xa2, b"\0\x01"), (0x40, b"\0\0")] {
            assert_eq!(refused(Version::V3, first, body), reason::PROTOCOL_ERROR, "{first:#x} {body:?}");
        }
    }

    /// Each is looked for among the others.
    #[test]
    fn a_packet_has_so_many_topics_and_user_properties() {
        let subscribe = |filters| [&b"\0\x01\0"[..], &b"\0\x01a\0".repeat(filters)].concat();
        let unsubscribe = |filters| [&b"\0\x01\0"[..], &b"\0\x01a".repeat(filters)].concat();
        let publish = |properties| {
            let pairs: String = (0..properties).map(|at| format!("&\0\x03{at:03}\0\0")).collect();
            let mut packet = b"\0\x01a".to_vec();
            crate::protocol::mqtt::wire::put_length(pairs.len(), &mut packet);
            [packet, pairs.into_bytes()].concat()
        };
        for (first, most, more) in [
            (0x82, subscribe(MQTT_FILTERS_MAX), subscribe(MQTT_FILTERS_MAX + 1)),
            (0xa2, unsubscribe(MQTT_FILTERS_MAX), unsubscribe(MQTT_FILTERS_MAX + 1)),
            (0x30, publish(MQTT_USER_PROPERTIES_MAX), publish(MQTT_USER_PROPERTIES_MAX + 1)),
        ] {
            assert!(read(Version::V5, first, &most).is_ok(), "{first:#x}");
            assert_eq!(refused(Version::V5, first, &more), reason::QUOTA, "{first:#x}");
        }
    }

    #[test]
    fn a_subscription_says_how_it_wants_messages() {
        let read = read(Version::V5, 0x82, b"\0\x02\x02\x0b\x09\0\x01a\x06\0\x01b\x11").unwrap();
        let Packet::Subscribe(subscribe) = read else { unreachable!() };
        assert_eq!((subscribe.packet_id, subscribe.subscription_id), (2, Some(9)));
        let first = Wishes { qos: 1, no_local: true, retained: Retained::Always };
        let second = Wishes { qos: 1, no_local: false, retained: Retained::IfNew };
        assert_eq!(subscribe.filters, [("a".to_owned(), first), ("b".to_owned(), second)]);
    }

    #[test]
    fn who_leaves_says_what_becomes_of_the_session() {
        let of = |version, body: &[u8]| read(version, 0xe0, body).unwrap();
        let clean = Packet::Disconnect(Disconnect { with_will: false, session_expiry_s: None });
        assert_eq!(of(Version::V3, b""), clean);
        assert_eq!(of(Version::V5, b"\0"), clean);
        let dying = Packet::Disconnect(Disconnect { with_will: true, session_expiry_s: Some(60) });
        assert_eq!(of(Version::V5, b"\x04\x05\x11\0\0\0\x3c"), dying);
    }
}
