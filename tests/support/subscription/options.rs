//! What an attachment asks for, and that it asks for something else while it is attached, as `setOptions` of an SDK
//! does: by another ATTACH. What comes before its ATTACHED is as before; what comes then is all that the new modes let
//! through behind the serial that the ATTACH named. Some of that may have come before, unless the client stays attached
//! meanwhile, as its server knows: it goes on behind all that it was sent.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::frames::Frame;
use super::super::ledger::Ledger;
use super::super::random::Random;
use super::{State, Subscription};

const DEAF: &str = "publish,presence,annotation_publish";
const DEAF_BUT_TO_OBJECTS: &str = "publish,presence,annotation_publish,object_publish,object_subscribe";

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// It hears neither messages nor who comes and goes.
    pub is_deaf: bool,
    /// Sent as a parameter.
    pub no_echo: bool,
    /// It asks for deltas.
    pub wants_deltas: bool,
    /// It asks to be told how many are on the channel.
    pub listens: bool,
}

impl Subscription {
    /// The parameters of its next ATTACH.
    pub(super) fn params(&self) -> BTreeMap<String, String> {
        let Options { is_deaf, no_echo, wants_deltas, listens } = self.planned.unwrap_or(self.options);
        let modes = match (is_deaf, self.replica.is_some()) {
            (true, true) => Some(DEAF_BUT_TO_OBJECTS),
            (true, false) => Some(DEAF),
            (false, _) => self.modes,
        };
        let rewind = self.rewind.map(|count| count.to_string());
        let said = [
            ("modes", modes),
            ("rewind", rewind.as_deref()),
            ("occupancy", listens.then_some("metrics")),
            ("delta", wants_deltas.then_some("vcdiff")),
            ("echo", no_echo.then_some("false")),
        ];
        let said = said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        said.collect()
    }

    /// Other options, where it has some that may change: of messages that change, one that did not hear all sees
    /// something else.
    pub fn set_options(
        &mut self,
        random: &mut Random,
        is_mutable: bool,
        now_ms: u64,
        ledger: &Ledger,
    ) -> Option<Value> {
        if !self.may_change() {
            return None;
        }
        let mut options = self.options;
        match random.below(if is_mutable { 2 } else { 5 }) {
            0 => options.wants_deltas = !options.wants_deltas,
            1 => options.listens = !options.listens,
            2 => options.no_echo = !options.no_echo,
            _ => options.is_deaf = !options.is_deaf,
        }
        // Who hears nothing is told no numbers either.
        options.listens &= !options.is_deaf;
        self.change_to(options, now_ms, ledger)
    }

    /// It listens again, if it did not.
    pub fn end_deafness(&mut self, now_ms: u64, ledger: &Ledger) -> Option<Value> {
        let is_deaf = self.options.is_deaf && self.may_change();
        is_deaf.then(|| self.change_to(Options { is_deaf: false, ..self.options }, now_ms, ledger))?
    }

    fn may_change(&self) -> bool {
        let is_plain = self.filter.is_none() && self.rewind.is_none();
        is_plain && self.state == State::Attached && self.asked.is_none()
    }

    fn change_to(&mut self, options: Options, now_ms: u64, ledger: &Ledger) -> Option<Value> {
        self.planned = Some(options);
        Some(self.attach(now_ms, ledger))
    }

    /// Now, or with the options that it has asked for.
    pub(super) fn may_want_deltas(&self) -> bool {
        self.options.wants_deltas || self.planned.is_some_and(|planned| planned.wants_deltas)
    }

    /// An ATTACHED says for what it is.
    pub(super) fn takes_options(&mut self, frame: &Frame) {
        if self.planned.is_some() && frame.params == self.params() {
            self.take_planned();
        }
    }

    /// A connection hears of its own members whatever its modes are, and is that far then.
    pub(super) fn own_presence(&mut self, frame: &Frame, connection_id: Option<&str>, ledger: &mut Ledger) {
        let serial = frame.channel_serial.clone().expect("what moves the order has a serial");
        let position = ledger.parse(self.channel, &serial);
        assert!(position > self.cursor, "{} gets {position:?} again, behind {:?}", self.name, self.cursor);
        for event in &frame.presence {
            let is_own = Some(event.connection_id.as_str()) == connection_id;
            assert!(is_own, "{} is told who is present: {frame:?}", self.name);
            self.view.take(event, connection_id);
        }
        (self.cursor, self.serial) = (position, Some(serial));
    }

    /// It hears nothing until it attaches anew.
    pub(super) fn take_planned(&mut self) {
        self.options = self.planned.take().unwrap_or(self.options);
    }
}
