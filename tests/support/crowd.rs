//! Who is on the channels when nothing fails any more: members leave when they should, neither sooner nor later, and
//! the numbers that are told are those of the connections that there are.

use std::collections::BTreeMap;

use courtside::limits::{GRACE_MS, LINK_PROBE_MS, LINK_STALL_MS, LINK_TAKING_MAX_MS, OCCUPANCY_INTERVAL_MS};
use courtside::object::{self, CallerId};
use courtside::rpc::{ChannelCall, Occupancy, Request, Rules, Wanted};
use serde_json::{Value, json};

use super::client::PresenceUpdate;
use super::host::Input;
use super::presence::ENTER;
use super::publish::{Act, Publish};
use super::subscription::{State, Subscription};
use super::trace::note;
use super::world::{Event, World};

/// How long a call and what follows from it take at most when nothing fails.
const SOON_MS: u64 = 2_000;

/// A client with a member detaches, closes, or is lost and stays away for a while.
pub fn part_with_one(world: &mut World, pass: impl Fn(&mut World, u64)) {
    let Some((client, at)) = pick(world) else { return };
    let (name, channel) = (world.homes[client].client.subscriptions[at].name.clone(), at_channel(world, client, at));
    let act = Some(Act { action: ENTER, client_id: world.name_of(client, "parting".to_owned()), known: None });
    let publish = Publish { name, channel, tag: "parting".to_owned(), messages: 0, own_id: false, act, change: None };
    let updates = world.homes[client].client.publish(publish, false);
    world.perform(client, updates);
    pass(world, SOON_MS);
    let connection_id = world.homes[client].client.connection_id.clone().expect("it is connected");
    assert!(members(world, channel, &connection_id) > 0, "client {client} entered and is not there");
    let now_ms = world.now_ms;
    let home = &mut world.homes[client];
    let updates = match world.random.below(3) {
        // All attachments to the channel, whatever their names, but for views of it, which keep nobody there.
        0 => {
            let of_channel = home.client.subscriptions.iter_mut().filter(|at| at.has_presence_of(channel));
            let attached = of_channel.filter(|at| at.state == State::Attached);
            attached.map(|at| PresenceUpdate::Send(at.detach(now_ms))).collect()
        }
        1 => home.client.close(now_ms),
        _ => {
            note(now_ms, format_args!("client {client} is lost"));
            let updates = home.client.hang_up(now_ms);
            home.client.connect_at_ms = now_ms + 4 * GRACE_MS;
            let grace_ms = home.client.grace_ms;
            // Of who is lost over HTTP nobody says so.
            let unnoticed_ms =
                if world.is_over_http(client) { LINK_PROBE_MS + LINK_STALL_MS + LINK_TAKING_MAX_MS } else { 0 };
            world.perform(client, updates);
            pass(world, grace_ms - SOON_MS);
            assert!(members(world, channel, &connection_id) > 0, "client {client}'s members leave too soon");
            pass(world, SOON_MS + unnoticed_ms);
            Vec::new()
        }
    };
    world.perform(client, updates);
    pass(world, SOON_MS);
    assert_eq!(members(world, channel, &connection_id), 0, "client {client}'s members are ghosts");
}

/// A client that is settled and attached, and where.
fn pick(world: &mut World) -> Option<(usize, usize)> {
    let mut found = Vec::new();
    for client in 0..world.homes.len() {
        for at in 0..world.homes[client].client.subscriptions.len() {
            let settled = world.homes[client].client.settled(at);
            if settled.is_some_and(|at| at.state == State::Attached && at.filter.is_none()) {
                found.push((client, at));
            }
        }
    }
    (!found.is_empty()).then(|| *world.random.pick(&found))
}

fn at_channel(world: &World, client: usize, at: usize) -> usize {
    world.homes[client].client.subscriptions[at].channel
}

fn members(world: &World, channel: usize, connection_id: &str) -> usize {
    world.hosts[channel].disk().present().keys().filter(|(connection, _)| connection == connection_id).count()
}

/// What each channel says of itself is the truth, and so is what listeners were told last.
pub fn check_occupancy(world: &mut World, pass: impl Fn(&mut World, u64)) {
    for channel in 0..world.channels {
        let call = ChannelCall {
            to: world.hosts[channel].address.clone().expect("a channel's object"),
            rules: Rules::of(world.rules(channel)),
            request: Request::Count,
        };
        let caller = CallerId(world.fresh());
        world.counting.insert(caller, channel);
        let input = Input::Object(object::Input::Call { caller, call });
        world.after(1, Event::Turn { host: channel, life: None, input });
    }
    // What a channel that slept hears from one relay after another is told once an interval.
    pass(world, SOON_MS + OCCUPANCY_INTERVAL_MS);
    for channel in 0..world.channels {
        let truth = truth(world, channel);
        let counted = world.counted.get(&channel).map(told);
        assert_eq!(counted.as_ref(), Some(&truth), "channel {channel} counts wrong");
        for (index, home) in world.homes.iter().enumerate() {
            for at in home
                .client
                .subscriptions
                .iter()
                .filter(|at| at.channel == channel && at.options.listens && at.is_attached())
            {
                assert_eq!(at.told.as_ref(), Some(&truth), "client {index} is told wrong at {}", at.name);
            }
        }
    }
}

fn told(occupancy: &Occupancy) -> Value {
    occupancy.to_json(Wanted::ALL)
}

fn truth(world: &World, channel: usize) -> Value {
    let is_there = |at: &Subscription| at.channel == channel && at.state == State::Attached;
    let may_do_all = |at: &Subscription| is_there(at) && at.has_presence_of(channel);
    let count = |counts: &dyn Fn(&Subscription) -> bool| {
        world.homes.iter().filter(|home| home.client.subscriptions.iter().any(counts)).count()
    };
    let with_objects = count(&|at: &Subscription| is_there(at) && at.replica.is_some());
    let (connections, others) = (count(&is_there), count(&may_do_all));
    let members = world.hosts[channel].disk().present().len();
    let (listening, guests) = (world.listening_to(channel), world.guests_on(channel));
    let all = connections + listening + guests;
    json!({"metrics": BTreeMap::from([
        ("connections", all), ("publishers", others + guests), ("subscribers", all),
        ("presenceConnections", others), ("presenceMembers", members), ("presenceSubscribers", others),
        ("objectPublishers", with_objects), ("objectSubscribers", with_objects),
    ])})
}
