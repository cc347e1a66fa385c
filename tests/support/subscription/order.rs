//! The channel's order as an attachment gets it: each thing next, but for what need not come.

use std::iter::Peekable;

use courtside::model::data::Data;
use courtside::model::revision::Target;
use courtside::model::serial::Position;

use super::super::frames::{Frame, Message};
use super::super::ledger::{Ledger, Logged, Said};
use super::super::revisions::Change;
use super::{ALL, SUMMARY, Subscription};

impl Subscription {
    /// Whether it is to be given such a message.
    fn wants(&self, said: &Said) -> bool {
        self.passes(said.name.as_deref())
    }

    pub(super) fn passes(&self, name: Option<&str>) -> bool {
        !self.options.is_deaf && self.filter.is_none_or(|wanted| name == Some(wanted))
    }

    /// Whether it need not get a message: another came in its place, or it was deleted when this was read, perhaps.
    fn may_lack(&self, position: Position, place: usize, ledger: &Ledger) -> bool {
        ledger.is_replaced(self.channel, position, place)
            || ledger.was_deleted_since(self.channel, Target { position, place }, self.reads_since_ms)
    }

    /// Whether it need not be told of an entry: it is not what it asked for, or over by what came later.
    pub(super) fn need_not_come(&self, logged: &Logged, ledger: &Ledger) -> bool {
        let is_rewound = self.rewinds.is_some_and(|present| logged.position <= present);
        let rewound_or = |is_wanted: bool| is_rewound || !is_wanted;
        let is_over = |place: usize| self.may_lack(logged.position, place, ledger);
        match &logged.change {
            None if logged.messages.is_empty() => rewound_or(self.filter.is_none() && !self.options.is_deaf),
            None => {
                let mut messages = logged.messages.iter().enumerate();
                messages.all(|(place, said)| !self.wants(said) || is_over(place))
            }
            Some(Change::Revision(revision)) => {
                rewound_or(self.passes(revision.name.as_deref()))
                    || self.views.has(revision.target, logged.position)
                    || ledger.is_over(self.channel, logged.position, revision)
            }
            Some(Change::Summary(_)) => true,
            Some(Change::Annotations(..)) => rewound_or(self.modes == Some(ALL)),
            Some(Change::Objects(_)) => rewound_or(self.replica.is_some()),
        }
    }

    /// Behind what follows and need not come to it, but no further than to a place.
    pub(super) fn past(&self, through: Position, silent: Option<&str>, ledger: &Ledger) -> Position {
        let mut at = self.cursor;
        let may_pass = |next: &&Logged| next.position <= through && self.need_not_come(next, ledger);
        while let Some(next) = ledger.next(self.channel, at, silent).filter(may_pass) {
            at = next.position;
        }
        at
    }

    /// It is given what is at a place: all that it lacks before need not come.
    pub(super) fn advance(&mut self, to: Position, silent: Option<&str>, ledger: &Ledger) {
        assert!(to > self.cursor, "{} gets {to:?} again or out of order, behind {:?}", self.name, self.cursor);
        while let Some(next) = ledger.next(self.channel, self.cursor, silent).filter(|next| next.position < to) {
            let is_over = self.need_not_come(next, ledger);
            assert!(is_over, "{} misses {next:?}, gets {to:?} behind {:?}", self.name, self.cursor);
            (self.cursor, self.conflated) = (next.position, self.conflated + next.messages.len());
        }
    }

    /// Takes the messages of one publish off a frame, an operation, or a summary: of publishes and operations the next
    /// in the channel's order, or what is left of it where later ones replace the others.
    pub(super) fn entry<'a>(
        &mut self,
        frame: &Frame,
        messages: &mut Peekable<impl Iterator<Item = (usize, (&'a Message, Data))>>,
        silent: Option<&str>,
        ledger: &mut Ledger,
    ) {
        let (_, (first, _)) = messages.peek().expect("there are more");
        if first.action == SUMMARY {
            return self.take_summary(messages.next().expect("peeked").1.0);
        }
        if let Some(position) = self.operation_of(first, ledger) {
            let (_, (message, data)) = messages.next().expect("peeked");
            return self.revised((message, &data), position, silent, ledger);
        }
        let position = ledger.parse(self.channel, &first.serial);
        self.advance(position, silent, ledger);
        let expected = ledger.next(self.channel, self.cursor, silent).filter(|next| next.position == position);
        let expected = expected.unwrap_or_else(|| panic!("{} gets what is not in the log: {frame:?}", self.name));
        let count = expected.messages.len();
        assert!(count > 0, "{} misses {expected:?}, gets {frame:?}", self.name);
        let (connection_id, contents) = (expected.connection_id.clone(), expected.messages.clone());
        assert!(ledger.is_durable(self.channel, position), "a message is delivered before it is durable");
        let wanted: Vec<_> = contents.iter().enumerate().filter(|(_, said)| self.wants(said)).collect();
        let mut begins = std::mem::take(&mut self.begins);
        for (place, Said { own_id, name, data }) in wanted {
            let serial = format!(":{place:03}");
            let is_here = |(_, (message, _)): &(usize, (&Message, Data)), ledger: &mut Ledger| {
                ledger.parse(self.channel, &message.serial) == position
                    && message.serial.ends_with(&serial)
                    && message.action != SUMMARY
                    && self.operation_of(message, ledger).is_none()
            };
            if !messages.peek().is_some_and(|next| is_here(next, ledger)) {
                let is_over = begins || self.may_lack(position, place, ledger);
                assert!(is_over, "{} gets {position:?} without {place}: {frame:?}", self.name);
                self.conflated += 1;
                continue;
            }
            begins = false;
            let (_, (message, whole)) = messages.next().expect("peeked");
            assert_eq!(message.name, name.as_deref().unwrap_or_default());
            assert_eq!(message.connection_id.as_ref().or(frame.connection_id.as_ref()), connection_id.as_ref());
            let target = Target { position, place };
            let version = self.version_of(message, target, ledger);
            let Data::Text(text) = &whole else { panic!("clients publish text, not {whole:?}") };
            let is_restored = version == position && ledger.was_restored_as(self.channel, target, text);
            let said = ledger.text_at(self.channel, target, version).expect("a version that there was");
            assert!(is_restored || said == text, "{target:?} as of {version:?} is {said:?}, not {text:?}");
            if version == position {
                let own =
                    own_id.clone().unwrap_or_else(|| format!("{}:{place}", frame.id.as_deref().unwrap_or_default()));
                assert!(frame.id.is_none() || message.id == own, "{} is not the id {own}", message.id);
            }
            if version == position && !is_restored {
                assert_eq!(whole, *data);
                ledger.see(self.channel, &message.serial, text);
            }
            self.views.show(target, version, text);
            self.take_counts(message, target);
        }
        self.received += count;
        self.cursor = position;
    }

    /// Which version of itself a message is.
    fn version_of(&self, message: &Message, target: Target, ledger: &mut Ledger) -> Position {
        match &message.version {
            Some(version) => ledger.parse(self.channel, &version.serial),
            None => target.position,
        }
    }
}
