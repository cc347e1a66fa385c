//! Where connections go.

use super::*;

fn app() -> AppId {
    AppId::parse("demo").unwrap()
}

fn held_by(key: &str) -> Option<RelayName> {
    holder(&app(), key, &Capability::parse(r#"{"*": ["*"]}"#).unwrap())
}

fn newcomer(region: Region) -> Placement {
    Placement::new(app(), region, None, None)
}

fn channel() -> Address {
    Address { app: app(), channel: ChannelName::parse("scores").unwrap() }
}

/// Leads a connection to an object that takes it. `refuses` is what the objects say.
fn travel(
    load_map: &mut LoadMap,
    mut placement: Placement,
    random: u64,
    now_ms: u64,
    refuses: impl Fn(&Place) -> Option<Refusal>,
) -> (Result<Place, ErrorInfo>, usize) {
    for asked in 0.. {
        let place = match load_map.place(&placement, random, now_ms) {
            Ok(place) => place,
            Err(error) => return (Err(error), asked),
        };
        let Some(refusal) = refuses(&place) else { return (Ok(place), asked) };
        if let Err(error) = load_map.refused(&mut placement, &place, refusal, now_ms) {
            return (Err(error), asked);
        }
    }
    unreachable!()
}

/// Relays of one region that hold so many each.
struct Crowd {
    load_map: LoadMap,
    held: Vec<usize>,
    bound: usize,
    asked: usize,
}

impl Crowd {
    fn of(bound: usize) -> Crowd {
        Crowd { load_map: LoadMap::default(), held: vec![0; usize::from(SHARDS_MAX)], bound, asked: 0 }
    }

    fn join(&mut self, random: u64, now_ms: u64) -> Result<Place, ErrorInfo> {
        let full = |place: &Place| match place {
            Place::Relay(shard) => (self.held[usize::from(shard.0)] >= self.bound).then_some(Refusal::Full),
            Place::Channel(_) => None,
        };
        let (place, asked) = travel(&mut self.load_map, newcomer(Region::ANYWHERE), random, now_ms, full);
        self.asked += asked;
        if let Ok(Place::Relay(shard)) = &place {
            self.held[usize::from(shard.0)] += 1;
        }
        place
    }

    fn relays(&self) -> usize {
        self.held.iter().filter(|held| **held > 0).count()
    }
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
    assert_eq!(Shard::new(Region::of(Some("AS"), Some(46.0)), SHARDS_MAX - 1).hint(), Some("me"));
}

#[test]
fn every_relay_is_below_the_first_of_its_region_in_three_steps() {
    let name = |region, index| RelayName::shard(&app(), Shard::new(region, index).0);
    let oceania = Region::of(Some("OC"), None);
    let mut followers = vec![0; usize::from(SHARDS_MAX)];
    for index in 0..SHARDS_MAX {
        let chain: Vec<RelayName> = std::iter::successors(Some(name(oceania, index)), above).collect();
        assert_eq!(chain.last(), Some(&name(oceania, 0)), "{chain:?}");
        assert!(chain.len() <= 3, "{chain:?}");
        if let Some(above) = chain.get(1) {
            followers[usize::from(app_and_shard(above).unwrap().1.index())] += 1;
        }
    }
    assert_eq!(followers.iter().max(), Some(&FOLLOWERS_MAX));
    assert_eq!(above(&RelayName::of_channel(&channel())), None);
}

#[test]
fn a_small_app_has_one_relay_in_each_region() {
    let mut crowd = Crowd::of(100);
    for number in 0..100 {
        assert_eq!(crowd.join(number * 7, number), Ok(Place::Relay(Shard(0))));
    }
    assert_eq!(crowd.asked, 0);
    let europe = Region::of(Some("EU"), None);
    let (place, _) = travel(&mut crowd.load_map, newcomer(europe), 5, 0, |_| None);
    assert_eq!(place, Ok(Place::Relay(Shard::new(europe, 0))));
}

#[test]
fn a_crowd_uses_as_many_relays_as_it_needs_and_fills_them_evenly() {
    let mut crowd = Crowd::of(100);
    for number in 0..6_000_u64 {
        crowd.join(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20, 0).unwrap();
    }
    assert!((60..=64).contains(&crowd.relays()), "{}", crowd.relays());
    assert!(crowd.asked <= 64, "each full relay refuses a router once: {}", crowd.asked);
    let latest = &crowd.held[32..64];
    assert!(latest.iter().all(|held| *held > 60), "{latest:?}");
}

#[test]
fn a_router_that_knows_nothing_finds_room_in_a_few_steps() {
    let full = |place: &Place| match place {
        Place::Relay(shard) if shard.0 < 128 => Some(Refusal::Full),
        _ => None,
    };
    let (place, asked) = travel(&mut LoadMap::default(), newcomer(Region::ANYWHERE), 77, 0, full);
    assert!(matches!(place, Ok(Place::Relay(shard)) if shard.0 >= 128), "{place:?}");
    assert_eq!(asked, 8, "one relay of each tier");
}

#[test]
fn what_is_known_to_be_full_is_asked_again_after_a_while() {
    let mut crowd = Crowd::of(1);
    for number in 0..8 {
        crowd.join(number, 0).unwrap();
    }
    crowd.held.fill(0);
    let place = crowd.join(0, FULL_KEPT_MS - 1).unwrap();
    assert!(matches!(&place, Place::Relay(shard) if shard.0 >= 4), "{place:?}");
    assert_eq!(crowd.join(0, FULL_KEPT_MS), Ok(Place::Relay(Shard(0))), "the crowd left");
    assert_eq!(crowd.join(0, FULL_KEPT_MS), Ok(Place::Relay(Shard(1))));
}

#[test]
fn there_is_an_end_to_it() {
    let (place, asked) = travel(&mut LoadMap::default(), newcomer(Region::ANYWHERE), 3, 0, |_| Some(Refusal::Full));
    assert!(place.unwrap_err().is(Code::Unavailable));
    assert_eq!(asked, 9);
}

#[test]
fn who_is_busy_is_left_alone_for_that_long_and_nobody_else_gets_the_crowd() {
    let mut load_map = LoadMap::default();
    let busy = |_: &Place| Some(Refusal::Busy { for_ms: 300 });
    let (refused, asked) = travel(&mut load_map, newcomer(Region::ANYWHERE), 0, 1_000, busy);
    assert!(refused.unwrap_err().is(Code::RateLimited));
    assert_eq!(asked, 0);
    let (refused, asked) = travel(&mut load_map, newcomer(Region::ANYWHERE), 0, 1_299, |_| None);
    assert!(refused.unwrap_err().is(Code::RateLimited));
    assert_eq!(asked, 0, "the relay isn't asked");
    let (place, _) = travel(&mut load_map, newcomer(Region::ANYWHERE), 0, 1_300, |_| None);
    assert_eq!(place, Ok(Place::Relay(Shard(0))));
}

#[test]
fn a_key_leads_to_its_relay_even_if_that_was_full() {
    let mut crowd = Crowd::of(1);
    crowd.join(0, 0).unwrap();
    crowd.join(0, 0).unwrap();
    let back = || Placement::new(app(), Region::ANYWHERE, None, Some(0));
    let (place, _) = travel(&mut crowd.load_map, back(), 0, 0, |_| None);
    assert_eq!(place, Ok(Place::Relay(Shard(0))));
    let far = Shard::new(Region::of(Some("OC"), None), 5);
    let back = Placement::new(app(), Region::ANYWHERE, None, Some(far.0));
    let full = |place: &Place| (*place == Place::Relay(far)).then_some(Refusal::Full);
    let (place, _) = travel(&mut LoadMap::default(), back, 0, 0, full);
    assert_eq!(place, Ok(Place::Relay(Shard(0))), "not there, so as a newcomer");
}

#[test]
fn a_key_that_no_router_made_leads_nowhere() {
    for claimed in [SHARDS_MAX * 10 + MQTT_HOMES, Shard::CHANNEL.0, u16::MAX - 1] {
        let placement = Placement::new(app(), Region::ANYWHERE, None, Some(claimed));
        assert_eq!(LoadMap::default().place(&placement, 9, 0), Ok(Place::Relay(Shard(0))), "{claimed}");
        assert_eq!(held_by(&format!("a!{claimed}-0-mac")), None);
    }
}

#[test]
fn a_key_leads_to_who_holds_its_connection() {
    let far = Shard::new(Region::of(Some("OC"), None), 5).0;
    assert_eq!(held_by(&format!("a!{far}-0-mac")), Some(RelayName::shard(&app(), far)));
    let own = format!("a!{}-0-mac", Shard::CHANNEL.0);
    assert_eq!(held_by(&own), None, "which channel's, it doesn't say");
    let leading = ConnectionKey::leading_to(&own, channel().channel.as_str());
    assert_eq!(held_by(&leading), Some(RelayName::of_channel(&channel())));
    assert_eq!(channel_of(&leading), Some(channel().channel));
    for elsewhere in [&own, &leading.replace("!65535", "!0"), "nonsense"] {
        assert_eq!(channel_of(elsewhere), None, "{elsewhere}");
    }
    assert_eq!(held_by("nonsense"), None);
}

#[test]
fn a_key_leads_to_no_channel_on_which_its_bearer_has_no_right() {
    let own = format!("a!{}-0-mac", Shard::CHANNEL.0);
    let leading = ConnectionKey::leading_to(&own, channel().channel.as_str());
    let by = |capability: &str| holder(&app(), &leading, &Capability::parse(capability).unwrap());
    assert_eq!(by(r#"{"other": ["*"]}"#), None);
    assert_eq!(by(r#"{"scores": ["history"]}"#), Some(RelayName::of_channel(&channel())));
    assert_eq!(holder(&app(), &leading, &Capability::of_nothing()), None);
    assert!(holder(&app(), "a!0-0-mac", &Capability::of_nothing()).is_some(), "relays are few");
}

#[test]
fn a_named_channel_holds_its_clients_until_it_is_full() {
    let mut load_map = LoadMap::default();
    let named = |origin| Placement::new(app(), Region::ANYWHERE, Some(channel()), origin);
    let full = |place: &Place| matches!(place, Place::Channel(_)).then_some(Refusal::Full);
    assert_eq!(load_map.place(&named(None), 0, 0), Ok(Place::Channel(channel())));
    assert_eq!(travel(&mut load_map, named(None), 0, 0, full), (Ok(Place::Relay(Shard(0))), 1));
    assert_eq!(travel(&mut load_map, named(None), 0, 1, full), (Ok(Place::Relay(Shard(0))), 0));
    assert_eq!(load_map.place(&named(Some(0)), 0, 1), Ok(Place::Relay(Shard(0))), "it was moved there");
    let back = named(Some(Shard::CHANNEL.0));
    assert_eq!(load_map.place(&back, 0, 1), Ok(Place::Channel(channel())), "it was there before it was full");
}
