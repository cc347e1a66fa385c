//! The versions of calls and answers, and those that earlier builds wrote.

use super::{Answer, ChannelCall, Delivered, Delivery, Follow, Noticed, Probe, Probed, Refusal, Response};
use super::{RulesOfVersion1, RulesOfVersion2, RulesOfVersion3, RulesOfVersion4, RulesOfVersion5};
use crate::base::pinned::{self, Unreadable, Versioned};

macro_rules! versions {
    ($($type:ty = $version:literal,)*) => {
        $(impl Versioned for $type {
            const VERSION: u8 = $version;
        })*
    };
}

versions! {
    Delivery = 1,
    Delivered = 1,
    Follow = 1,
    Probe = 1,
    Probed = 1,
    Noticed = 1,
    Refusal = 1,
}

/// Versions before lack the last variants.
impl Versioned for Answer<Response> {
    const VERSION: u8 = 5;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<Answer<Response>, Unreadable> {
        if (2..5).contains(&version) { pinned::take(bytes) } else { Err(Unreadable::Version(version)) }
    }
}

/// The same here; and the rules were others.
impl Versioned for ChannelCall {
    const VERSION: u8 = 9;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<ChannelCall, Unreadable> {
        let to = pinned::take(bytes)?;
        let rules = match version {
            1 => pinned::take::<RulesOfVersion1>(bytes)?.into(),
            2 => pinned::take::<RulesOfVersion2>(bytes)?.into(),
            3 => pinned::take::<RulesOfVersion3>(bytes)?.into(),
            4 | 5 => pinned::take::<RulesOfVersion4>(bytes)?.into(),
            6 | 7 => pinned::take::<RulesOfVersion5>(bytes)?.into(),
            8 => pinned::take(bytes)?,
            _ => return Err(Unreadable::Version(version)),
        };
        // A query of versions, whose end is that of a call, had no times before version 7: none are read from behind
        // it.
        let with_times = [bytes, &[0; 2][..]].concat();
        let mut rest = with_times.as_slice();
        let request = pinned::take(&mut rest)?;
        *bytes = &bytes[bytes.len() - rest.len().saturating_sub(2)..];
        Ok(ChannelCall { to, rules, request })
    }
}
