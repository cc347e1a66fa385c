//! What is different for a listener who comes by another protocol: it may be told no serials, it may publish and not
//! hear itself, and not all protocols tell what becomes of a message.

use courtside::model::revision::{Shape, Target};
use courtside::model::serial::Position;

use super::super::ledger::{Ledger, Place};
use super::super::revisions::Revision;
use super::super::views::Views;
use super::{Course, WHOLE};

/// What of the changes of messages is told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Changes {
    #[default]
    All,
    /// What a message says now, but not that it is deleted.
    Versions,
    Nothing,
}

#[derive(Clone, Debug, Default)]
pub struct Manner {
    pub changes: Changes,
    /// It is fed by a relay as clients are, and reads no pages.
    pub is_fed: bool,
    /// By which connection it publishes, where it is not told what it says itself.
    pub silent: Option<String>,
    /// Behind this it began, at the earliest; and at the latest behind that, since when it was told so.
    pub begun: Option<Place>,
    /// Where its relay stood then, and so it, too, where deliveries fail: what lies between may come, and may be gone.
    stood: Option<Position>,
    told: Option<Place>,
    /// The places of a text that stands in the log more than once: the text does not say which of them came.
    perhaps: Vec<Place>,
}

impl Course {
    pub(super) fn is_own(&self, position: Position, ledger: &Ledger) -> bool {
        let connection_id = ledger.book(self.channel).at(position).and_then(|logged| logged.connection_id.as_ref());
        self.manner.silent.is_some() && self.manner.silent.as_ref() == connection_id
    }

    /// Whether it need not begin with a message that lies behind where it begins.
    pub(super) fn need_not_begin(&self, place: Place, ledger: &Ledger) -> bool {
        self.manner.is_fed && self.need_not_come(place, ledger)
    }

    pub(super) fn need_not_come(&self, place: Place, ledger: &Ledger) -> bool {
        ledger.may_be_left_out(self.channel, place) || self.is_own(place.0, ledger) || self.may_have(place)
    }

    pub(super) fn may_have(&self, place: Place) -> bool {
        self.manner.perhaps.contains(&place)
    }

    pub(super) fn is_told(&self, revision: &Revision) -> bool {
        match self.manner.changes {
            Changes::All => true,
            Changes::Versions => revision.shape != Shape::Deleted,
            Changes::Nothing => false,
        }
    }

    /// It asks to be fed: that is behind all that is durable now, and goes on where its relay stands.
    pub fn asks(&mut self, stood: Option<Position>, ledger: &Ledger) {
        (self.manner.begun, self.manner.told) = (Some(ledger.durable_end(self.channel)), None);
        self.manner.stood = stood;
    }

    /// Behind this the log must have let go of something, if it loses continuity with all that it has.
    pub fn fed_behind(&self, has: Option<Place>) -> Position {
        let begun = || self.manner.begun.map(|begun| self.manner.stood.map_or(begun.0, |stood| stood.min(begun.0)));
        has.map(|has| has.0).or_else(begun).expect("a gap behind something")
    }

    /// It was told that it is fed from now on: behind what is durable now, nothing may be missing.
    pub fn begins(&mut self, ledger: &Ledger) {
        (self.place, self.serial, self.views) = (None, None, Views::default());
        self.floor = Some(ledger.durable_end(self.channel));
        (self.manner.told, self.manner.perhaps) = (self.floor, Vec::new());
    }

    /// It is not fed any more, and knows no place to go on from.
    pub fn stops(&mut self) {
        (self.place, self.floor, self.serial) = (None, None, None);
    }

    /// It goes on behind what it acknowledged, or where it began: nothing behind that may be missing, and what it had
    /// already may come again.
    pub fn goes_on(&mut self, acknowledged: Option<Place>) {
        (self.place, self.floor) = (None, acknowledged.or(self.manner.told));
    }

    /// What follows is lost: the log must have let go of it.
    pub fn misses(&mut self, has: Option<Place>, ledger: &Ledger) {
        let from = self.fed_behind(has);
        assert!(ledger.may_be_gone(self.channel, from), "{} loses continuity at {from:?}, and need not", self.name);
        self.gaps += 1;
    }

    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// Behind this nothing may be missing.
    pub fn reached(&self) -> Option<Place> {
        self.place.or(self.floor)
    }

    /// A message whose place is told by an offset.
    pub fn hears_at(&mut self, offset: &str, data: &str, ledger: &mut Ledger) {
        let position = ledger.parse(self.channel, offset);
        assert!(!self.is_own(position, ledger), "{} hears itself: {data}", self.name);
        self.hears_plain(offset, position, data, ledger);
        self.stands_at(offset, ledger);
    }

    /// A message by its text alone, which tells its place, unless it was published again. Then it is the first that can
    /// be next; and it may be a later one, if all before that need not come.
    pub fn hears_text(&mut self, text: &str, ledger: &mut Ledger) {
        let candidates = ledger.places_of(self.channel, text);
        assert!(!candidates.is_empty(), "{} hears what nobody said: {text}", self.name);
        if self.place.is_none() && candidates.len() > 1 {
            // Which of them it is cannot be known: it has begun, and behind the last of them nothing may be missing.
            self.floor = self.floor.max(candidates.iter().map(|found| self.told_at(*found)).max());
            return;
        }
        let behind = candidates.iter().copied().filter(|found| self.is_ahead(*found));
        let mut next = behind.clone().filter(|found| self.can_be_next(*found, ledger));
        let found = next.next().or(behind.clone().next()).unwrap_or(candidates[0]);
        let perhaps: Vec<Place> = next.map(|found| self.told_at(found)).collect();
        self.manner.perhaps.extend(perhaps);
        let (target, version) = found;
        let is_before = |at: Option<Place>| at.is_some_and(|at| at >= place_of(target));
        if version > target.position && self.place.is_none() && !self.is_older(target) && is_before(self.floor) {
            // An operation, or a message as it is now: what comes next of that message is an operation.
            self.manner.begun = self.manner.begun.max(Some(place_of(target)));
            self.manner.perhaps.push((version, 0));
            return;
        }
        assert!(!self.is_own(version, ledger), "{} hears itself: {text}", self.name);
        match version > target.position && self.is_older(target) {
            true => self.hears_operation(version, 1, text, ledger),
            false => self.hears(place_of(target), version, None, text, ledger),
        }
    }

    /// Whether it has got to a message before, or began behind it.
    fn is_older(&self, target: Target) -> bool {
        self.place.or(self.manner.begun).is_some_and(|at| at >= place_of(target))
    }

    /// Where it is told something: a message at its place, an operation on one that it got to before at its own.
    fn told_at(&self, (target, version): (Target, Position)) -> Place {
        match version > target.position && self.is_older(target) {
            true => (version, 0),
            false => place_of(target),
        }
    }

    fn is_ahead(&self, found: (Target, Position)) -> bool {
        self.place.is_none_or(|at| self.told_at(found) > at)
    }

    /// Whether it may be told this next, for nothing lies before it that must come.
    fn can_be_next(&self, found: (Target, Position), ledger: &Ledger) -> bool {
        let place = self.told_at(found);
        self.missed(place, false, ledger).is_none() && self.owed_before(place, ledger).is_none()
    }

    /// Whether something is behind what it has that it must be told.
    pub fn lacks(&self, ledger: &Ledger) -> bool {
        let Some(mut at) = self.place.or(self.floor) else { return false };
        let from = at;
        while let Some(next) = ledger.next_unreplaced(self.channel, at) {
            if !self.need_not_come(next, ledger) {
                return true;
            }
            at = next;
        }
        self.owed(from.0, ledger).is_some()
    }
}

fn place_of(target: Target) -> Place {
    debug_assert!(target.place <= WHOLE);
    (target.position, target.place)
}
