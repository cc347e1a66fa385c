//! Which relay takes a connection: the region near the client, and one of a number of shards that grows and shrinks by
//! itself.
//!
//! Nobody counts connections. A relay that is full says so, and the router that hears it doubles the number of shards it
//! spreads an app's new connections over, for a while; routers that don't know yet learn it the same way. A connection
//! that comes back goes where its key says, because its relay knows most of it.

use std::collections::HashMap;

use crate::limits::{SHARDS_MAX, SPREAD_MAX_APPS, SPREAD_MS};
use crate::name::AppId;

/// A relay of an app: a region and a number within it, in the 16 bits that connection keys carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shard(pub u16);

/// Where the platform can be asked to place an object, by its names for them. The order is that of connection keys.
const REGIONS: [&str; 9] = ["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"];

impl Shard {
    /// `index` is below [`SHARDS_MAX`].
    pub fn new(region: Region, index: u8) -> Shard {
        Shard(u16::from(region.0) << 8 | u16::from(index))
    }

    /// The name of the place to ask for, when there is one.
    pub fn hint(self) -> Option<&'static str> {
        let region = (self.0 >> 8).checked_sub(1)?;
        REGIONS.get(usize::from(region)).copied()
    }

    /// A shard that a router could have chosen; connection keys are read before they are proved.
    pub fn exists(self) -> bool {
        usize::from(self.0 >> 8) <= REGIONS.len() && self.0 & 0xff < u16::from(SHARDS_MAX)
    }
}

/// A part of the world, or nowhere in particular.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Region(u8);

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
        REGIONS.iter().position(|known| *known == name).map_or(Region::ANYWHERE, |index| Region(index as u8 + 1))
    }
}

/// How far a router spreads new connections, by app and region: 1, 2, 4 … shards.
#[derive(Debug, Default)]
pub struct Spread {
    widths: HashMap<(AppId, Region), Width>,
}

#[derive(Clone, Copy, Debug)]
struct Width {
    shards: u8,
    /// When half as many are tried again.
    until_ms: u64,
}

impl Spread {
    /// A shard for a new connection; `random` is any number.
    pub fn choose(&mut self, app: &AppId, region: Region, random: u64, now_ms: u64) -> Shard {
        let shards = u64::from(self.width(app, region, now_ms));
        Shard::new(region, (random % shards) as u8)
    }

    /// A relay was full: from now on more of them are used. Gives whether there are more.
    pub fn widen(&mut self, app: &AppId, region: Region, now_ms: u64) -> bool {
        let shards = self.width(app, region, now_ms);
        if self.widths.len() >= SPREAD_MAX_APPS {
            self.widths.retain(|_, width| width.until_ms > now_ms);
        }
        if self.widths.len() < SPREAD_MAX_APPS {
            let wider = Width { shards: shards.saturating_mul(2).min(SHARDS_MAX), until_ms: now_ms + SPREAD_MS };
            self.widths.insert((app.clone(), region), wider);
        }
        shards < SHARDS_MAX
    }

    /// The width now: it halves with each period in which no relay was full.
    fn width(&mut self, app: &AppId, region: Region, now_ms: u64) -> u8 {
        let Some(width) = self.widths.get_mut(&(app.clone(), region)) else { return 1 };
        while width.shards > 1 && width.until_ms <= now_ms {
            width.shards /= 2;
            width.until_ms += SPREAD_MS;
        }
        width.shards
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> AppId {
        AppId::parse("demo").unwrap()
    }

    #[test]
    fn places_are_the_platforms() {
        let hint = |continent, longitude| Shard::new(Region::of(continent, longitude), 0).hint();
        assert_eq!(hint(Some("NA"), Some(-122.0)), Some("wnam"));
        assert_eq!(hint(Some("NA"), Some(-74.0)), Some("enam"));
        assert_eq!(hint(Some("EU"), Some(2.0)), Some("weur"));
        assert_eq!(hint(Some("EU"), None), Some("eeur"));
        assert_eq!(hint(Some("AS"), Some(46.0)), Some("me"));
        assert_eq!(hint(Some("AN"), None), None);
        assert_eq!(hint(None, None), None);
    }

    #[test]
    fn only_shards_that_could_be_chosen_exist() {
        assert!(Shard(0).exists());
        assert!(Shard::new(Region::of(Some("OC"), None), SHARDS_MAX - 1).exists());
        assert!(!Shard(u16::from(SHARDS_MAX)).exists());
        assert!(!Shard((REGIONS.len() as u16 + 1) << 8).exists());
    }

    #[test]
    fn full_relays_widen_the_spread_and_time_narrows_it() {
        let mut spread = Spread::default();
        let widest = |spread: &mut Spread, now_ms| {
            (0..64).map(|random| spread.choose(&app(), Region::ANYWHERE, random, now_ms).0).max().unwrap()
        };
        assert_eq!(widest(&mut spread, 0), 0);
        assert!(spread.widen(&app(), Region::ANYWHERE, 0));
        assert!(spread.widen(&app(), Region::ANYWHERE, 10));
        assert_eq!(widest(&mut spread, 10), 3);
        assert_eq!(widest(&mut spread, 10 + SPREAD_MS), 1);
        assert_eq!(widest(&mut spread, 10 + 2 * SPREAD_MS), 0);
        assert_eq!(spread.choose(&app(), Region::of(Some("SA"), None), 5, 10).0 & 0xff, 0, "regions are apart");
    }

    #[test]
    fn there_is_an_end_to_widening() {
        let mut spread = Spread::default();
        let steps = (0..20).take_while(|_| spread.widen(&app(), Region::ANYWHERE, 0)).count();
        assert_eq!(1 << steps, SHARDS_MAX);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut spread = Spread::default();
        for number in 0..SPREAD_MAX_APPS + 10 {
            spread.widen(&AppId::parse(&format!("a{number}")).unwrap(), Region::ANYWHERE, 0);
        }
        assert_eq!(spread.widths.len(), SPREAD_MAX_APPS);
    }
}
