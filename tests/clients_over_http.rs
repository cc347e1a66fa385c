//! A relay whose clients come over HTTP and leave without a word: what is left of them is nothing.

#[allow(dead_code)]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use std::collections::{BTreeMap, VecDeque};

use courtside::limits::{HEARTBEAT_INTERVAL_MS, LINK_ABSENT_MS, LINK_PROBE_MS, LINK_STALL_MS, LINK_TAKING_MAX_MS};
use courtside::relay::{self, Relay, SocketId};
use courtside::rpc::Delivered;
use courtside::transport::{Effect, Links, Mode, ResponseId};

use support::bench::*;

const ATTACH: &str = r#"{"action":10,"channel":"room"}"#;

/// What a shell does with a relay and its links, and what their responses are up to.
struct Scene {
    relay: Relay,
    links: Links,
    open: BTreeMap<u32, ResponseId>,
    now_ms: u64,
    /// Whether clients take what is written to them.
    takes: bool,
}

impl Scene {
    fn relay_effects(&mut self, effects: Vec<relay::Effect>) {
        let mut work = VecDeque::new();
        for effect in effects {
            match effect {
                relay::Effect::Send { sockets, frame } => work.extend(self.links.send(&sockets, frame, self.now_ms)),
                relay::Effect::Close { socket } => work.extend(self.links.close(socket, self.now_ms)),
                relay::Effect::Save { .. } => panic!("no record of it would be kept"),
                relay::Effect::Call { ticket, .. } => {
                    let effects = self.relay.answered(ticket, subscribed(0), self.now_ms);
                    self.relay_effects(effects);
                }
                other => panic!("no relay here feeds another: {other:?}"),
            }
        }
        self.link_effects(work);
    }

    fn link_effects(&mut self, mut work: VecDeque<Effect>) {
        while let Some(effect) = work.pop_front() {
            match effect {
                Effect::Write { response, last, .. } if self.takes => {
                    if last {
                        self.open.remove(&response.number);
                    }
                    work.extend(self.links.written(response, true, self.now_ms));
                }
                Effect::Write { .. } => {}
                Effect::Cut { response } => drop(self.open.remove(&response.number)),
                Effect::Lost { socket } => {
                    let effects = self.relay.lost(socket, self.now_ms);
                    self.relay_effects(effects);
                }
            }
        }
    }

    fn read(&mut self, socket: u32) {
        let (response, effects) = self.links.read(SocketId(socket), self.now_ms);
        self.open.extend(response.map(|response| (response.number, response)));
        self.link_effects(effects.into());
    }

    fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while let Some(due_ms) = self.links.deadline().into_iter().chain(self.relay.deadline()).min()
            && due_ms <= until_ms
        {
            self.now_ms = self.now_ms.max(due_ms);
            let effects = self.relay.tick(self.now_ms);
            self.relay_effects(effects);
            let effects = self.links.tick(self.now_ms);
            self.link_effects(effects.into());
        }
        self.now_ms = until_ms;
    }
}

#[test]
fn ten_thousand_silent_departures_leave_nothing() {
    let links = Links::default();
    let mut scene = Scene { relay: relay(), links, open: BTreeMap::new(), now_ms: NOW_MS, takes: true };
    for socket in 1..=10_000 {
        let mode = if socket % 2 == 0 { Mode::Poll } else { Mode::Stream };
        let effects = connect_unkept(&mut scene.relay, socket);
        scene.links.open(SocketId(socket), mode, scene.relay.key(SocketId(socket)).expect("it is connected"), NOW_MS);
        scene.relay_effects(effects);
        // Some never come for the answer, some come once, and some for more.
        (0..socket % 3).for_each(|_| scene.read(socket));
        if socket % 5 == 0 {
            let effects = send(&mut scene.relay, socket, ATTACH);
            scene.relay_effects(effects);
        }
    }
    assert_eq!(scene.relay.connection_count(), scene.links.count());
    assert!(scene.relay.connection_count() > 6_000);
    // They are gone, and nobody says so.
    scene.takes = false;
    let (answer, effects) = scene.relay.deliver(&delivery(0, &[10, 20]), NOW_MS);
    assert!(matches!(answer, Delivered::At(_)));
    scene.relay_effects(effects);
    scene.pass(LINK_PROBE_MS.max(HEARTBEAT_INTERVAL_MS) + LINK_TAKING_MAX_MS + LINK_ABSENT_MS.max(LINK_STALL_MS));
    assert_eq!((scene.relay.connection_count(), scene.links.count()), (0, 0));
    assert_eq!((scene.open.len(), scene.links.waiting_bytes()), (0, 0));
    assert!(matches!(scene.relay.deliver(&delivery(20, &[30]), scene.now_ms).0, Delivered::Unsubscribed));
}
