//! The set as those get it who come later.

use courtside::limits::SYNC_TURN_MS;
use serde_json::{Value, json};

use crate::world::{Client, World, told};

/// A room with so many members on one connection.
fn crowd(members: usize) -> (World, Client) {
    crowd_in(World::new(1), members)
}

fn crowd_in(mut world: World, members: usize) -> (World, Client) {
    let bot = world.connect(0, "*");
    world.attach(bot);
    let presence: Vec<_> = (0..members).map(|n| json!({"action": 2, "clientId": format!("m{n:04}")})).collect();
    for (serial, presence) in presence.chunks(1_000).enumerate() {
        let frame = json!({"action": 14, "channel": "room", "msgSerial": serial, "presence": presence});
        world.send(bot, frame);
    }
    (world, bot)
}

/// So many who come to a crowd of five at once, so that all but the first share a sync, which has not begun to go out
/// yet.
fn joiners(world: &mut World, count: usize) -> Vec<Client> {
    let joiners: Vec<Client> = (0..count).map(|_| world.connect(0, "ann")).collect();
    world.objects.held_answers = Some(Vec::new());
    joiners.iter().for_each(|client| world.attach(*client));
    world.objects.free_answers();
    joiners
}

/// Passes turns until this client has been sent so many pages, and gives the frames.
fn until_page(world: &mut World, client: Client, pages: usize) -> Vec<Value> {
    let mut frames = Vec::new();
    for _ in 0..1_000 {
        frames.extend(world.take(client));
        if syncs(&frames).iter().filter(|sync| sync["presence"] != json!([])).count() >= pages {
            return frames;
        }
        world.pass(SYNC_TURN_MS);
    }
    panic!("{pages} pages don't come: {frames:?}");
}

fn syncs(frames: &[Value]) -> Vec<&Value> {
    frames.iter().filter(|frame| frame["action"] == 16).collect()
}

fn members(syncs: &[&Value]) -> Vec<String> {
    let of = |frame: &&Value| frame["presence"].as_array().cloned().expect("SYNC has members, if none");
    syncs.iter().flat_map(of).map(|member| told(&member)).collect()
}

#[test]
fn an_empty_channel_says_so() {
    let mut world = World::new(1);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    let frames = world.take(ann);
    let attached = frames.iter().find(|frame| frame["action"] == 11).unwrap();
    assert_eq!(attached["flags"].as_u64().unwrap() & 1, 0);
    assert!(syncs(&frames).is_empty());
}

#[test]
fn a_late_joiner_gets_the_set_in_pages_of_one_sync() {
    let (mut world, _) = crowd(750);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    world.pass(SYNC_TURN_MS);
    let frames = world.take(ann);
    let attached = frames.iter().position(|frame| frame["action"] == 11).unwrap();
    assert_eq!(frames[attached]["flags"].as_u64().unwrap() & 1, 1);
    let syncs = syncs(&frames[attached..]);
    let serials: Vec<&str> = syncs.iter().map(|frame| frame["channelSerial"].as_str().unwrap()).collect();
    let sequence = serials[0].split_once(':').unwrap().0;
    let cursors: Vec<&str> = serials.iter().map(|serial| serial.split_once(':').unwrap().1).collect();
    assert!(serials.iter().all(|serial| serial.split_once(':').unwrap().0 == sequence));
    assert_eq!(cursors, ["0", "500", ""]);
    let expected: Vec<String> = (0..750).map(|n| format!("present m{n:04}")).collect();
    assert_eq!(members(&syncs), expected, "each once");
    // For clients that read no other time than a frame's.
    for sync in &syncs {
        let times = sync["presence"].as_array().unwrap().iter().filter_map(|member| member["timestamp"].as_u64());
        assert_eq!(sync["timestamp"].as_u64(), times.max());
    }
    let first = &syncs[1]["presence"][0];
    assert_eq!(*first["id"].as_str().unwrap(), *"conn1:0:0");
}

#[test]
fn a_client_asks_for_the_set_again_whatever_cursor_it_names() {
    let (mut world, _) = crowd(3);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    let first = syncs(&world.take(ann))[0]["channelSerial"].clone();
    world.send(ann, json!({"action": 16, "channel": "room", "channelSerial": "never:given"}));
    let frames = world.take(ann);
    let again = syncs(&frames);
    assert_eq!(members(&again).len(), 3);
    assert_ne!(again[0]["channelSerial"], first, "another sync has another name");
    world.send(ann, json!({"action": 16, "channel": "elsewhere"}));
    assert!(world.take(ann).is_empty());
}

#[test]
fn whoever_is_not_told_of_presence_waits_for_no_set() {
    let (mut world, _) = crowd(3);
    let ann = world.connect(0, "ann");
    world.send(ann, json!({"action": 10, "channel": "room", "params": {"modes": "subscribe"}}));
    let frames = world.take(ann);
    let attached = frames.iter().find(|frame| frame["action"] == 11).unwrap();
    assert_eq!(attached["flags"].as_u64().unwrap() & 1, 0);
    assert!(syncs(&frames).is_empty());
}

#[test]
fn a_resumed_attachment_gets_the_set_too() {
    let (mut world, bot) = crowd(3);
    let key = world.key(bot);
    let serial = world.take(bot).iter().rev().find_map(|frame| frame["channelSerial"].as_str().map(str::to_owned));
    world.lose(bot);
    let bot = world.resume(bot, "*", &key);
    world.send(bot, json!({"action": 10, "channel": "room", "channelSerial": serial}));
    let frames = world.take(bot);
    let attached = frames.iter().find(|frame| frame["action"] == 11).unwrap();
    assert_eq!(attached["flags"].as_u64().unwrap() & 5, 5, "RESUMED and HAS_PRESENCE");
    assert_eq!(members(&syncs(&frames)).len(), 3);
}

/// The set is read twice at most for however many come at once.
#[test]
fn late_joiners_share_the_pages() {
    let (mut world, _) = crowd(1_000);
    let joiners: Vec<Client> = (0..50).map(|_| world.connect(0, "ann")).collect();
    world.objects.held_answers = Some(Vec::new());
    joiners.iter().for_each(|client| world.attach(*client));
    world.objects.free_answers();
    world.pass(20 * SYNC_TURN_MS);
    for client in joiners {
        assert_eq!(members(&syncs(&world.take(client))).len(), 1_000);
    }
    assert!(world.objects.calls["members"] <= 4, "{:?}", world.objects.calls);
}

/// Found by the simulation: a page that came twice began a sync of its own, which took away whoever came since.
#[test]
fn who_attaches_again_while_it_waits_gets_each_page_once() {
    let (mut world, _) = crowd(3);
    let (first, ann) = (world.connect(0, "first"), world.connect(0, "ann"));
    world.objects.held_answers = Some(Vec::new());
    [first, ann, ann].into_iter().for_each(|client| world.attach(client));
    world.objects.free_answers();
    let frames = world.take(ann);
    let ends = syncs(&frames).iter().filter(|sync| sync["channelSerial"].as_str().unwrap().ends_with(':')).count();
    assert_eq!(ends, 1, "{frames:?}");
}

/// Found by the simulation: SDKs would enter again a member of their own that a page names, though it has left.
#[test]
fn a_page_that_is_older_than_a_leave_does_not_name_who_left() {
    let (mut world, bot) = crowd(3);
    world.objects.held_answers = Some(Vec::new());
    world.send(bot, json!({"action": 16, "channel": "room"}));
    world.act(bot, 1, 3, json!({"clientId": "m0001"}));
    world.act(bot, 2, 3, json!({"clientId": "m0002"}));
    world.act(bot, 3, 2, json!({"clientId": "m0002"}));
    world.objects.free_answers();
    let frames = world.take(bot);
    assert_eq!(members(&syncs(&frames)), ["present m0000"], "and m0002 is known by its own event");
}

#[test]
fn a_relay_that_forgets_amid_a_sync_sends_its_readers_back() {
    let (mut world, _) = crowd(3);
    let ann = world.connect(0, "ann");
    world.objects.held_answers = Some(Vec::new());
    world.attach(ann);
    world.forget_relay(0);
    let frames = world.take(ann);
    assert!(frames.iter().any(|frame| frame["action"] == 6), "DISCONNECTED: {frames:?}");
}

#[test]
fn turn_by_turn_each_reader_gets_each_page_once() {
    let (mut world, _) = crowd_in(World::slow(1), 5);
    let readers = joiners(&mut world, 4);
    world.pass(100 * SYNC_TURN_MS);
    let expected: Vec<String> = (0..5).map(|n| format!("present m{n:04}")).collect();
    for client in readers {
        let frames = world.take(client);
        let syncs = syncs(&frames);
        assert_eq!(members(&syncs), expected);
        assert_eq!(syncs.iter().filter(|sync| sync["channelSerial"].as_str().unwrap().ends_with(':')).count(), 1);
    }
}

#[test]
fn who_leaves_while_a_page_goes_out_is_not_named_to_those_who_get_it_later() {
    let (mut world, bot) = crowd_in(World::slow(1), 5);
    let readers = joiners(&mut world, 4);
    let early = until_page(&mut world, readers[1], 1);
    assert_eq!(members(&syncs(&early)), ["present m0000", "present m0001"]);
    assert!(members(&syncs(&world.take(readers[2]))).is_empty(), "it waits for the first page");
    world.act(bot, 1, 3, json!({"clientId": "m0001"}));
    world.act(bot, 2, 3, json!({"clientId": "m0000"}));
    world.act(bot, 3, 2, json!({"clientId": "m0000"}));
    world.pass(100 * SYNC_TURN_MS);
    for late in [readers[2], readers[3]] {
        let frames = world.take(late);
        assert_eq!(members(&syncs(&frames)), ["present m0002", "present m0003", "present m0004"]);
    }
}

#[test]
fn who_begins_again_amid_a_sync_gets_the_next_one_whole_and_no_more_of_this() {
    let (mut world, _) = crowd_in(World::slow(1), 5);
    let readers = joiners(&mut world, 4);
    let [_, again, back, gone] = readers[..] else { unreachable!() };
    for client in [again, back, gone] {
        until_page(&mut world, client, 1);
    }
    world.send(again, json!({"action": 16, "channel": "room"}));
    world.send(back, json!({"action": 12, "channel": "room"}));
    world.attach(back);
    world.send(gone, json!({"action": 12, "channel": "room"}));
    world.pass(100 * SYNC_TURN_MS);
    for client in [again, back] {
        let frames = world.take(client);
        let syncs = syncs(&frames);
        let sequence = syncs[0]["channelSerial"].as_str().unwrap().split_once(':').unwrap().0;
        assert!(syncs.iter().all(|sync| sync["channelSerial"].as_str().unwrap().starts_with(sequence)));
        assert_eq!(members(&syncs).len(), 5);
    }
    let frames = world.take(gone);
    assert!(syncs(&frames).is_empty(), "{frames:?}");
}

#[test]
fn a_relay_that_forgets_while_pages_go_out_sends_back_those_who_lack_some() {
    let (mut world, _) = crowd_in(World::slow(1), 3);
    let readers = joiners(&mut world, 3);
    let early = until_page(&mut world, readers[1], 2);
    assert_eq!(members(&syncs(&early)).len(), 3);
    world.forget_relay(0);
    assert!(world.take(readers[1]).is_empty(), "it has all");
    let frames = world.take(readers[2]);
    assert_eq!(frames.last().unwrap()["action"], 6, "DISCONNECTED: {frames:?}");
}
