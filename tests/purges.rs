//! A purge of a channel: nobody gets what is purged, though it takes a while until all rows are gone.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::auth::Source;
use courtside::channel::Channel;
use courtside::limits::PURGED_AT_ONCE_ROWS;
use courtside::model::data::Data;
use courtside::model::message::Message;
use courtside::rpc::{HistoryQuery, Publish, PublishKey, Rules, Submission};

use support::bench::*;
use support::memory_store::MemoryStore;

/// A publish that pushes what it says.
fn pushing(id: &str) -> Publish {
    let push = serde_json::json!({"push": {"notification": {"title": id}}});
    let message = Message {
        data: Data::Text(id.to_owned()),
        extras: Some(serde_json::from_value(push).unwrap()),
        ..Message::default()
    };
    let content = Submission::Messages(vec![message]);
    Publish { key: PublishKey::Id(id.to_owned()), connection_id: None, by: Source::SERVER, content }
}

fn is_empty(channel: &mut Channel, store: &mut MemoryStore, query: HistoryQuery) -> bool {
    let query = HistoryQuery { limit: 1_000, ..query };
    let page = channel.history(store, &query, NOW_MS).expect("a page");
    page.entries.is_empty() && page.next.is_none()
}

#[test]
fn what_is_left_between_two_parts_of_a_purge_is_read_by_nobody() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    channel.set_rules(&mut store, &Rules { push: true, ..rules() }).unwrap();
    let count = PURGED_AT_ONCE_ROWS + 2;
    for number in 0..count {
        publish(&mut channel, &mut store, vec![pushing(&format!("x{number}"))]);
    }
    assert_eq!(store.pushes.len(), count);
    let left = channel.purge(&mut store, None, NOW_MS).unwrap();
    assert!(left.is_some() && store.rows.len() == 2, "{left:?} {}", store.rows.len());
    assert!(is_empty(&mut channel, &mut store, HistoryQuery::default()));
    assert!(is_empty(&mut channel, &mut store, HistoryQuery { forwards: true, ..HistoryQuery::default() }));
    assert_eq!(channel.take_pushes(&mut store, NOW_MS), None, "no device gets it any more");
    // Sent again, it is another, which a later part leaves.
    let (places, _) = publish(&mut channel, &mut store, vec![pushing(&format!("x{}", count - 1))]);
    assert!(places[0] > left.unwrap(), "{places:?} {left:?}");
    assert_eq!(channel.purge(&mut store, left, NOW_MS).unwrap(), None);
    assert_eq!((store.rows.len(), store.pushes.len()), (1, 1));
    assert!(!is_empty(&mut channel, &mut store, HistoryQuery::default()));
}
