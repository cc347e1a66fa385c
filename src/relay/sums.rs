//! Increments of one counter that come in one delivery go out as their sum (protocol.md § 19): of a crowd that taps at
//! once each member would otherwise get what each of them did. It is done behind the relay's own place in the order,
//! and for each reader so that its counter ends where the log's is:
//!
//! - Only steps are summed, whose sum is exact in any order; see `CounterStep`.
//! - A sum stands in the place and has the serial of its last increment, and between the first and the last nothing
//!   else is done to the counter. So a reader takes or drops all of it, by the serial of what it has.
//! - Who did some of them gets those as they are, for it may have applied them on their acknowledgement, and knows them
//!   by their serials; and the sum of the others.
//! - Who may have some of them already gets each as it is: one that went live amid the delivery, or is being given the
//!   objects. No sync ends before the relay has got as far as what it told (`sync.rs`). Whoever comes back is given the
//!   objects, and so nothing hangs on where in a delivery it left.

use std::collections::BTreeMap;

use super::attachment::State;
use super::session::Session;
use super::sync::Of;
use crate::limits::{
    DELIVERY_MAX_BYTES, INCREMENTS_SUMMED_FROM, MESSAGE_OVERHEAD_BYTES, OBJECT_STEP_MAX, OBJECT_WHOLE_MAX,
    SUMS_OWN_MAX_BYTES,
};
use crate::model::flags::Modes;
use crate::model::message::{Content, Entry};
use crate::model::name::ChannelName;
use crate::model::objects::operation::{Action, ObjectMessage, Operation};
use crate::model::serial::Position;

/// A delivery, with increments summed.
pub struct Sums<'a> {
    singly: &'a [Entry],
    /// What readers get who did none of what is summed.
    pub entries: Vec<Entry>,
    runs: Vec<Run>,
    /// The increments in runs that came by each connection, as (run, place).
    own: BTreeMap<&'a str, Vec<(usize, usize)>>,
    /// Whether each of these may get a list of its own.
    is_own_listed: bool,
}

/// Increments that are one sum.
struct Run {
    /// Where they are in the delivery.
    places: Vec<usize>,
    sum: f64,
}

/// What a reader gets of a delivery.
#[derive(Default)]
pub enum List {
    /// The same as most.
    #[default]
    Usual,
    /// Each increment as it is.
    Singly,
    Own(Vec<Entry>),
}

impl List {
    pub fn is_usual(&self) -> bool {
        matches!(self, List::Usual)
    }
}

/// One increment that may be summed: of which counter, and how much.
fn step(entry: &Entry) -> Option<(&str, f64)> {
    match entry.objects() {
        [ObjectMessage { operation: Operation { object_id, action: Action::CounterStep(by) }, .. }] => {
            Some((object_id, *by))
        }
        _ => None,
    }
}

/// Increments in a row, and whatever happens to other objects between them.
fn runs(entries: &[Entry]) -> Vec<Run> {
    let (mut open, mut ended) = (BTreeMap::<&str, Vec<usize>>::new(), Vec::new());
    for (place, entry) in entries.iter().enumerate() {
        match step(entry) {
            Some((counter, _)) => open.entry(counter).or_default().push(place),
            None => {
                let touched = entry.objects().iter().map(|message| message.operation.object_id.as_str());
                ended.extend(touched.filter_map(|id| open.remove(id)));
            }
        }
    }
    ended.extend(open.into_values());
    let long = ended.into_iter().filter(|places| places.len() >= INCREMENTS_SUMMED_FROM);
    long.map(|places| Run {
        sum: places.iter().filter_map(|place| step(&entries[*place])).map(|(_, by)| by).sum(),
        places,
    })
    .collect()
}

/// In the place of its last increment, and of nobody.
fn summed(last: &Entry, sum: f64) -> Entry {
    let object_id = step(last).map(|(counter, _)| counter.to_owned()).unwrap_or_default();
    let operation = Operation { object_id, action: Action::CounterStep(sum) };
    let message = ObjectMessage { id: None, client_id: None, extras: None, operation };
    let content = Content::Objects(vec![message]);
    Entry { position: last.position, id: last.id.clone(), connection_id: None, content }
}

impl<'a> Sums<'a> {
    /// `None` when there is nothing to sum, as nearly always.
    pub fn of(singly: &'a [Entry]) -> Option<Sums<'a>> {
        if singly.len() < INCREMENTS_SUMMED_FROM {
            return None;
        }
        let runs = runs(singly);
        if runs.is_empty() {
            return None;
        }
        let mut own = BTreeMap::<&str, Vec<(usize, usize)>>::new();
        for (number, run) in runs.iter().enumerate() {
            for place in &run.places {
                if let Some(connection) = &singly[*place].connection_id {
                    own.entry(connection).or_default().push((number, *place));
                }
            }
        }
        let mut entries: Vec<Option<Entry>> = singly.iter().cloned().map(Some).collect();
        for run in &runs {
            run.places.iter().for_each(|place| entries[*place] = None);
            let last = run.places[run.places.len() - 1];
            entries[last] = Some(summed(&singly[last], run.sum));
        }
        let entries: Vec<Entry> = entries.into_iter().flatten().collect();
        let bytes: usize = entries.iter().map(|entry| entry.weight() + MESSAGE_OVERHEAD_BYTES).sum();
        let is_own_listed = own.len() * bytes <= SUMS_OWN_MAX_BYTES;
        Some(Sums { singly, entries, runs, own, is_own_listed })
    }

    /// What a reader gets.
    pub fn list(&self, session: &Session, name: &ChannelName) -> List {
        let Some(attachment) = session.attachments.get(name) else { return List::Usual };
        let State::Live { after } = attachment.state else { return List::Usual };
        // Nothing of objects passes a filter.
        if attachment.view.is_some() || !attachment.requested.contains(Modes::OBJECT_SUBSCRIBE) {
            return List::Usual;
        }
        if after >= self.first() || attachment.syncs.is_under_way(Of::Objects) {
            return List::Singly;
        }
        match self.own.get(session.speaks_as(name)) {
            None => List::Usual,
            Some(own) if self.is_own_listed => List::Own(self.with(own)),
            Some(_) => List::Singly,
        }
    }

    fn first(&self) -> Position {
        self.singly.first().map_or(Position::ZERO, |entry| entry.position)
    }

    /// What one gets who did these.
    fn with(&self, own: &[(usize, usize)]) -> Vec<Entry> {
        let mut entries: Vec<Entry> = own.iter().map(|(_, place)| self.singly[*place].clone()).collect();
        let mut replaced = Vec::new();
        for group in own.chunk_by(|one, other| one.0 == other.0) {
            let run = &self.runs[group[0].0];
            let is_own = |place: &usize| group.iter().any(|(_, own)| own == place);
            let steps = group.iter().filter_map(|(_, place)| step(&self.singly[*place]));
            let others = run.sum - steps.map(|(_, by)| by).sum::<f64>();
            let last_of_others = run.places.iter().rfind(|place| !is_own(place));
            entries.extend(last_of_others.map(|place| summed(&self.singly[*place], others)));
            replaced.push(self.singly[run.places[run.places.len() - 1]].position);
        }
        entries.extend(self.entries.iter().filter(|entry| !replaced.contains(&entry.position)).cloned());
        entries.sort_by_key(|entry| entry.position);
        entries
    }
}

const _: () = assert!(
    OBJECT_WHOLE_MAX + OBJECT_STEP_MAX * DELIVERY_MAX_BYTES as f64 <= (1_u64 << 53) as f64,
    "an increment takes more than a byte, and so the sum of a delivery's is exact"
);

#[cfg(test)]
mod tests;
