//! A sync of large objects to many who come at once goes out a little at a time, so that what is live stands behind
//! little.

use std::collections::BTreeMap;

use courtside::limits::{MESSAGE_MAX_BYTES, OBJECTS_PAGE_BYTES, SYNC_TURN_BYTES, SYNC_TURN_MS};
use courtside::protocol::Encoded;
use serde_json::{Value, json};

use crate::support::host::LinkId;
use crate::support::objects::Heard;
use crate::world::{Client, World};

const VALUES: usize = 100;
const JOINERS: usize = 100;

/// What was sent in a turn, by whom: bytes of pages, pages, and messages.
#[derive(Default)]
struct Turn {
    bytes: usize,
    pages: BTreeMap<LinkId, usize>,
    ended: usize,
    messages: usize,
}

impl Turn {
    /// By the beginnings of frames alone: all together are 600 MB.
    fn take(world: &mut World) -> Turn {
        let mut turn = Turn::default();
        for (link, heard) in std::mem::take(&mut world.objects.heard) {
            let Heard::Frame(frame) = heard else { panic!("nobody is sent away") };
            let Encoded::Text(text) = &*frame else { unreachable!("all speak JSON") };
            if text.starts_with(r#"{"action":15"#) {
                turn.messages += 1;
            } else if text.starts_with(r#"{"action":20"#) {
                turn.bytes += text.len();
                *turn.pages.entry(link).or_default() += usize::from(text.len() > 1_000);
                turn.ended += usize::from(text.get(..100).unwrap_or(text).contains(r#":","state""#));
            }
        }
        turn
    }
}

/// A channel with more than 6 MB of values.
fn filled() -> (World, Client) {
    let mut world = World::new(1);
    let writer = world.connect(0, "ann");
    for serial in 0..VALUES {
        let set = json!({"key": format!("k{serial}"), "value": {"string": "x".repeat(MESSAGE_MAX_BYTES - 1_000)}});
        operate(&mut world, writer, serial, json!({"action": 1, "objectId": "root", "mapSet": set}));
        world.pass(10);
    }
    let frames = world.take(writer);
    assert!(!frames.iter().any(|frame| frame["action"] == 2), "all is done");
    (world, writer)
}

fn operate(world: &mut World, client: Client, serial: usize, operation: Value) {
    let state = json!([{"operation": operation}]);
    world.send(client, json!({"action": 19, "channel": "room", "msgSerial": serial, "state": state}));
}

#[test]
fn a_sync_to_many_at_once_leaves_room_for_what_is_live() {
    let (mut world, writer) = filled();
    let joiners: Vec<Client> = (0..JOINERS).map(|_| world.connect(0, "bob")).collect();
    world.objects.held_answers = Some(Vec::new());
    for client in &joiners {
        world
            .send(*client, json!({"action": 10, "channel": "room", "params": {"modes": "subscribe,object_subscribe"}}));
    }
    world.objects.free_answers();
    let before = world.objects.calls["objects"];
    let (mut turns, mut pages, mut ended) = (0, 0, 0);
    while ended < JOINERS {
        let turn = Turn::take(&mut world);
        let bound = SYNC_TURN_BYTES + OBJECTS_PAGE_BYTES + MESSAGE_MAX_BYTES;
        assert!(turn.bytes <= bound, "{} bytes in a turn", turn.bytes);
        assert!(turn.pages.values().all(|pages| *pages <= 1), "a reader gets a page in a turn: {:?}", turn.pages);
        (turns, pages, ended) = (turns + 1, pages + turn.pages.values().sum::<usize>(), ended + turn.ended);
        assert!(turns < 20_000, "{ended} have all");
        if turns % 100 == 50 {
            let message = json!([{"data": "live"}]);
            let serial = VALUES + turns / 100;
            world.send(writer, json!({"action": 15, "channel": "room", "msgSerial": serial, "messages": message}));
            let live = Turn::take(&mut world);
            assert_eq!((live.messages, live.bytes), (JOINERS, 0), "each has what is live before any more of the sync");
        }
        world.pass(SYNC_TURN_MS);
    }
    assert!(
        pages >= JOINERS * VALUES && turns > 300,
        "{pages} pages in {turns} turns, a live message among each hundred"
    );
    let reads = world.objects.calls["objects"] - before;
    assert!(reads <= 2 * (VALUES + 2), "each page is read once or twice for all, not {reads} times");
}
