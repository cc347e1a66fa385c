//! Timers, for what is too soon for an alarm. They go with the object's memory.

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Commit what comes in this turn of the event loop together, at its end.
    Commit,
    /// Serve the sockets here, once a delivery is on its way to the relays below.
    FanOut,
    /// Send on what the relay collects; see [`Relay::collects_until_ms`](crate::relay::Relay::collects_until_ms).
    Collect,
    /// Deliver what the channel's interval held back; see
    /// [`Channel::paces_until_ms`](crate::channel::Channel::paces_until_ms).
    Pace,
    /// Ask relays whether they have what answers carried; see
    /// [`Channel::checks_at_ms`](crate::channel::Channel::checks_at_ms).
    Check,
    /// Send what webhooks get next; see [`Channel::hooks_until_ms`](crate::channel::Channel::hooks_until_ms).
    Hooks,
    /// Look whether to report what was counted; see [`Reporter`](crate::stats::Reporter).
    Report,
    /// Try again to set the alarm, which the platform refused.
    Alarm,
}

/// Those that run.
#[derive(Debug, Default)]
pub struct Timers {
    running: Vec<Timer>,
}

impl Timers {
    pub fn runs(&self, timer: Timer) -> bool {
        self.running.contains(&timer)
    }

    /// Whether it is to be started: one of a kind runs at a time.
    pub fn start(&mut self, timer: Timer) -> bool {
        let is_new = !self.runs(timer);
        if is_new {
            self.running.push(timer);
        }
        is_new
    }

    pub fn rang(&mut self, timer: Timer) {
        self.running.retain(|running| *running != timer);
    }
}
