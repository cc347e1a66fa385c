//! How fast a channel is published to, where its namespace has a bound: by all together, and by one source over REST.
//!
//! A publish that one bound refuses is charged to none. The counts go with the memory, which an object that is flooded
//! keeps.

use super::Channel;
use crate::auth::Source;
use crate::base::maps::HashMap;
use crate::base::rate::{Debt, Flow};
use crate::error::{Code, ErrorInfo};
use crate::limits::SOURCES_MAX;
use crate::rpc::{Publish, Submission};
use crate::stats::Traffic;

#[derive(Debug, Default)]
pub struct Rates {
    all: Debt,
    by_rest: HashMap<Source, Debt>,
}

impl Channel {
    /// Why a publish comes too soon, if it does. Fails with 42911.
    pub(super) fn admit_rate(&self, publish: &Publish, now_ms: u64) -> Result<(), ErrorInfo> {
        if let Some(flow) = flow(self.meta.rules.messages_per_second).filter(|_| is_counted(publish)) {
            admit(self.rates.all, flow, "this channel takes", now_ms)?;
        }
        if let Some(flow) = self.rest_flow(publish)
            && let Some(debt) = self.rates.by_rest.get(&publish.by)
        {
            admit(*debt, flow, "one key or client publishes here over REST", now_ms)?;
        }
        Ok(())
    }

    /// It was taken.
    pub(super) fn count_rate(&mut self, publish: &Publish, now_ms: u64) {
        if !is_counted(publish) {
            return;
        }
        let messages = publish.count().max(1);
        self.lately.add(messages, now_ms);
        if let Some(flow) = flow(self.meta.rules.messages_per_second) {
            self.rates.all.add(messages, flow, now_ms);
        }
        if let Some(flow) = self.rest_flow(publish) {
            self.rates.count_rest(publish.by, messages, flow, now_ms);
        }
    }

    fn rest_flow(&self, publish: &Publish) -> Option<Flow> {
        let is_rest = publish.way() == Traffic::RestIn && is_counted(publish);
        flow(self.meta.rules.rest_messages_per_second).filter(|_| is_rest)
    }
}

impl Rates {
    /// Beyond so many sources, those that owe nothing are forgotten; if all do, they are slower than any may be, and
    /// another is not counted.
    fn count_rest(&mut self, source: Source, messages: usize, flow: Flow, now_ms: u64) {
        if self.by_rest.len() >= SOURCES_MAX && !self.by_rest.contains_key(&source) {
            self.by_rest.retain(|_, debt| debt.left(flow, now_ms) > 0);
            if self.by_rest.len() >= SOURCES_MAX {
                return;
            }
        }
        self.by_rest.entry(source).or_default().add(messages, flow, now_ms);
    }
}

/// What goes in and out of presence is bounded where it comes in.
fn is_counted(publish: &Publish) -> bool {
    !matches!(publish.content, Submission::Presence { .. } | Submission::ConnectionOutcome { .. })
}

fn flow(per_second: u32) -> Option<Flow> {
    (per_second > 0).then(|| Flow { burst: per_second.into(), per_second: per_second.into() })
}

fn admit(debt: Debt, flow: Flow, who: &str, now_ms: u64) -> Result<(), ErrorInfo> {
    match debt.wait_ms(flow, now_ms) {
        0 => Ok(()),
        wait_ms => {
            let rate = flow.per_second;
            let text = format!("{who} at most {rate} messages a second; try again in {wait_ms} ms");
            Err(Code::PublishRateLimited.because(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_sources_are_counted() {
        let source = |number: u32| -> Source {
            serde_json::from_value(serde_json::json!({"number": number, "is_key": false})).unwrap()
        };
        let flow = flow(2).unwrap();
        let mut rates = Rates::default();
        for number in 0..SOURCES_MAX as u32 + 10 {
            rates.count_rest(source(number), 1, flow, 0);
        }
        assert_eq!(rates.by_rest.len(), SOURCES_MAX);
        rates.count_rest(source(0), 5, flow, 0);
        let refusal = admit(rates.by_rest[&source(0)], flow, "one publishes", 0).unwrap_err();
        assert_eq!(refusal.message, "one publishes at most 2 messages a second; try again in 2500 ms");
        rates.count_rest(source(u32::MAX), 1, flow, 10_000);
        assert_eq!(rates.by_rest.len(), 1, "who owes nothing is forgotten");
    }
}
