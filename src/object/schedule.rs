//! When an object does what: what follows from an input, when it commits, its timers and its alarm.

use super::alarm::Step;
use super::host::{Host, Turn};
use super::store::RelayStore;
use super::timers::Timer;
use super::{Class, Output};
use crate::channel::Channel;
use crate::channel::store::Store;
use crate::limits::{ALARM_PAUSE_MS, TRIM_PAUSE_MS};
use crate::relay::Relay;
use crate::stats::Counter;

impl<S: Store + RelayStore> Host<S> {
    /// Does what follows, then sees to the commit, the timers and the alarm.
    pub(super) fn finish(&mut self) {
        self.perform_all();
        if self.schedule_commit() {
            self.perform_all();
        }
        self.confirm_rules();
        self.keep_listed();
        self.tell_listed();
        self.keep_pushed();
        self.keep_hooked();
        self.count();
        self.start_timers();
        if !self.alarm.is_known() && self.owes() {
            // The next memory would not know of it, and nobody else may wake it.
            self.insist();
        }
        let deadline_ms = self.deadline();
        let step = self.alarm.keep(deadline_ms, self.now_ms);
        self.alarm_step(step);
    }

    /// Whether somebody waits for what is stored here.
    fn owes(&self) -> bool {
        self.channel.as_ref().is_some_and(Channel::owes) || self.relay.as_ref().is_some_and(Relay::owes_delivery)
    }

    /// Sees in this turn that the object wakes.
    pub(super) fn insist(&mut self) {
        let step = self.alarm.insist(self.now_ms);
        self.alarm_step(step);
    }

    fn alarm_step(&mut self, step: Option<Step>) {
        self.outputs.extend(step.map(|step| match step {
            Step::Ask => Output::AskAlarm,
            Step::Set { at_ms } => Output::SetAlarm { at_ms },
        }));
    }

    /// Group commit: what is published to a quiet channel is written at once, and whatever comes in the same turn of
    /// the event loop at its end, together. Gives whether something was written.
    fn schedule_commit(&mut self) -> bool {
        let Some(channel) = self.channel.as_ref().filter(|channel| channel.has_pending()) else { return false };
        let (wait_ms, is_paced) = (channel.commits_in_ms(self.now_ms), channel.is_paced());
        let (is_alone, awaits_more) = (channel.is_alone(), channel.awaits_more());
        // A timer costs a tenth of a lone message.
        let needs_timer = wait_ms > 0 || awaits_more || !is_alone || self.timers.runs(Timer::Commit);
        let is_new = !needs_timer || self.start(Timer::Commit, wait_ms);
        // Where commits have a pace, a timer that runs may be that of a wait that is over before its time.
        let is_due = wait_ms == 0 && (is_new || is_paced) && !awaits_more;
        if is_due {
            self.channel_does(Channel::commit);
        }
        is_due
    }

    fn has_pending(&self) -> bool {
        self.channel.as_ref().is_some_and(Channel::has_pending)
    }

    /// Whether it was started now.
    pub(super) fn start(&mut self, timer: Timer, after_ms: u64) -> bool {
        let is_new = self.timers.start(timer);
        if is_new {
            self.outputs.push(Output::Start { timer, after_ms });
        }
        is_new
    }

    fn start_timers(&mut self) {
        let collects = self.relay.as_ref().and_then(Relay::collects_until_ms);
        let paces = self.channel.as_ref().and_then(Channel::paces_until_ms);
        let checks = self.channel.as_ref().and_then(Channel::checks_at_ms);
        let hooks = self.channel.as_ref().and_then(Channel::hooks_until_ms);
        let channel = [(Timer::Pace, paces), (Timer::Check, checks), (Timer::Hooks, hooks)];
        for (timer, until_ms) in [(Timer::Collect, collects)].into_iter().chain(channel) {
            if let Some(until_ms) = until_ms {
                self.start(timer, until_ms.saturating_sub(self.now_ms));
            }
        }
    }

    pub(super) fn rang(&mut self, timer: Timer) -> Turn {
        self.timers.rang(timer);
        match timer {
            Timer::Commit if !self.has_pending() => return Turn::Ends,
            // That of an earlier turn: what came since waits on.
            Timer::Commit if self.channel.as_ref().is_some_and(|channel| channel.commits_in_ms(self.now_ms) > 0) => {}
            Timer::Commit => self.channel_does(Channel::commit),
            Timer::Report => self.report(),
            Timer::FanOut | Timer::Alarm | Timer::Hooks => {}
            Timer::Collect => self.relay_does(Relay::collected),
            Timer::Pace | Timer::Check => self.channel_does(Channel::follow_up),
        }
        Turn::Goes
    }

    /// What is due. When the channel can't be read, the platform is to ring again; it does so a few times, and then the
    /// object's own next alarm does.
    pub(super) fn due(&mut self) -> Turn {
        self.alarm.rung();
        self.reporter.note(Counter::Alarms, 1);
        if self.class == Class::Channel
            && let Err(error) = self.channel_for(None)
        {
            self.outputs.push(Output::RepeatAlarm { reason: error.0 });
            self.read_at_ms = Some(self.now_ms + TRIM_PAUSE_MS);
            return Turn::Goes;
        }
        self.refresh_rules();
        self.doubt_old_rules();
        self.look();
        self.end_spent();
        Turn::Goes
    }

    /// Does what is due; when the clock was set back, too: pauses begin anew then, and the alarm is to follow them.
    pub(super) fn look(&mut self) {
        self.relay_does(Relay::tick);
        let effects = self.links.tick(self.now_ms);
        self.link_effects(effects);
        self.channel_does(Channel::tick);
        self.watch_again();
    }

    /// Lets go of a channel that nobody uses, unless clients may be here: what is stored proves their keys.
    fn end_spent(&mut self) {
        let is_spent = self.relay.is_none() && self.channel.as_ref().is_some_and(Channel::is_spent);
        if is_spent {
            // If it fails, nothing or all of it may be gone: what is there is read again.
            let _ = self.store.clear();
            self.channel = None;
        }
    }

    /// Tries again after a pause: at once it would be refused again, and again.
    pub(super) fn alarm_refused(&mut self, at_ms: u64) -> Turn {
        if self.alarm.refused(at_ms) {
            self.start(Timer::Alarm, ALARM_PAUSE_MS);
        }
        Turn::Ends
    }

    fn deadline(&self) -> Option<u64> {
        let relay = self.relay.as_ref().and_then(Relay::deadline);
        let channel = self.channel.as_ref().and_then(Channel::deadline);
        let rules = self.unconfirmed.again_at_ms;
        let again = [self.read_at_ms, self.find_at_ms, self.watch_at_ms, rules];
        [relay, channel, self.links.deadline()].into_iter().chain(again).flatten().min()
    }
}
