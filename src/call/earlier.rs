//! Calls of builds that knew no annotations.

use super::{Address, Answer, ChannelCall, Request, Response, Rules};
use crate::pinned::{self, Unreadable, Versioned};

/// Rules as they were then, field by field.
pub type EarlierRules = (u64, u32, u32, Option<String>);

impl From<EarlierRules> for Rules {
    fn from((retention_ms, max_members, interval_ms, conflation_key): EarlierRules) -> Rules {
        Rules { retention_ms, max_members, interval_ms, conflation_key, mutable: false }
    }
}

impl Versioned for ChannelCall {
    const VERSION: u8 = 2;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<ChannelCall, Unreadable> {
        let (to, rules, request) = match version {
            1 => pinned::take::<(Address, EarlierRules, Request)>(bytes)?,
            _ => return Err(Unreadable::Version(version)),
        };
        Ok(ChannelCall { to, rules: rules.into(), request })
    }
}

impl Versioned for Answer<Response> {
    const VERSION: u8 = 2;

    /// The first version had no answer about annotations, and all else as it is.
    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<Answer<Response>, Unreadable> {
        match version {
            1 => pinned::take(bytes),
            _ => Err(Unreadable::Version(version)),
        }
    }
}
