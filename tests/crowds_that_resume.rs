//! Those who lose their connections together come back from the same place, and are told the same: it is written once.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod allocations;
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use std::collections::BTreeSet;

use courtside::model::serial::Position;
use courtside::rpc::{Backlog, Request, Response};
use serde_json::json;

use support::allocations::ALLOCATIONS;
use support::bench::*;

#[test]
fn a_crowd_that_resumes_is_written_its_backlog_once() {
    let places: Vec<u64> = (11..=110).collect();
    let cost = |crowd: u32| {
        let mut relay = relay();
        let attach = json!({"action": 10, "channel": "room", "channelSerial": Position(10).serial(EPOCH)}).to_string();
        let mut asked = Vec::new();
        for socket in 0..crowd {
            connect(&mut relay, socket);
            asked.extend(send(&mut relay, socket, &attach));
        }
        let (read, request) = call(&relay.answered(call(&asked).0, subscribed(110), NOW_MS));
        assert!(matches!(request, Request::Read(_)));
        let (epoch, after, through) = (EPOCH.to_owned(), Position(10), Position(110));
        let backlog = Backlog { epoch, lost: None, after, entries: entries(&places), through, more: false, members: 0 };
        let before = ALLOCATIONS.get();
        let effects = relay.answered(read, Some(Ok(Response::Backlog(backlog))), NOW_MS);
        let cost = ALLOCATIONS.get() - before;
        let told: BTreeSet<String> = (0..crowd).map(|socket| frames(&effects, socket).pop().unwrap()).collect();
        assert_eq!(told.len(), 1, "all get the same");
        assert!(told.iter().all(|frame| places.iter().all(|place| frame.contains(&format!("at {place}\"")))));
        cost
    };
    let (one, more) = (cost(1), cost(11));
    assert!(more - one < 10 * one / 4, "{more} for eleven, {one} for one");
}
