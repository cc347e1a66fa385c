//! What a reader was shown of messages that change, and of what is said of them, as who uses an SDK keeps it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use courtside::model::message::Extras;
use courtside::model::revision::Target;
use courtside::model::serial::Position;

use super::changes::Tally;
use super::ledger::{Ledger, Logged};
use super::revisions::Change;

#[derive(Debug, Default)]
pub struct Views {
    /// Where it began.
    since: Position,
    messages: BTreeMap<Target, Shown>,
    /// What each message's annotations come to, as it was told last.
    summaries: BTreeMap<Target, Extras>,
    /// Connections that it had before, whose own doings it did not hear, up to where another one went on.
    own: Vec<(String, Position)>,
}

#[derive(Debug)]
struct Shown {
    version: Position,
    text: String,
}

impl Views {
    pub fn since(since: Position) -> Views {
        Views { since, ..Views::default() }
    }

    pub fn show(&mut self, target: Target, version: Position, text: &str) {
        self.messages.insert(target, Shown { version, text: text.to_owned() });
    }

    /// Whether it knows a message as it was at a version, or later.
    pub fn has(&self, target: Target, version: Position) -> bool {
        self.messages.get(&target).is_some_and(|shown| shown.version >= version)
    }

    /// What it has of a message with something behind it.
    pub fn appended(&self, target: Target, text: &str) -> Option<String> {
        Some(self.messages.get(&target)?.text.clone() + text)
    }

    /// It goes on behind a place by another connection, and did not hear what this one did itself.
    pub fn goes_on_without(&mut self, connection_id: &str, after: Position) {
        self.own.push((connection_id.to_owned(), after));
    }

    fn is_own(&self, logged: &Logged) -> bool {
        let is_by = |id: &String| logged.connection_id.as_ref() == Some(id);
        self.own.iter().any(|(id, through)| is_by(id) && logged.position <= *through)
    }

    pub fn sum_up(&mut self, target: Target, summary: Extras) {
        self.summaries.insert(target, summary);
    }

    /// In the end it has of each message what the log says. Where it was shown one as it was then, what it would not
    /// hear itself is in that.
    pub fn check(&self, who: &dyn Debug, channel: usize, heard: impl Fn(&Logged) -> bool, ledger: &Ledger) {
        for (target, shown) in &self.messages {
            let counts = |logged: &Logged| (heard(logged) && !self.is_own(logged)) || logged.position <= shown.version;
            let Some(wanted) = ledger.last_text(channel, *target, counts) else { continue };
            assert_eq!(shown.text, wanted, "{target:?} as {who:?} sees it, since {:?}", self.since);
        }
    }

    /// ... and what was said of it comes to. A deleted message has no more summaries.
    pub fn check_summaries(&self, channel: usize, tallies: &BTreeMap<Target, &Tally>, ledger: &Ledger) -> usize {
        let told = |logged: &Logged| match &logged.change {
            Some(Change::Summary(target)) => Some(*target),
            _ => None,
        };
        let behind: Vec<Target> = ledger.book(channel).behind(self.since).iter().filter_map(told).collect();
        let kept = behind.iter().filter(|target| !ledger.is_deleted(channel, **target));
        let mut checked = 0;
        for target in kept {
            let summary = self.summaries.get(target);
            let summary = summary.unwrap_or_else(|| panic!("nothing is told of what was said of {target:?}"));
            let tally = tallies[target];
            assert_eq!(tally.of_summary(summary), tally.counts(), "of {target:?}: {summary:?}");
            checked += 1;
        }
        checked
    }
}
