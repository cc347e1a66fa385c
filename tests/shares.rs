//! What a channel has for all is shared: who takes much of it stands in nobody else's way.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::auth::{Grant, Identity, Source};
use courtside::channel::{Channel, Effect};
use courtside::error::Code;
use courtside::limits::{DEDUP_MAX_IDS, LOG_MAX_MESSAGES, WAITING_READERS_MAX};
use courtside::model::message::Message;
use courtside::rpc::Ticket;
use courtside::rpc::{HistoryQuery, Outcome, Publish, PublishKey, Submission};

use support::bench::*;
use support::grant::grant;
use support::memory_store::MemoryStore;

const NONE: [u32; 0] = [];

fn token_of(client_id: &str) -> Source {
    Grant { basic: false, client_id: Identity::Named(client_id.into()), ..grant() }.source()
}

fn key() -> Source {
    Grant { basic: true, ..grant() }.source()
}

/// One commit of these publishes. Gives the codes of those that are refused.
fn commit(channel: &mut Channel, store: &mut MemoryStore, publishes: Vec<Publish>) -> Vec<u32> {
    channel.publish(Ticket(0), publishes).expect("there is room");
    let effects = channel.commit(store, NOW_MS).into_iter();
    let answers = effects.filter_map(|effect| match effect {
        Effect::Reply(_, answer) => Some(published(answer).outcomes),
        _ => None,
    });
    let refusals = answers.flatten().filter_map(|outcome| match outcome {
        Outcome::Refused(error) => Some(error.code),
        Outcome::Accepted { .. } | Outcome::Operated { .. } => None,
    });
    refusals.collect()
}

/// So many messages that say nothing, in one publish.
fn empty(by: Source, id: u64, count: usize) -> Publish {
    let content = Submission::Messages(vec![Message::default(); count]);
    Publish { key: PublishKey::Request(format!("{id}")), connection_id: None, by, content }
}

#[test]
fn one_client_does_not_push_out_what_others_said() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let (flood, guest) = (token_of("flood"), token_of("guest"));
    assert_eq!(commit(&mut channel, &mut store, vec![empty(guest, 0, 1)]), NONE);
    let batches = LOG_MAX_MESSAGES / 1_000;
    let refused: usize =
        (1..=batches).map(|id| commit(&mut channel, &mut store, vec![empty(flood, id, 1_000)]).len()).sum();
    assert!((batches as usize / 2 - 1..batches as usize * 3 / 4).contains(&refused), "{refused} of {batches}");
    assert_eq!(commit(&mut channel, &mut store, vec![empty(guest, batches + 1, 1)]), NONE, "another has its share");
    assert_eq!(commit(&mut channel, &mut store, vec![empty(key(), batches + 2, 1)]), NONE, "and the app has all");
    let again = commit(&mut channel, &mut store, vec![empty(flood, batches + 3, 1)]);
    assert_eq!(again, [Code::PublishRateLimited.number()]);
    channel.tick(&mut store, NOW_MS + 1);
    let query = HistoryQuery { forwards: true, limit: 1, ..HistoryQuery::default() };
    let page = channel.history(&mut store, &query, NOW_MS + 1).expect("a page");
    let first = page.entries.entries().expect("it is whole").remove(0);
    assert!(first.id.starts_with('0'), "what the guest said is there: {first:?}");
}

#[test]
fn one_client_leaves_room_for_the_ids_of_others() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let mut next = 0;
    let mut many = |channel: &mut Channel, store: &mut MemoryStore, by, count: usize| {
        let ids = next..next + count as u64;
        next = ids.end;
        commit(channel, store, ids.map(|id| empty(by, id, 0)).collect()).len()
    };
    for _ in 0..4 {
        assert_eq!(many(&mut channel, &mut store, key(), DEDUP_MAX_IDS / 8), 0, "while there is plenty, all may take");
    }
    assert_eq!(many(&mut channel, &mut store, key(), 10), 10);
    assert_eq!(many(&mut channel, &mut store, token_of("guest"), DEDUP_MAX_IDS / 8), 0);
}

#[test]
fn whoever_waits_too_much_gives_way_to_others() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let mut wait = |ticket: usize, client_id: &str| {
        let by = Some(token_of(client_id));
        let query = HistoryQuery { forwards: true, limit: 10, wait_ms: Some(5_000), by, ..HistoryQuery::default() };
        let refused = channel.await_history(&mut store, Ticket(ticket as u64), query, NOW_MS);
        let ended = channel.follow_up(&mut store, NOW_MS).into_iter().filter_map(|effect| match effect {
            Effect::Page(Ticket(ticket), Ok(page)) if page.slices.is_empty() => Some(ticket),
            _ => None,
        });
        (refused.map(|answer| answer.unwrap_err().code), ended.collect::<Vec<_>>())
    };
    for ticket in 0..WAITING_READERS_MAX {
        assert_eq!(wait(ticket, "flood"), (None, vec![]));
    }
    let full = WAITING_READERS_MAX;
    assert_eq!(wait(full, "flood"), (Some(Code::PublishRateLimited.number()), vec![]), "it takes its own place only");
    assert_eq!(wait(full + 1, "guest"), (None, vec![0]), "the longest wait of who has most ends, with nothing");
    assert_eq!(wait(full + 2, "guest"), (None, vec![1]));
}
