//! What a connection is still owed: acknowledgements, in the order of its publishes and without gaps.
//!
//! Clients complete everything up to the serial that an ACK names, so one sent early would lie about those before it
//! (protocol.md § 5). Outcomes may come in any order; they leave in order, merged where they are alike.

use std::collections::VecDeque;

use crate::error::ErrorInfo;
use crate::protocol::dialect::Voice;
use crate::protocol::outbound::{Outbound, PublishResult};
use crate::protocol::{Encoded, action};

/// What became of one publish.
pub type Outcome = Result<PublishResult, ErrorInfo>;

#[derive(Debug, Default)]
pub struct Outbox {
    owed: VecDeque<Owed>,
    /// How many have left: the place of the first that has not.
    left: u64,
    refusals: usize,
}

/// A publish as it is known when it is said again: by its channel, its number, its id and how many messages it has.
pub type Digest = u64;

/// Where the outcome of a publish is awaited. In the outbox of the same connection on another transport, only what has
/// the same serial is the same publish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    number: u64,
    msg_serial: u64,
}

#[derive(Debug)]
struct Owed {
    msg_serial: u64,
    /// Publishes with the serials that follow, which were refused alike.
    count: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Open {
        digest: Digest,
    },
    Resolved {
        digest: Digest,
        outcome: Outcome,
    },
    /// Never taken in.
    Refused(ErrorInfo),
}

impl Outbox {
    /// Refusals that are alike count once.
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Refusals that wait behind what is open.
    pub fn refusals(&self) -> usize {
        self.refusals
    }

    /// Publishes that were taken in, and that a client which comes back sends again, since it was not told of them.
    pub fn taken_in(&self) -> impl Iterator<Item = Digest> {
        self.owed.iter().filter_map(|owed| match owed.state {
            State::Open { digest } | State::Resolved { digest, .. } => Some(digest),
            State::Refused(_) => None,
        })
    }

    /// A publish was taken in and will get its outcome later.
    pub fn expect(&mut self, msg_serial: u64, digest: Digest) -> Place {
        let place = Place { number: self.left + self.owed.len() as u64, msg_serial };
        self.owed.push_back(Owed { msg_serial, count: 1, state: State::Open { digest } });
        place
    }

    /// What became of it. Without effect if it isn't owed (any more).
    pub fn resolve(&mut self, place: Place, outcome: Outcome) {
        let index = place.number.checked_sub(self.left).map(|index| index as usize);
        let owed = index.and_then(|index| self.owed.get_mut(index));
        if let Some(owed) = owed.filter(|owed| owed.msg_serial == place.msg_serial)
            && let State::Open { digest } = owed.state
        {
            owed.state = State::Resolved { digest, outcome };
        }
    }

    /// A publish was not taken in.
    pub fn refuse(&mut self, msg_serial: u64, error: ErrorInfo) {
        match self.owed.back_mut() {
            Some(Owed { msg_serial: first, count, state: State::Refused(known) })
                if *first + *count == msg_serial && *known == error =>
            {
                *count += 1;
            }
            _ => {
                self.owed.push_back(Owed { msg_serial, count: 1, state: State::Refused(error) });
                self.refusals += 1;
            }
        }
    }

    /// The frames that can leave now.
    pub fn drain(&mut self, mut voice: impl Voice) -> Vec<Encoded> {
        let mut frames = Vec::new();
        while let Some((msg_serial, mut count, outcome)) = self.pop_if(|_, _| true) {
            match outcome {
                Ok(result) => {
                    let mut results = vec![result];
                    while let Some((_, _, Ok(result))) =
                        self.pop_if(|next, outcome| next == msg_serial + count && outcome.is_ok())
                    {
                        results.push(result);
                        count += 1;
                    }
                    frames.push(voice.say(&ack(msg_serial, &results)));
                }
                Err(error) => {
                    while let Some((_, more, _)) =
                        self.pop_if(|next, outcome| next == msg_serial + count && outcome == Err(&error))
                    {
                        count += more;
                    }
                    frames.push(voice.say(&nack(msg_serial, count, &error)));
                }
            }
        }
        frames
    }

    /// The first that is owed, once its outcome is known, and is one that is wanted.
    fn pop_if(
        &mut self,
        wanted: impl Fn(u64, Result<&PublishResult, &ErrorInfo>) -> bool,
    ) -> Option<(u64, u64, Outcome)> {
        let is_wanted = |owed: &mut Owed| owed.outcome().is_some_and(|outcome| wanted(owed.msg_serial, outcome));
        let owed = self.owed.pop_front_if(is_wanted)?;
        self.left += 1;
        let outcome = match owed.state {
            State::Open { .. } => return None,
            State::Resolved { outcome, .. } => outcome,
            State::Refused(error) => {
                self.refusals -= 1;
                Err(error)
            }
        };
        Some((owed.msg_serial, owed.count, outcome))
    }
}

impl Owed {
    fn outcome(&self) -> Option<Result<&PublishResult, &ErrorInfo>> {
        match &self.state {
            State::Open { .. } => None,
            State::Resolved { outcome, .. } => Some(outcome.as_ref()),
            State::Refused(error) => Some(Err(error)),
        }
    }
}

fn ack(msg_serial: u64, results: &[PublishResult]) -> Outbound<'_> {
    let (msg_serial, count) = (Some(msg_serial), Some(results.len() as u64));
    Outbound { action: action::ACK, msg_serial, count, res: Some(results), ..Outbound::default() }
}

fn nack(msg_serial: u64, count: u64, error: &ErrorInfo) -> Outbound<'_> {
    let (msg_serial, count) = (Some(msg_serial), Some(count));
    Outbound { action: action::NACK, msg_serial, count, error: Some(error), ..Outbound::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn accepted(serial: &str) -> Outcome {
        Ok(PublishResult { serials: vec![serial.to_owned()] })
    }

    fn texts(outbox: &mut Outbox) -> Vec<String> {
        let text = |frame| match frame {
            Encoded::Text(text) => text,
            _ => unreachable!("asked for JSON"),
        };
        outbox
            .drain(crate::protocol::dialect::Dialect::Frames(crate::model::Format::Json))
            .into_iter()
            .map(text)
            .collect()
    }

    fn expect(outbox: &mut Outbox, serials: std::ops::Range<u64>) -> Vec<Place> {
        serials.map(|msg_serial| outbox.expect(msg_serial, 1)).collect()
    }

    #[test]
    fn nothing_leaves_before_its_turn() {
        let mut outbox = Outbox::default();
        let places = expect(&mut outbox, 0..3);
        outbox.resolve(places[1], accepted("b"));
        outbox.resolve(places[2], accepted("c"));
        assert_eq!(texts(&mut outbox), [] as [String; 0]);
        outbox.resolve(places[0], accepted("a"));
        let expected =
            r#"{"action":1,"msgSerial":0,"count":3,"res":[{"serials":["a"]},{"serials":["b"]},{"serials":["c"]}]}"#;
        assert_eq!(texts(&mut outbox), [expected]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn unlike_outcomes_are_told_apart() {
        let mut outbox = Outbox::default();
        let places = expect(&mut outbox, 5..8);
        outbox.refuse(8, Code::NotPermitted.because("no"));
        outbox.refuse(9, Code::TooLarge.because("big"));
        outbox.resolve(places[0], accepted("a"));
        outbox.resolve(places[1], Err(Code::NotPermitted.because("no")));
        outbox.resolve(places[2], Err(Code::NotPermitted.because("no")));
        let frames = texts(&mut outbox);
        assert_eq!(frames.len(), 3);
        assert!(frames[1].starts_with(r#"{"action":2,"msgSerial":6,"count":3,"error":{"code":40160"#));
        assert!(frames[2].starts_with(r#"{"action":2,"msgSerial":9,"count":1,"error":{"code":40009"#));
    }

    #[test]
    fn a_serial_sent_again_is_answered_again() {
        let mut outbox = Outbox::default();
        let places = [outbox.expect(3, 1), outbox.expect(3, 1)];
        for place in places.into_iter().chain(places) {
            outbox.resolve(place, accepted("a"));
        }
        assert_eq!(texts(&mut outbox).len(), 2);
        outbox.resolve(places[0], accepted("x"));
        assert_eq!(texts(&mut outbox), [] as [String; 0]);
    }

    /// A call that was sent for a transport that is gone is answered when the connection has another.
    #[test]
    fn what_another_transport_was_owed_is_not_mistaken() {
        let places = expect(&mut Outbox::default(), 0..3);
        let mut outbox = Outbox::default();
        expect(&mut outbox, 1..4);
        places.into_iter().for_each(|place| outbox.resolve(place, accepted("a")));
        assert_eq!((texts(&mut outbox), outbox.len()), (Vec::new(), 3));
    }

    /// What is refused for one reason takes the memory of one, however much it is.
    #[test]
    fn refusals_that_are_alike_wait_as_one() {
        let mut outbox = Outbox::default();
        let first = outbox.expect(0, 7);
        (1..50_000).for_each(|msg_serial| outbox.refuse(msg_serial, Code::PublishRateLimited.into()));
        outbox.refuse(50_000, Code::NotPermitted.into());
        assert_eq!((outbox.len(), outbox.refusals(), outbox.taken_in().collect()), (3, 2, vec![7]));
        outbox.resolve(first, accepted("a"));
        let frames = texts(&mut outbox);
        assert!(frames[1].starts_with(r#"{"action":2,"msgSerial":1,"count":49999,"error":{"code":42911"#));
        assert_eq!((frames.len(), outbox.len(), outbox.refusals(), outbox.taken_in().count()), (3, 0, 0, 0));
    }
}
