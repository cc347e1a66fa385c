//! One run of the simulation: a world made from a seed, busy and quiet times in it, and the reckoning at the end.

use std::collections::{BTreeMap, BTreeSet};

use courtside::limits::GRACE_MS;
use courtside::model::Format;
use courtside::model::data::Data;
use courtside::model::message::Entry;
use courtside::model::revision::Target;
use courtside::model::serial::Position;
use courtside::rpc::HistoryQuery;
use serde_json::json;

use super::changing;
use super::client::{Client, PresenceUpdate, Transport};
use super::crowd;
use super::ledger::{Kind, Ledger, Logged};
use super::presence::{ENTER, Key, LEAVE, UPDATE};
use super::publish::{Act, Publish};
use super::random::Random;
use super::subscription::{State, Subscription};
use super::trace::note;
use super::weather::Weather;
use super::world::{Home, KINDS, World, channel_name};

/// How long the longest backoffs, timeouts and clock skews take to pass.
const CALM_MS: u64 = 200_000;

/// About what a message and what is said of it take in frames.
const SAID_BYTES: u64 = 400;

/// What a run amounted to, to see that it was worth it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub acknowledged: usize,
    pub received: usize,
    pub gaps: usize,
    /// Messages that did not come, since later ones did.
    pub conflated: usize,
    pub deltas: usize,
    pub repeats: usize,
    pub present: usize,
    /// Relays that another relay feeds at the end.
    pub followers: usize,
    /// What listeners got.
    pub heard: usize,
    pub heard_gaps: usize,
    /// What clients of other protocols got.
    pub guests: usize,
    pub guest_gaps: usize,
    /// What a device was told.
    pub pushed: usize,
    /// Operations on messages, annotations and operations on objects that came to clients.
    pub changes: usize,
    /// Summaries, and entries of objects' maps, that are right at the end.
    pub summaries: usize,
    pub objects: usize,
    /// Revocations and bans, and who is out at the end.
    pub sanctions: usize,
    pub out: usize,
    /// Keys that ended.
    pub ended: usize,
}

pub fn run(seed: u64) -> Tally {
    let mut random = Random::new(seed);
    let weather = Weather::of(&mut random);
    // Now and then so many relays that the channel doesn't feed them all itself.
    let is_wide = std::env::var("WIDE").is_ok() || random.chance(60);
    let channels = if is_wide { 1 } else { random.between(1, 3) };
    let kinds: Vec<Kind> = (0..channels).map(|_| *random.pick(&KINDS)).collect();
    let relays = if is_wide { random.between(20, 40) } else { random.between(1, 2) } as usize;
    let clients = if is_wide { random.between(12, 20) } else { random.between(2, 6) } as usize;
    let busy_ms: Vec<u64> = (0..random.between(1, 3)).map(|_| random.between(3_000, 20_000)).collect();
    let mut world = World::new(random, weather, &kinds, relays);
    world.sanctions.operates = world.random.chance(300);
    world.is_configured_anew = world.random.chance(300);
    if world.sanctions.operates && world.random.chance(500) {
        world.is_configured_anew = false;
        world.make_app();
    }
    for _ in 0..clients {
        add_client(&mut world, &kinds, relays);
    }
    for _ in 0..world.random.below(4) {
        world.add_listener(&kinds);
    }
    // Clients of the other doors, in half of the runs.
    for _ in 0..world.random.below(6).saturating_sub(2) {
        world.add_guest(&kinds);
    }
    for _ in 0..world.random.below(6).saturating_sub(3) {
        world.add_adversary();
    }
    note(0, format_args!("{:?}", world.weather));
    let mut publishes = 0;
    for busy_ms in busy_ms {
        cut(&mut world);
        let until_ms = world.now_ms + busy_ms;
        world.run_until(until_ms, |world, client| moment(world, client, &mut publishes));
        // Longer than the log keeps what was published, now and then.
        if world.cut.is_some() || world.random.chance(300) {
            let quiet_ms = world.random.between(10_000, 300_000);
            let until_ms = world.now_ms + quiet_ms;
            world.run_until(until_ms, |world, client| rest(world, client, 3_000));
        }
    }
    settle(&mut world);
    reckon(&mut world)
}

fn cut(world: &mut World) {
    let from = world.random.below(world.channels as u64) as usize;
    let to = world.random.below(world.hosts.len() as u64) as usize;
    world.cut = world.random.chance(world.weather.cut).then_some((from, to));
    note(world.now_ms, format_args!("deliveries are cut: {:?}", world.cut));
}

fn add_client(world: &mut World, kinds: &[Kind], relays: usize) {
    let random = &mut world.random;
    let echo = random.chance(750);
    let format = *random.pick(&[Format::Json, Format::Msgpack]);
    // Held by a relay, or by a channel, most often by the one that it uses.
    let held_by = random.below((relays * 2 + kinds.len()) as u64) as usize;
    let (host, channels) = match held_by.checked_sub(relays * 2) {
        Some(channel) if random.chance(700) => (channel, channel..channel + 1),
        Some(channel) => (channel, 0..kinds.len()),
        None => (kinds.len() + held_by % relays, 0..kinds.len()),
    };
    let mut subscriptions = Vec::new();
    for channel in channels {
        let name = channel_name(channel, kinds[channel]);
        let mut plain = Subscription::new(name.clone(), channel, random.chance(800));
        plain.options.no_echo = random.chance(100);
        plain.options.listens = random.chance(300);
        plain.options.wants_deltas = random.chance(400);
        if random.chance(400) {
            plain.wants_all(kinds[channel].mutable);
        }
        subscriptions.push(plain);
        if random.chance(200) {
            let mut qualified = Subscription::new(format!("[?rewind=4]{name}"), channel, true);
            qualified.rewind = Some(4);
            qualified.options.wants_deltas = random.chance(400);
            if random.chance(300) {
                qualified.wants_all(kinds[channel].mutable);
            }
            subscriptions.push(qualified);
        }
        if random.chance(200) {
            let wanted = if random.chance(500) { "a" } else { "b" };
            subscriptions.push(Subscription::filtered(&name, channel, wanted));
        }
    }
    let mut client = Client::new(echo, kinds.len(), subscriptions);
    client.grace_ms = *world.random.pick(&[GRACE_MS, 5_000]);
    if world.homes.len().is_multiple_of(2) {
        client.stay_attached();
    }
    client.unsteady = world.weather.step_clock > 0;
    world.add_client(client, host, format);
}

/// Something that a client does, and something that happens to an object.
fn moment(world: &mut World, client: usize, publishes: &mut u64) {
    if world.random.chance(100) {
        fault(world);
    }
    if world.is_configured_anew && world.random.chance(4) {
        world.reconfigure();
    }
    if world.sanctions.operates && world.random.chance(12) {
        world.sanction();
    }
    let now_ms = world.now_ms;
    if !world.homes[client].client.is_busy() {
        let updates = match world.random.below(1_000) {
            0..450 => publish(world, client, publishes),
            450..480 => repeat(world, client),
            480..520 => attach_or_detach(world, client),
            520..530 => heartbeat(world, client),
            550..600 => act(world, client, publishes),
            530..536 if is_connected(world, client) => world.homes[client].client.close(now_ms),
            540..546 if is_connected(world, client) => world.homes[client].client.part(now_ms),
            600..900 if world.random.chance(world.weather.sever / 4) => sever(world, client),
            900.. => changing::change(world, client, publishes),
            _ => Vec::new(),
        };
        world.perform(client, updates);
    }
    let delay_ms = world.random.between(10, 400);
    world.tick_client_after(client, delay_ms);
}

fn rest(world: &mut World, client: usize, longest_ms: u64) {
    end_deafness(world, client);
    if world.random.chance(30) {
        fault(world);
    }
    let delay_ms = world.random.between(100, longest_ms);
    world.tick_client_after(client, delay_ms);
}

/// Everybody listens in the end.
fn end_deafness(world: &mut World, client: usize) {
    let now_ms = world.now_ms;
    let World { homes, ledger, .. } = world;
    let client_of = &mut homes[client].client;
    let count = client_of.subscriptions.len();
    let frames: Vec<_> = (0..count).filter_map(|at| client_of.settled(at)?.end_deafness(now_ms, ledger)).collect();
    world.perform(client, frames.into_iter().map(PresenceUpdate::Send).collect());
}

fn is_connected(world: &World, client: usize) -> bool {
    world.homes[client].client.transport == Transport::Connected
}

fn sever(world: &mut World, client: usize) -> Vec<PresenceUpdate> {
    let now_ms = world.now_ms;
    // Now and then longer than the connection, or the log, can be resumed.
    let away_ms = match world.random.below(100) {
        0..4 => 250_000,
        4..14 => 30_000,
        _ => 2_000,
    };
    let away_ms = world.random.below(away_ms);
    let client = &mut world.homes[client].client;
    if client.transport == Transport::Down {
        return Vec::new();
    }
    let updates = client.hang_up(now_ms);
    client.connect_at_ms = now_ms + away_ms;
    updates
}

fn publish(world: &mut World, client: usize, publishes: &mut u64) -> Vec<PresenceUpdate> {
    *publishes += 1;
    let (own_id, messages) = (world.random.chance(650), if world.random.chance(200) { 3 } else { 1 });
    let subscriptions = world.homes[client].client.subscriptions.iter();
    let subscriptions: Vec<_> = subscriptions.filter(|at| at.filter.is_none()).collect();
    let at = *world.random.pick(&subscriptions);
    let (name, channel) = (at.name.clone(), at.channel);
    let publish = Publish { name, channel, tag: format!("p{publishes}"), messages, own_id, act: None, change: None };
    world.homes[client].client.publish(publish, false)
}

/// Publishes what was published before, by another client it may be, under the same id.
fn repeat(world: &mut World, client: usize) -> Vec<PresenceUpdate> {
    let from = world.random.below(world.homes.len() as u64) as usize;
    let known: Vec<Publish> =
        world.homes[from].client.published.iter().rev().take(5).filter(|known| known.own_id).cloned().collect();
    if known.is_empty() {
        return Vec::new();
    }
    let mut publish = world.random.pick(&known).clone();
    let reachable = world.homes[client].client.subscriptions.iter().find(|at| at.channel == publish.channel);
    let Some(at) = reachable else { return Vec::new() };
    publish.name = at.name.clone();
    world.homes[client].client.publish(publish, true)
}

fn attach_or_detach(world: &mut World, client: usize) -> Vec<PresenceUpdate> {
    let now_ms = world.now_ms;
    let (at, again) = (world.random.below(4) as usize, world.random.chance(600));
    let changes = world.random.chance(700);
    let World { homes, ledger, random, .. } = world;
    let Some(subscription) = homes[client].client.settled(at) else { return Vec::new() };
    let frame = match subscription.state {
        State::Attached if again => {
            let is_mutable = ledger.book(subscription.channel).kind().mutable;
            let changed = if changes { subscription.set_options(random, is_mutable, now_ms, ledger) } else { None };
            changed.unwrap_or_else(|| subscription.attach(now_ms, ledger))
        }
        State::Attached => subscription.detach(now_ms),
        _ => {
            subscription.wanted = true;
            return Vec::new();
        }
    };
    vec![PresenceUpdate::Send(frame)]
}

/// Enters, updates or leaves, as one of three.
fn act(world: &mut World, client: usize, publishes: &mut u64) -> Vec<PresenceUpdate> {
    *publishes += 1;
    let action = *world.random.pick(&[ENTER, ENTER, UPDATE, LEAVE]);
    let client_id = format!("c{client}m{}", world.random.below(3));
    let client_id = world.name_of(client, client_id);
    let at = world.random.below(4) as usize;
    let Some(subscription) = world.homes[client].client.settled(at) else { return Vec::new() };
    if subscription.state != State::Attached || subscription.filter.is_some() {
        return Vec::new();
    }
    let (name, channel) = (subscription.name.clone(), subscription.channel);
    let act = Some(Act { action, client_id, known: None });
    let publish =
        Publish { name, channel, tag: format!("p{publishes}"), messages: 0, own_id: false, act, change: None };
    world.homes[client].client.publish(publish, false)
}

fn heartbeat(world: &mut World, client: usize) -> Vec<PresenceUpdate> {
    let is_connected = is_connected(world, client);
    is_connected.then(|| PresenceUpdate::Send(json!({"action": 0, "id": "ping"}))).into_iter().collect()
}

fn fault(world: &mut World) {
    let host = world.random.below(world.hosts.len() as u64) as usize;
    let weather = world.weather.clone();
    if world.random.chance(weather.evict) && world.hosts[host].is_awake() && world.hosts[host].is_quiet() {
        world.forget(host);
    }
    if world.random.chance(weather.reset) {
        world.forget(host);
    }
    if world.random.chance(weather.crash) {
        world.crash(host);
    }
    if world.random.chance(weather.reset / 10) {
        world.app.forget();
    }
    if world.random.chance(weather.step_clock) {
        world.hosts[host].skew_ms = world.random.below(40_000) as i64 - 20_000;
        note(world.now_ms, format_args!("object {host}'s clock is off by {} ms", world.hosts[host].skew_ms));
    }
}

/// Nothing fails any more: in time everything must come to rest where it should be.
fn settle(world: &mut World) {
    note(world.now_ms, format_args!("all calm"));
    ease(world);
    (world.weather, world.cut) = (Weather::calm(), None);
    for home in &mut world.homes {
        home.client.connect_at_ms = home.client.connect_at_ms.min(world.now_ms + 1_000);
    }
    world.settle_listeners();
    world.settle_guests();
    world.adversaries_leave();
    world.end_sanctions();
    world.run_until(world.now_ms + CALM_MS / 2, |world, client| rest(world, client, 2_000));
    // Or nothing is news any more: whoever was not told then, or lost it, must have been told again.
    if world.random.chance(500) {
        crowd::part_with_one(world, pass);
    }
    for home in &mut world.homes {
        home.client.calm = true;
    }
    world.ears.iter_mut().for_each(|ear| ear.listener.calm = true);
    world.guests.iter_mut().for_each(|guest| guest.calm = true);
    pass(world, CALM_MS / 2);
    crowd::check_occupancy(world, pass);
}

/// Relays that give out little must bring each reader all that was said within the calm, again and again if it comes
/// anew meanwhile. If more was said, they give out what is usual.
fn ease(world: &mut World) {
    let said = |channel: usize| world.ledger.book(channel).entries().iter().map(|logged| logged.messages.len()).sum();
    let most: usize = (0..world.channels).map(said).max().unwrap_or_default();
    let given = world.weather.bounds().connection.per_second * CALM_MS / 4 / 1_000;
    if most as u64 * SAID_BYTES > given {
        for host in 0..world.hosts.len() {
            world.forget(host);
            world.hosts[host].set_bounds(Weather::calm().bounds());
        }
    }
}

fn pass(world: &mut World, ms: u64) {
    world.run_until(world.now_ms + ms, |world, client| rest(world, client, 2_000));
}

fn reckon(world: &mut World) -> Tally {
    let mut tally = Tally::default();
    tally.sanctions += world.sanctions.count;
    tally.out += world.check_sanctions();
    tally.ended += world.sanctions.keys.count;
    for (index, home) in world.homes.iter().enumerate() {
        if let Some(open) = home.client.unfinished(&world.barred(index), &world.ledger) {
            panic!("client {index} has not come to rest: {open}");
        }
        tally.received += home.client.subscriptions.iter().map(|at| at.received).sum::<usize>();
        tally.conflated += home.client.subscriptions.iter().map(|at| at.conflated).sum::<usize>();
        tally.deltas += home.client.subscriptions.iter().map(|at| at.deltas).sum::<usize>();
        tally.gaps += home.client.subscriptions.iter().map(|at| at.gaps).sum::<usize>();
        tally.changes += home.client.subscriptions.iter().map(|at| at.changes).sum::<usize>();
    }
    for (index, ear) in world.ears.iter().enumerate() {
        if let Some(open) = ear.listener.unfinished(&world.ledger) {
            panic!("listener {index} lacks something: {open}");
        }
        let courses = &ear.listener.courses;
        tally.heard += courses.iter().map(|course| course.received).sum::<usize>();
        tally.heard_gaps += courses.iter().map(|course| course.gaps).sum::<usize>();
    }
    for (index, guest) in world.guests.iter().enumerate() {
        if let Some(open) = guest.unfinished(&world.ledger) {
            panic!("guest {index} lacks something: {open}");
        }
        let courses = guest.visitor.courses();
        tally.guests += courses.iter().map(|course| course.received).sum::<usize>();
        tally.guest_gaps += courses.iter().map(|course| course.gaps).sum::<usize>();
    }
    tally.followers = world.hosts.iter().map(|host| host.disk().fed()).sum();
    check_listing(world);
    tally.pushed = check_pushes(world);
    tally.present = (0..world.channels).map(|channel| check_presence(world, channel)).sum();
    for channel in 0..world.channels {
        let book = world.ledger.book(channel);
        (tally.acknowledged, tally.repeats) = (tally.acknowledged + book.acknowledged, tally.repeats + book.repeats);
        if let Some(since_ms) = book.persisted_since_ms().filter(|_| !book.entries().is_empty()) {
            let clock_ms = world.clock_ms(channel);
            let history = world.hosts[channel].history(everything(), clock_ms);
            check_history(&history, &world.ledger, channel, since_ms);
            if since_ms == 0 {
                tally.summaries += changing::check_messages(world, channel, &history);
            }
        }
        tally.objects += changing::check_objects(world, channel);
    }
    tally
}

fn everything() -> HistoryQuery {
    HistoryQuery { forwards: true, limit: 100_000, ..HistoryQuery::default() }
}

fn check_history(history: &courtside::rpc::HistoryPage, ledger: &Ledger, channel: usize, since_ms: u64) {
    let told: Vec<_> = history.entries.entries().expect("history is whole");
    let texts = |entry: &Entry| entry.messages().iter().map(|message| message.data.clone()).collect::<Vec<_>>();
    let told: Vec<_> = told.iter().map(|entry| (entry.position, texts(entry))).collect();
    let kept = |logged: &&Logged| !logged.messages.is_empty() && logged.logged_ms >= since_ms;
    let logged = ledger.book(channel).entries().iter().filter(kept);
    let logged: Vec<_> = logged.map(|logged| (logged.position, texts_now(logged, ledger, channel))).collect();
    let is_kept = |told: &&(Position, Vec<Data>)| logged.first().is_some_and(|(first, _)| told.0 >= *first);
    let told: Vec<_> = told.iter().filter(is_kept).cloned().collect();
    assert_eq!(told, logged, "history is what was published");
}

/// A device was told all that was published to be pushed, and nothing that was not. Gives how much.
fn check_pushes(world: &World) -> usize {
    let logged = (0..world.channels).flat_map(|channel| world.ledger.book(channel).entries());
    let logged: BTreeSet<&String> = logged.filter_map(|logged| logged.push.as_ref()).collect();
    assert_eq!(world.app.pushed.iter().collect::<BTreeSet<_>>(), logged, "what is pushed is what was published");
    logged.len()
}

/// The app knows which channels are in use.
fn check_listing(world: &World) {
    for channel in &world.hosts[..world.channels] {
        let name = channel.address.as_ref().expect("a channel's object").channel.as_str();
        let (relays, present) = (channel.disk().relays(), channel.disk().present());
        let is_listed = world.app.stored().listed.contains_key(name);
        let is_used = !relays.is_empty() || !present.is_empty();
        assert!(is_listed || !is_used, "{name} is used by {relays:?} and {present:?}, and the app does not list it");
    }
}

/// What the messages of a publish say in the end.
fn texts_now(logged: &Logged, ledger: &Ledger, channel: usize) -> Vec<Data> {
    let text = |place: usize| ledger.last_text(channel, Target { position: logged.position, place }, |_| true);
    (0..logged.messages.len()).map(|place| Data::Text(text(place).expect("it is in the log").to_owned())).collect()
}

/// The channel's set is what clients see, nobody is in it whose connection is not attached, and nobody is missing whose
/// connection is, unless a relay could not be asked for it. Gives how many are present.
fn check_presence(world: &World, channel: usize) -> usize {
    let set: BTreeMap<Key, String> = world.hosts[channel].disk().present();
    for (index, home) in world.homes.iter().enumerate() {
        let client = &home.client;
        for at in client.subscriptions.iter().filter(|at| at.has_presence_of(channel) && at.is_attached()) {
            assert_eq!(at.view.present(), set, "client {index} sees another set at {}", at.name);
            for (client_id, (connection_id, _)) in &at.view.mine {
                let is_there = set.contains_key(&(connection_id.clone(), client_id.clone()));
                assert!(is_there || at.view.taken.contains(client_id), "client {index} misses its member {client_id}");
            }
        }
    }
    for (connection_id, client_id) in set.keys() {
        let holds = |home: &&Home| home.client.connection_id.as_ref() == Some(connection_id);
        let holder = world.homes.iter().find(holds);
        let attached = holder.is_some_and(|home| {
            home.client.subscriptions.iter().any(|at| at.has_presence_of(channel) && at.state == State::Attached)
        });
        assert!(attached, "{client_id} of {connection_id} is a ghost");
    }
    set.len()
}
