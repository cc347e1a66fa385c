//! What an object knows of its alarm: the platform keeps one for each, and it outlives the object's memory.
//!
//! An alarm that comes too early costs a look. One is never moved back, since what asked for it may be what the object
//! has forgotten; and none is set for a time that is over: the platform refuses some of those, and the object would
//! wait for it in vain. One that is long over and has not rung is one that the platform gave up: it is set again.

use crate::limits::ALARM_OVERDUE_MS;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Alarm {
    /// One may be set or not.
    #[default]
    Unknown,
    /// The platform was asked.
    Asking,
    Set {
        at_ms: Option<u64>,
    },
}

/// What the platform is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Ask the platform, and hand its answer to [`Alarm::learned`].
    Ask,
    /// Set it, and tell [`Alarm::refused`] if that fails.
    Set { at_ms: u64 },
}

impl Alarm {
    pub const NONE: Alarm = Alarm::Set { at_ms: None };

    /// Sees that the object wakes when it needs to.
    pub fn keep(&mut self, deadline_ms: Option<u64>, now_ms: u64) -> Option<Step> {
        let at_ms = deadline_ms?.max(now_ms);
        match *self {
            Alarm::Asking => None,
            Alarm::Unknown => {
                *self = Alarm::Asking;
                Some(Step::Ask)
            }
            Alarm::Set { at_ms: Some(known_ms) } if known_ms <= at_ms && now_ms < known_ms + ALARM_OVERDUE_MS => None,
            Alarm::Set { .. } => {
                *self = Alarm::Set { at_ms: Some(at_ms) };
                Some(Step::Set { at_ms })
            }
        }
    }

    /// Sees to it in this very turn: what was just written must not wait for the platform's answer. What is set before
    /// that is not known is for at once, so that whatever an earlier alarm was for is looked at, too.
    pub fn insist(&mut self, now_ms: u64) -> Option<Step> {
        match *self {
            Alarm::Unknown | Alarm::Asking => {
                *self = Alarm::Set { at_ms: Some(now_ms) };
                Some(Step::Set { at_ms: now_ms })
            }
            Alarm::Set { .. } => None,
        }
    }

    /// Whether what was set by an earlier memory is known.
    pub fn is_known(self) -> bool {
        matches!(self, Alarm::Set { .. })
    }

    pub fn learned(&mut self, at_ms: Option<u64>) {
        if *self == Alarm::Asking {
            *self = Alarm::Set { at_ms };
        }
    }

    /// It rang, and is set no more.
    pub fn rung(&mut self) {
        *self = Alarm::NONE;
    }

    /// The platform did not set it, and what was set before is not known. Gives whether that is news.
    pub fn refused(&mut self, at_ms: u64) -> bool {
        let is_current = *self == Alarm::Set { at_ms: Some(at_ms) };
        if is_current {
            *self = Alarm::Unknown;
        }
        is_current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(at_ms: Option<u64>) -> Alarm {
        Alarm::Set { at_ms }
    }

    #[test]
    fn it_is_set_for_the_first_deadline_and_not_moved_back() {
        let mut alarm = known(None);
        assert_eq!(alarm.keep(None, 100), None);
        assert_eq!(alarm.keep(Some(500), 100), Some(Step::Set { at_ms: 500 }));
        assert_eq!(alarm.keep(Some(900), 100), None);
        assert_eq!(alarm.keep(Some(300), 100), Some(Step::Set { at_ms: 300 }));
        alarm.rung();
        assert_eq!(alarm.keep(Some(900), 300), Some(Step::Set { at_ms: 900 }));
    }

    /// The platform refuses 0, and what is due at once is due at 0.
    #[test]
    fn what_is_due_already_is_due_now() {
        let mut alarm = known(None);
        assert_eq!(alarm.keep(Some(0), 100), Some(Step::Set { at_ms: 100 }));
        assert_eq!(alarm.keep(Some(0), 105), None, "one that is over rings as soon as it can");
    }

    /// The platform repeats one that failed a few times, ever later, and then no more.
    #[test]
    fn one_that_should_have_rung_long_ago_is_set_again() {
        let mut alarm = known(Some(100));
        assert_eq!(alarm.keep(Some(100), 100 + ALARM_OVERDUE_MS - 1), None);
        let late_ms = 100 + ALARM_OVERDUE_MS;
        assert_eq!(alarm.keep(Some(100), late_ms), Some(Step::Set { at_ms: late_ms }));
        assert_eq!(alarm.keep(Some(100), late_ms + 1), None, "once");
        assert_eq!(alarm.keep(None, 2 * late_ms), None, "unless nothing is due");
    }

    #[test]
    fn an_object_that_was_just_built_asks_first() {
        let mut alarm = Alarm::default();
        assert_eq!(alarm.keep(None, 100), None);
        assert_eq!(alarm.keep(Some(500), 100), Some(Step::Ask));
        assert_eq!(alarm.keep(Some(500), 100), None, "once");
        alarm.learned(Some(400));
        assert_eq!(alarm.keep(Some(500), 100), None);
        alarm.rung();
        alarm.learned(Some(400));
        assert_eq!(alarm.keep(Some(500), 400), Some(Step::Set { at_ms: 500 }), "an answer that is late says nothing");
    }

    #[test]
    fn one_that_cannot_wait_for_the_platform_rings_at_once() {
        let mut alarm = Alarm::default();
        assert_eq!(alarm.insist(100), Some(Step::Set { at_ms: 100 }));
        assert_eq!((alarm.insist(110), alarm.keep(Some(500), 110)), (None, None));
        alarm.rung();
        assert_eq!((alarm.insist(120), alarm.keep(Some(500), 120)), (None, Some(Step::Set { at_ms: 500 })));
        let mut asking = Alarm::Asking;
        assert_eq!(asking.insist(100), Some(Step::Set { at_ms: 100 }));
        asking.learned(None);
        assert_eq!(asking, known(Some(100)), "the answer is older");
    }

    #[test]
    fn one_that_was_refused_is_set_again() {
        let mut alarm = known(None);
        alarm.keep(Some(500), 100);
        alarm.keep(Some(300), 100);
        assert!(!alarm.refused(500), "another was set since");
        assert!(alarm.refused(300));
        assert_eq!(alarm.keep(Some(300), 200), Some(Step::Ask));
        alarm.learned(None);
        assert_eq!(alarm.keep(Some(300), 200), Some(Step::Set { at_ms: 300 }));
    }
}
