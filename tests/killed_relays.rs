//! A relay that was killed while it had sessions of MQTT clients: it wakes, and its storage fails when it comes back.
#![cfg(feature = "mqtt")]

#[allow(dead_code, reason = "other tests need more of it")]
mod support {
    pub mod bench;
    pub mod disk;
    pub mod grant;
    pub mod host;
    pub mod memory_store;
    pub mod mqtt;
    pub mod random;
}

use courtside::error::{Code, ErrorInfo};
use courtside::model::Format;
use courtside::object::Input::{Alarm, AppAnswered};
use courtside::object::Question;
use courtside::protocol::Encoded;
use courtside::rpc::RelayName;
use support::bench::{NOW_MS, app};
use support::disk::Disk;
use support::grant::grant;
use support::host::{Host, Input, LinkId, Output};
use support::mqtt::opening;
use support::random::Random;

/// Does what happens, and what follows where the app cannot be reached. Gives the packets that clients get.
fn turn(host: &mut Host, input: Input) -> Vec<Vec<u8>> {
    if host.turn(input, NOW_MS).wrote {
        host.disk_mut().sync();
        host.synced();
    }
    let mut packets = Vec::new();
    for (_, output) in host.release() {
        match output {
            Output::Frame { frame, .. } => match &*frame {
                Encoded::Binary(packet) => packets.push(packet.clone()),
                frame => panic!("a client of MQTT gets {frame:?}"),
            },
            Output::Ask(Question::App { ticket, .. }) => {
                let answer = Err(ErrorInfo::from(Code::TimedOut));
                packets.extend(turn(host, Input::Object(AppAnswered { ticket, answer })));
            }
            _ => {}
        }
    }
    packets
}

/// Gives whether its client is told that the session is there.
fn comes(host: &mut Host, link: u64) -> bool {
    let (opening, fresh_id) = (opening(grant(), "ann", false, NOW_MS), format!("conn{link}"));
    let packets = turn(host, Input::Open { link: LinkId(link), mode: None, opening, fresh_id });
    packets.first().expect("a CONNACK")[2] == 1
}

/// The platform has not said yet what alarm is set, and nobody else would wake the relay.
#[test]
fn a_relay_that_is_killed_as_it_lets_in_a_client_with_a_will_wakes_for_it() {
    let killed = |has_will| {
        let mut host = Host::new(RelayName::shard(app().id(), 0), app(), None, Disk::new(Random::new(1)));
        host.holds_alarm = true;
        let opening = opening(grant(), "ann", has_will, NOW_MS);
        turn(&mut host, Input::Open { link: LinkId(1), mode: None, opening, fresh_id: "conn".into() });
        host.crash();
        host.disk().alarm_ms()
    };
    assert_eq!((killed(true), killed(false)), (Some(NOW_MS), None));
}

#[test]
fn a_relay_that_cannot_read_its_sessions_as_it_wakes_looks_again() {
    let mut host = Host::new(RelayName::shard(app().id(), 0), app(), None, Disk::new(Random::new(1)));
    let opening = opening(grant(), "ann", true, NOW_MS);
    turn(&mut host, Input::Open { link: LinkId(1), mode: None, opening, fresh_id: "conn".into() });
    host.crash();
    host.disk_mut().failures = 1_000;
    turn(&mut host, Input::Object(Alarm));
    assert!(host.disk().alarm_ms().is_some_and(|at_ms| at_ms > NOW_MS), "for the will of one who is gone");
}

/// Rows that could not be read are not taken for absent.
#[test]
fn a_session_outlives_storage_that_fails_while_its_relay_is_built_again() {
    for seed in 0..100 {
        let mut host = Host::new(RelayName::shard(app().id(), 0), app(), None, Disk::new(Random::new(seed)));
        assert!(!comes(&mut host, 1));
        turn(&mut host, Input::Frame { link: LinkId(1), bytes: b"\xc0\0".to_vec(), format: Format::Msgpack });
        host.crash();
        host.disk_mut().failures = 500;
        turn(&mut host, Input::Object(Alarm));
        host.disk_mut().failures = 0;
        assert!(comes(&mut host, 2), "seed {seed}");
    }
}
