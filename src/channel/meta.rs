//! A channel's own record, beside its log, in each version that builds stored.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::pinned::{self, Unreadable, Versioned};
use crate::model::packed::Packed;
use crate::model::serial::Position;
use crate::rpc::{Address, Rules, RulesOfVersion1, RulesOfVersion2, RulesOfVersion3, RulesOfVersion4, RulesOfVersion5};

/// Pinned, see [`crate::base::pinned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    pub address: Address,
    /// Names this life of the channel's storage.
    pub epoch: String,
    /// Everything up to here is gone from the log, or was never in it.
    pub floor: Position,
    pub rules: Rules,
    /// Whether the app lists it among those in use.
    pub listed: bool,
    /// Whether somebody is told of its occupancy.
    pub listened: bool,
    /// The last message of the rows that are gone, where it is kept.
    pub last: Option<Packed>,
    /// Up to here messages may have been left out of what its readers got.
    pub conflated: Position,
    /// The app has said the rules up to here; see [`super::heard`].
    pub confirmed: Position,
}

impl Versioned for Meta {
    const VERSION: u8 = 7;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<Meta, Unreadable> {
        match version {
            1 => Meta::read_with::<RulesOfVersion1>(bytes),
            2 => Meta::read_with::<RulesOfVersion2>(bytes),
            3 => Meta::read_with::<RulesOfVersion3>(bytes)?.with_last(bytes),
            4 => Meta::read_with::<RulesOfVersion4>(bytes)?.with_last(bytes),
            5 => Meta::read_with::<RulesOfVersion5>(bytes)?.with_last(bytes),
            6 => Meta::read_with::<Rules>(bytes)?.with_last(bytes),
            _ => Err(Unreadable::Version(version)),
        }
    }
}

impl Meta {
    /// As it was with other rules.
    fn read_with<T: DeserializeOwned + Into<Rules>>(bytes: &mut &[u8]) -> Result<Meta, Unreadable> {
        let (address, epoch, floor, rules, listed, listened) = pinned::take::<(_, _, _, T, _, _)>(bytes)?;
        let (rules, last, conflated, confirmed) = (rules.into(), None, Position::ZERO, Position::ZERO);
        Ok(Meta { address, epoch, floor, rules, listed, listened, last, conflated, confirmed })
    }

    fn with_last(self, bytes: &mut &[u8]) -> Result<Meta, Unreadable> {
        Ok(Meta { last: pinned::take(bytes)?, ..self })
    }

    /// Whether readers that got all else may lack what is here.
    pub fn may_lack(&self, position: Position) -> bool {
        self.rules.conflation_key.is_some() || position <= self.conflated
    }
}
