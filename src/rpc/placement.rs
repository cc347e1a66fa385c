//! Which object takes a connection: a relay in the region near the client, one of a number that grows and shrinks by
//! itself.
//!
//! Nobody counts connections. A relay that is full says so, and the router that hears it goes on to the next tier of
//! relays, twice as many, and remembers for a while who was full. So an app uses as many relays as it needs and at most
//! as many again, a small one has a single relay in each region, and a crowd that leaves is forgotten:
//!
//! ```text
//!   tier 0   1    2      3            4 …     relay 0 alone, until it is full; then relay 1; then 2 and 3, by chance;
//!   relay 0  1   2 3  4 5 6 7   8 9 10 … 15   each tier is asked when all in those before it were full
//! ```
//!
//! A new isolate asks at most one full relay of each tier on behalf of one client. A connection that comes back goes
//! where its key says, because its relay knows most of it.

use serde::{Deserialize, Serialize};

use crate::auth::Capability;
use crate::base::cache::Cache;
use crate::base::pause;
use crate::error::{Code, ErrorInfo};
use crate::limits::{BUSY_MAX_MS, FOLLOWERS_MAX, FULL_KEPT_MS, MQTT_HOMES, SHARDS_MAX, SPREAD_MAX_KNOWN};
use crate::model::name::{AppId, ChannelName};
use crate::rpc::connection_key::ConnectionKey;
use crate::rpc::{Address, Refusal, RelayName, RelayObject};

/// A relay of an app: a region and a number within it, in the 16 bits that connection keys carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard(pub u16);

/// Where the platform can be asked to place an object, by its names for them. The order is that of connection keys.
const REGIONS: [&str; 9] = ["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"];

/// A region of no place, behind the others: of connections that are always held by one relay.
pub(super) const HOMES: u16 = REGIONS.len() as u16 + 1;

impl Shard {
    /// In the keys of connections that a channel's own object holds.
    pub const CHANNEL: Shard = Shard(u16::MAX);

    pub fn new(region: Region, index: u16) -> Shard {
        Shard(region.0 * SHARDS_MAX + index)
    }

    /// The name of the place to ask for, when there is one.
    pub fn hint(self) -> Option<&'static str> {
        REGIONS.get(usize::from(self.0 / SHARDS_MAX).checked_sub(1)?).copied()
    }

    /// A shard that a router could have chosen; connection keys are read before they are proved.
    fn exists(self) -> bool {
        self.0 < HOMES * SHARDS_MAX + MQTT_HOMES
    }

    fn index(self) -> u16 {
        self.0 % SHARDS_MAX
    }
}

/// The object that holds a connection, by what its key says. None if no router could have chosen it, and for a
/// channel on which `capability` gives no right: keys are read before they are proved, and each name that is called
/// makes an object.
pub fn holder(app: &AppId, key: &str, capability: &Capability) -> Option<RelayName> {
    match Shard(ConnectionKey::claimed(key)?.shard) {
        Shard::CHANNEL => {
            let channel = channel_of(key).filter(|channel| !capability.operations(channel).is_empty())?.owner();
            Some(RelayName::of_channel(&Address { app: app.clone(), channel }))
        }
        shard => shard.exists().then(|| RelayName::shard(app, shard.0)),
    }
}

/// The channel whose own object holds the connection, by what the connection's key says.
pub fn channel_of(key: &str) -> Option<ChannelName> {
    let is_direct = ConnectionKey::claimed(key)?.shard == Shard::CHANNEL.0;
    ConnectionKey::channel(key).filter(|_| is_direct)
}

/// The relay that feeds this one where a channel does not: in the same region, with a lower number, and so never below
/// it. None above the first of a region, nor above a channel's own object.
pub fn above(relay: &RelayName) -> Option<RelayName> {
    let (app, shard) = app_and_shard(relay)?;
    let below_first = shard.index().checked_sub(1)?;
    Some(RelayName::shard(&app, shard.0 - shard.index() + below_first / FOLLOWERS_MAX))
}

/// Whose relay this is, and which.
pub fn app_and_shard(relay: &RelayName) -> Option<(AppId, Shard)> {
    let RelayObject::Relay(name) = relay.object() else { return None };
    let (app, shard) = name.split_once('/')?;
    Some((AppId::parse(app).ok()?, Shard(shard.parse().ok()?)))
}

/// A part of the world, or nowhere in particular.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region(u16);

impl Region {
    pub const ANYWHERE: Region = Region(0);

    /// From what the platform knows of a request: the continent by its two letters, and the longitude in degrees.
    pub fn of(continent: Option<&str>, longitude: Option<f64>) -> Region {
        let west_of = |degrees: f64| longitude.is_some_and(|longitude| longitude < degrees);
        let name = match continent {
            Some("NA") if west_of(-100.0) => "wnam",
            Some("NA") => "enam",
            Some("SA") => "sam",
            Some("EU") if west_of(15.0) => "weur",
            Some("EU") => "eeur",
            Some("AS") if west_of(60.0) => "me",
            Some("AS") => "apac",
            Some("OC") => "oc",
            Some("AF") => "afr",
            _ => return Region::ANYWHERE,
        };
        REGIONS.iter().position(|known| *known == name).map_or(Region::ANYWHERE, |index| Region(index as u16 + 1))
    }
}

/// An object that may take a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// The channel's own, for a client that uses this channel alone.
    Channel(Address),
    Relay(Shard),
}

/// One connection on its way to an object that takes it.
#[derive(Clone, Debug)]
pub struct Placement {
    app: AppId,
    region: Region,
    /// Asked first: where a key says that the connection was.
    origin: Option<Place>,
    /// Asked next: the channel that the client named.
    channel: Option<Place>,
    /// Relays of lower tiers have refused.
    tier: u16,
    /// It is taken by the first that is asked, or by none.
    pub is_at_home: bool,
}

impl Placement {
    /// `origin` is the shard that a connection key claims.
    pub fn new(app: AppId, region: Region, channel: Option<Address>, origin: Option<u16>) -> Placement {
        let channel = channel.map(Place::Channel);
        let origin = origin.map(Shard).and_then(|shard| match shard {
            Shard::CHANNEL => channel.clone(),
            shard => shard.exists().then_some(Place::Relay(shard)),
        });
        Placement { app, region, origin, channel, tier: 0, is_at_home: false }
    }

    fn pass(&mut self, place: &Place) {
        if self.origin.take().is_some() {
            return;
        }
        match place {
            Place::Channel(_) => self.channel = None,
            Place::Relay(shard) => self.tier = tier_of(shard.index()) + 1,
        }
    }
}

/// What a router has heard of objects that refused: by their region or channel, those of each number.
pub struct LoadMap {
    known: Cache<RelayName, Vec<Mark>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    full_until_ms: u64,
    busy_until_ms: u64,
}

impl Default for LoadMap {
    fn default() -> LoadMap {
        LoadMap { known: Cache::new(SPREAD_MAX_KNOWN) }
    }
}

impl LoadMap {
    /// The object to ask next; `random` is any number. Fails with 42910 when those that have room are taking in as many
    /// as they can, and with 50320 when all are full.
    pub fn place(&self, placement: &Placement, random: u64, now_ms: u64) -> Result<Place, ErrorInfo> {
        if let Some(origin) = &placement.origin {
            return self.mark(placement, origin, now_ms).unless_busy(origin.clone(), now_ms);
        }
        if let Some(channel) = &placement.channel {
            let mark = self.mark(placement, channel, now_ms);
            if pause::is_over(mark.full_until_ms, FULL_KEPT_MS, now_ms) {
                return mark.unless_busy(channel.clone(), now_ms);
            }
        }
        let (region, _) = slot(placement, &Place::Relay(Shard::new(placement.region, 0)));
        let marks = self.known.get(&region, now_ms).map_or(&[][..], Vec::as_slice);
        for tier in placement.tier..=tier_of(SHARDS_MAX - 1) {
            let (mut has_room, mut idle) = (false, Vec::new());
            for index in first_of(tier)..first_of(tier + 1) {
                let mark = marks.get(usize::from(index)).copied().unwrap_or_default();
                let is_open = pause::is_over(mark.full_until_ms, FULL_KEPT_MS, now_ms);
                has_room |= is_open;
                if is_open && pause::is_over(mark.busy_until_ms, BUSY_MAX_MS, now_ms) {
                    idle.push(index);
                }
            }
            if has_room {
                let chosen = idle.get((random % idle.len().max(1) as u64) as usize).ok_or_else(paced)?;
                return Ok(Place::Relay(Shard::new(placement.region, *chosen)));
            }
        }
        Err(Code::Unavailable.because("all relays near this client are full; try again"))
    }

    /// The object of a place refused. Fails with what the client is to be told, unless another can be asked.
    pub fn refused(
        &mut self,
        placement: &mut Placement,
        place: &Place,
        refusal: Refusal,
        now_ms: u64,
    ) -> Result<(), ErrorInfo> {
        let (key, index) = slot(placement, place);
        let mut marks = self.known.get(&key, now_ms).cloned().unwrap_or_default();
        marks.resize(marks.len().max(index + 1), Mark::default());
        let outcome = match refusal {
            Refusal::Full if placement.is_at_home => Err(Code::Unavailable.because("this client's relay is full")),
            Refusal::Full => {
                marks[index].full_until_ms = now_ms + FULL_KEPT_MS;
                placement.pass(place);
                Ok(())
            }
            Refusal::Busy { for_ms } => {
                marks[index].busy_until_ms = now_ms + for_ms;
                Err(paced())
            }
            Refusal::Error(error) => return Err(error),
        };
        self.known.put(key, marks, now_ms + FULL_KEPT_MS, now_ms);
        outcome
    }

    fn mark(&self, placement: &Placement, place: &Place, now_ms: u64) -> Mark {
        let (key, index) = slot(placement, place);
        let marks = self.known.get(&key, now_ms);
        marks.and_then(|marks| marks.get(index)).copied().unwrap_or_default()
    }
}

impl Mark {
    fn unless_busy(self, place: Place, now_ms: u64) -> Result<Place, ErrorInfo> {
        if pause::is_over(self.busy_until_ms, BUSY_MAX_MS, now_ms) { Ok(place) } else { Err(paced()) }
    }
}

/// Where the mark of a place is: under the first relay of its region, or the channel's own.
fn slot(placement: &Placement, place: &Place) -> (RelayName, usize) {
    match place {
        Place::Channel(address) => (RelayName::of_channel(address), 0),
        Place::Relay(shard) => {
            let first = shard.0 - shard.index();
            (RelayName::shard(&placement.app, first), usize::from(shard.index()))
        }
    }
}

/// Relay 0 is tier 0, relay 1 is tier 1, 2 and 3 are tier 2, 4 to 7 tier 3.
fn tier_of(index: u16) -> u16 {
    (u16::BITS - index.leading_zeros()) as u16
}

fn first_of(tier: u16) -> u16 {
    if tier == 0 { 0 } else { 1 << (tier - 1) }
}

/// SDKs come back after 12 to 30 seconds, each at a moment of its own, and later each time. A status above 500 would
/// send those with fallback hosts there at once.
fn paced() -> ErrorInfo {
    Code::RateLimited.because("many clients are connecting; try again in a moment")
}

#[cfg(test)]
mod tests;
