//! What is remembered of a client of MQTT beside what it is sent: which publishes it said, and what it asked for.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Version, encode};
use crate::base::digest;
use crate::limits::{MQTT_TAKEN_BYTES, MQTT_TAKEN_KNOWN};
use crate::model::message::Message;
use crate::model::name::ChannelName;
use crate::protocol::Encoded;

/// Which publishes a session has taken in: so many, and how the last of them are known again. One that comes again, as
/// its client says, gets the message id that it had, by which its channel knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Names the session.
    pub session: String,
    count: u64,
    recent: VecDeque<Known>,
}

/// A publish by its packet id, in the last 16 bits, and a digest before them: a client gives a packet id to
/// another as soon as it is free. What an earlier build took in has no digest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Known(u64);

impl Known {
    fn is(self, packet_id: u16, digest: u32) -> bool {
        self == Known::of(packet_id, digest) || self == Known::of(packet_id, 0)
    }

    fn of(packet_id: u16, digest: u32) -> Known {
        Known(u64::from(digest) << 16 | u64::from(packet_id))
    }
}

/// Tells publishes of one packet id apart; never 0.
pub fn digest(body: &[u8]) -> u32 {
    let whole = digest::of(body);
    ((whole ^ whole >> 32) as u32).max(1)
}

/// A will that may be published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Testament {
    pub channel: ChannelName,
    pub delay_s: u32,
    pub message: Message,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub qos: u8,
    pub id: Option<u32>,
    /// The next messages that come are what was retained.
    pub expects_retained: bool,
    /// It was there when its client asked for it again, and waits for the channel.
    pub is_renewed: bool,
}

impl Taken {
    /// Nothing yet, of a session that has a name.
    pub fn named(session: String) -> Taken {
        Taken { session, ..Taken::default() }
    }

    /// The message id of a publish.
    pub fn id(&mut self, packet_id: u16, digest: u32, is_duplicate: bool) -> String {
        let again = self.recent.iter().rev().position(|known| known.is(packet_id, digest)).filter(|_| is_duplicate);
        let number = match again {
            Some(back) => self.count - 1 - back as u64,
            None => {
                self.recent.push_back(Known::of(packet_id, digest));
                if self.recent.len() > MQTT_TAKEN_KNOWN {
                    self.recent.pop_front();
                }
                self.count += 1;
                self.count - 1
            }
        };
        format!("{}.{number}", self.session)
    }

    /// Bytes by which it may still grow where it is stored.
    pub fn growth(&self) -> usize {
        let bytes = postcard::experimental::serialized_size(&self.recent).unwrap_or_default();
        MQTT_TAKEN_BYTES.saturating_sub(bytes)
    }
}

impl Subscription {
    /// As the parameter of an attachment says it.
    pub fn parse(text: &str) -> Option<Subscription> {
        let (qos, id) = text.split_once(',').unwrap_or((text, ""));
        Some(Subscription { qos: qos.parse().ok()?, id: id.parse().ok(), expects_retained: false, is_renewed: false })
    }

    pub fn text(self) -> String {
        let id = self.id.map(|id| format!(",{id}"));
        format!("{}{}", self.qos, id.unwrap_or_default())
    }

    pub fn is_plain(self) -> bool {
        self.qos == 0 && self.id.is_none()
    }
}

/// SUBSCRIBEs that wait for their channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscribing {
    waiting: VecDeque<Asking>,
}

#[derive(Clone, Debug, PartialEq)]
struct Asking {
    packet_id: u16,
    topics: Vec<Asked>,
}

/// A topic of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// With this QoS. It waits for its channel.
    Waiting { channel: String, qos: u8 },
    /// Answered with this code.
    Settled(u8),
}

impl Subscribing {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Topics of all of them.
    pub fn topics(&self) -> usize {
        self.waiting.iter().map(|subscribe| subscribe.topics.len()).sum()
    }

    pub fn push(&mut self, packet_id: u16, topics: Vec<Asked>) {
        self.waiting.push_back(Asking { packet_id, topics });
    }

    /// The channel has answered all that wait for it, since the last of them took the place of the others: each has the
    /// QoS that it asked for, or this code of a refusal. Gives whether one waited for that.
    pub fn settle(&mut self, channel: &str, refusal: Option<u8>) -> bool {
        let mut is_settled = false;
        for asked in self.waiting.iter_mut().flat_map(|subscribe| &mut subscribe.topics) {
            if let Asked::Waiting { channel: name, qos } = asked
                && name == channel
            {
                *asked = Asked::Settled(refusal.unwrap_or(*qos));
                is_settled = true;
            }
        }
        is_settled
    }

    /// The answers that can be given, in the order of the questions.
    pub fn answers(&mut self, version: Version) -> Encoded {
        let mut told = Vec::new();
        let is_settled = |first: &mut Asking| first.topics.iter().all(|asked| asked.code().is_some());
        while let Some(first) = self.waiting.pop_front_if(is_settled) {
            let codes: Vec<u8> = first.topics.iter().filter_map(Asked::code).collect();
            told.extend(encode::suback(version, first.packet_id, &codes));
        }
        if told.is_empty() { Encoded::NOTHING } else { Encoded::Binary(told) }
    }
}

impl Asked {
    fn code(&self) -> Option<u8> {
        match self {
            Asked::Waiting { .. } => None,
            Asked::Settled(code) => Some(*code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_has_the_id_that_it_had() {
        let mut taken = Taken { session: "s".to_owned(), ..Taken::default() };
        let ids = [(7, false), (7, true), (8, false), (7, false), (7, true), (8, true), (9, true)];
        let ids = ids.map(|(packet_id, is_duplicate)| taken.id(packet_id, 1, is_duplicate));
        assert_eq!(ids, ["s.0", "s.0", "s.1", "s.2", "s.2", "s.1", "s.3"], "also of one that was never heard of");
        assert_eq!([taken.id(7, 2, true), taken.id(7, 1, true)], ["s.4", "s.2"], "another under the same packet id");
    }

    #[test]
    fn what_an_earlier_build_took_in_is_known_by_its_packet_id() {
        let earlier = postcard::to_allocvec(&("s", 2_u64, vec![7_u16, u16::MAX])).unwrap();
        let mut taken: Taken = postcard::from_bytes(&earlier).unwrap();
        assert_eq!([taken.id(u16::MAX, 5, true), taken.id(7, 5, true), taken.id(7, 5, false)], ["s.1", "s.0", "s.2"]);
    }

    #[test]
    fn it_grows_to_its_bound_and_no_further() {
        let mut taken = Taken::default();
        let least = taken.growth();
        for number in 0..=2 * MQTT_TAKEN_KNOWN {
            taken.id(u16::MAX - number as u16, u32::MAX, false);
        }
        assert_eq!((least, taken.growth()), (MQTT_TAKEN_BYTES - 1, 0));
    }

    #[test]
    fn only_the_last_publishes_are_remembered() {
        let mut taken = Taken::default();
        (0..=MQTT_TAKEN_KNOWN).for_each(|number| _ = taken.id(number as u16, 1, false));
        assert_eq!(taken.id(1, 1, true), ".1");
        assert_eq!(taken.id(0, 1, true), format!(".{}", MQTT_TAKEN_KNOWN + 1), "taken for a new one");
    }

    #[test]
    fn a_subscription_is_a_parameter() {
        for text in ["0", "1", "1,268435455"] {
            assert_eq!(Subscription::parse(text).unwrap().text(), text);
        }
        assert_eq!(Subscription::parse("x"), None);
    }

    #[test]
    fn subscribes_are_answered_in_their_order() {
        let mut subscribing = Subscribing::default();
        let waiting = |channel: &str, qos| Asked::Waiting { channel: channel.to_owned(), qos };
        subscribing.push(1, vec![waiting("a", 0), Asked::Settled(0xa2)]);
        subscribing.push(2, vec![waiting("b", 1)]);
        assert!(subscribing.settle("b", None) && !subscribing.settle("b", None));
        assert_eq!(subscribing.answers(Version::V3), Encoded::NOTHING);
        assert!(subscribing.settle("a", None));
        assert_eq!(
            subscribing.answers(Version::V3),
            Encoded::Binary(b"\x90\x04\0\x01\0\x80\x90\x03\0\x02\x01".to_vec())
        );
        assert!(subscribing.is_empty());
    }
}
