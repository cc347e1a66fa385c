//! What each source has put into a channel lately, so that none takes all of what the channel keeps.
//!
//! A channel keeps so many messages, and knows so many ids again. While there is plenty, all may take of it; once it is
//! half used, a source that has had its quarter waits until time gives it back. What was counted is lost with the
//! memory: an object that is flooded doesn't lose it.

use super::Channel;
use super::store::{Store, StoreError};
use crate::auth::Source;
use crate::base::maps::HashMap;
use crate::base::rate::{Debt, Flow};
use crate::error::{Code, ErrorInfo};
use crate::limits::{DEDUP_MAX_IDS, DEDUP_WINDOW_MS, LOG_MAX_BYTES, LOG_MAX_MESSAGES, SOURCES_MAX};
use crate::rpc::{Publish, PublishKey, Submission};

/// Bytes that are as much as one message.
const BYTES_PER_MESSAGE: u64 = LOG_MAX_BYTES / LOG_MAX_MESSAGES;

#[derive(Debug, Default)]
pub struct Shares {
    log: Used,
    ids: Used,
}

#[derive(Debug, Default)]
struct Used(HashMap<Source, Debt>);

impl Channel {
    /// Counts what a publish takes. Gives why it can't be taken when its source has had its share.
    pub(super) fn take_share(
        &mut self,
        store: &mut impl Store,
        publish: &Publish,
        now_ms: u64,
    ) -> Result<Option<ErrorInfo>, StoreError> {
        if matches!(publish.content, Submission::Presence { .. } | Submission::ConnectionOutcome { .. }) {
            return Ok(None);
        }
        let units = units(publish);
        let kept = share(LOG_MAX_MESSAGES, super::log::kept_ms(&self.meta.rules));
        let is_scarce = self.log.is_half_full() && !publish.by.is_key;
        if is_scarce && self.shares.log.has_had(publish.by, kept, now_ms) {
            return Ok(Some(spent("has said its share of what this channel keeps")));
        }
        let known = share(DEDUP_MAX_IDS as u64, DEDUP_WINDOW_MS);
        let has_id = !matches!(publish.key, PublishKey::Serial(_));
        let is_scarce = has_id && self.window(store, now_ms)?.is_half_full();
        if is_scarce && self.shares.ids.has_had(publish.by, known, now_ms) {
            return Ok(Some(spent("has published its share of what can be remembered in two minutes")));
        }
        self.shares.log.add(publish.by, units, kept, now_ms);
        if has_id {
            self.shares.ids.add(publish.by, 1, known, now_ms);
        }
        Ok(None)
    }

    /// Counts the rest of what an operation takes: of all but an append the log keeps the whole message that it leaves.
    pub(super) fn take_whole(&mut self, publish: &Publish, stored_bytes: usize, now_ms: u64) {
        let kept = share(LOG_MAX_MESSAGES, super::log::kept_ms(&self.meta.rules));
        self.shares.log.add(publish.by, rest_of(stored_bytes, publish), kept, now_ms);
    }
}

/// What a publish itself takes of a log.
fn units(publish: &Publish) -> u64 {
    (publish.messages().len() as u64).max(publish.weight() as u64 / BYTES_PER_MESSAGE).max(1)
}

fn rest_of(stored_bytes: usize, publish: &Publish) -> u64 {
    (stored_bytes as u64 / BYTES_PER_MESSAGE).saturating_sub(units(publish))
}

/// A quarter, given back within the time for which it is kept.
fn share(of: u64, kept_ms: u64) -> Flow {
    Flow { burst: of / 4, per_second: (of / 4 * 1_000 / kept_ms).max(1) }
}

fn spent(what: &str) -> ErrorInfo {
    Code::PublishRateLimited.because(["this publisher ", what, "; try again later"].concat())
}

impl Used {
    fn has_had(&self, source: Source, flow: Flow, now_ms: u64) -> bool {
        self.0.get(&source).is_some_and(|debt| debt.left(flow, now_ms) >= flow.burst)
    }

    fn add(&mut self, source: Source, units: u64, flow: Flow, now_ms: u64) {
        if self.0.len() >= SOURCES_MAX && !self.0.contains_key(&source) {
            self.forget_small(flow, now_ms);
        }
        self.0.entry(source).or_default().add(units as usize, flow, now_ms);
    }

    /// Those that have used least: that many small ones hide none that is large.
    fn forget_small(&mut self, flow: Flow, now_ms: u64) {
        let mut used: Vec<u64> = self.0.values().map(|debt| debt.left(flow, now_ms)).collect();
        let (_, median, _) = used.select_nth_unstable(SOURCES_MAX / 2);
        let (median, mut spare) = (*median, SOURCES_MAX / 2);
        self.0.retain(|_, debt| {
            let left = debt.left(flow, now_ms);
            // Of as many as have used the same, some stay.
            let stays = left > median || left == median && spare > 0;
            spare = spare.saturating_sub(usize::from(stays));
            stays && left > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::data::Data;
    use crate::model::operation::{Operation, Patch, Reach};
    use crate::model::revision::Act;

    #[test]
    fn an_operation_counts_as_what_the_log_keeps_of_it() {
        let patch = Patch { data: Data::Text("x".into()), ..Patch::default() };
        let (serial, client_id, description, metadata) = (String::new(), None, None, None);
        let operation =
            Operation { act: Act::Update, serial, patch, client_id, description, metadata, reach: Reach::Any };
        let content = Submission::Operation(operation.into());
        let rename = Publish { key: PublishKey::Serial(0), connection_id: None, by: Source::SERVER, content };
        let all = |bytes: usize| units(&rename) + rest_of(bytes, &rename);
        assert_eq!([100, 10_000, 65_536].map(all), [1, 10_000 / BYTES_PER_MESSAGE, 65_536 / BYTES_PER_MESSAGE]);
    }

    #[test]
    fn many_that_use_little_hide_none_that_uses_much() {
        let flow = share(1_000, 10_000);
        let source = |number: u32| -> Source {
            serde_json::from_value(serde_json::json!({"number": number, "is_key": false})).unwrap()
        };
        let mut used = Used::default();
        used.add(source(0), 300, flow, 0);
        for number in 1..SOURCES_MAX as u32 * 3 {
            used.add(source(number), 1, flow, 0);
            assert!(used.0.len() <= SOURCES_MAX);
        }
        assert!(used.has_had(source(0), flow, 0));
        assert!(!used.has_had(source(1), flow, 0));
        assert!(!used.has_had(source(0), flow, 10_000), "time gives it back");
    }
}
