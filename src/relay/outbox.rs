//! What a connection is still owed: acknowledgements, in the order of its publishes and without gaps.
//!
//! Clients complete everything up to the serial that an ACK names, so one sent early would lie about those before it
//! (protocol.md § 5). Outcomes may come in any order; they leave in order, merged where they are alike.

use std::collections::VecDeque;

use crate::error::ErrorInfo;
use crate::wire::outbound::{Outbound, PublishResult};
use crate::wire::{Encoded, Format, action};

/// What became of one publish.
pub type Outcome = Result<PublishResult, ErrorInfo>;

#[derive(Debug, Default)]
pub struct Outbox {
    owed: VecDeque<Owed>,
}

#[derive(Debug)]
struct Owed {
    msg_serial: u64,
    outcome: Option<Outcome>,
}

impl Outbox {
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// A publish arrived and will get its outcome later.
    pub fn expect(&mut self, msg_serial: u64) {
        self.owed.push_back(Owed { msg_serial, outcome: None });
    }

    /// What became of it. Without effect if it isn't owed (any more).
    pub fn resolve(&mut self, msg_serial: u64, outcome: Outcome) {
        let waiting = |owed: &&mut Owed| owed.msg_serial == msg_serial && owed.outcome.is_none();
        if let Some(owed) = self.owed.iter_mut().find(waiting) {
            owed.outcome = Some(outcome);
        }
    }

    /// The frames that can leave now.
    pub fn drain(&mut self, format: Format) -> Vec<Encoded> {
        let mut frames = Vec::new();
        while let Some(first) = self.pop() {
            let (msg_serial, mut count) = (first.0, 1);
            match first.1 {
                Ok(result) => {
                    let mut results = vec![result];
                    while let Some(Ok(result)) = self.pop_if(msg_serial + count, Outcome::is_ok) {
                        results.push(result);
                        count += 1;
                    }
                    frames.push(ack(msg_serial, &results).encode(format));
                }
                Err(error) => {
                    while self.pop_if(msg_serial + count, |outcome| outcome.as_ref().err() == Some(&error)).is_some() {
                        count += 1;
                    }
                    frames.push(nack(msg_serial, count, &error).encode(format));
                }
            }
        }
        frames
    }

    fn pop(&mut self) -> Option<(u64, Outcome)> {
        self.owed.front()?.outcome.as_ref()?;
        let owed = self.owed.pop_front()?;
        Some((owed.msg_serial, owed.outcome?))
    }

    fn pop_if(&mut self, msg_serial: u64, alike: impl Fn(&Outcome) -> bool) -> Option<Outcome> {
        let front = self.owed.front()?;
        let follows = front.msg_serial == msg_serial && front.outcome.as_ref().is_some_and(alike);
        if follows { self.pop().map(|(_, outcome)| outcome) } else { None }
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
            Encoded::Binary(_) => unreachable!("asked for JSON"),
        };
        outbox.drain(Format::Json).into_iter().map(text).collect()
    }

    #[test]
    fn nothing_leaves_before_its_turn() {
        let mut outbox = Outbox::default();
        (0..3).for_each(|msg_serial| outbox.expect(msg_serial));
        outbox.resolve(1, accepted("b"));
        outbox.resolve(2, accepted("c"));
        assert_eq!(texts(&mut outbox), [] as [String; 0]);
        outbox.resolve(0, accepted("a"));
        let expected =
            r#"{"action":1,"msgSerial":0,"count":3,"res":[{"serials":["a"]},{"serials":["b"]},{"serials":["c"]}]}"#;
        assert_eq!(texts(&mut outbox), [expected]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn unlike_outcomes_are_told_apart() {
        let mut outbox = Outbox::default();
        (5..9).for_each(|msg_serial| outbox.expect(msg_serial));
        outbox.resolve(5, accepted("a"));
        outbox.resolve(6, Err(Code::NotPermitted.because("no")));
        outbox.resolve(7, Err(Code::NotPermitted.because("no")));
        outbox.resolve(8, Err(Code::TooLarge.because("big")));
        let frames = texts(&mut outbox);
        assert_eq!(frames.len(), 3);
        assert!(frames[1].starts_with(r#"{"action":2,"msgSerial":6,"count":2,"error":{"code":40160"#));
        assert!(frames[2].starts_with(r#"{"action":2,"msgSerial":8,"count":1,"error":{"code":40009"#));
    }

    #[test]
    fn a_serial_sent_again_is_answered_again() {
        let mut outbox = Outbox::default();
        outbox.expect(3);
        outbox.expect(3);
        outbox.resolve(3, accepted("a"));
        outbox.resolve(3, accepted("a"));
        outbox.resolve(4, accepted("x"));
        assert_eq!(texts(&mut outbox).len(), 2);
    }
}
