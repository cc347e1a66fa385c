//! What is known of an object's alarm: the platform has one for each, stored, and it outlives the object's memory.
//!
//! An alarm that comes too early costs a look. One is never moved back, since what asked for it may be what the object
//! has forgotten.

/// What is known of the stored alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Alarm {
    /// The memory is new, or the platform would not set one. One may be set.
    #[default]
    Unknown,
    Asked,
    Silent,
    Set {
        at_ms: u64,
    },
}

/// What the platform is to do about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    Ask,
    Set { at_ms: u64 },
}

impl Alarm {
    pub fn rings(&mut self) {
        *self = Alarm::Silent;
    }

    /// The answer to [`Step::Ask`]; too late once one was set.
    pub fn learn(&mut self, at_ms: Option<u64>) {
        if *self == Alarm::Asked {
            *self = at_ms.map_or(Alarm::Silent, |at_ms| Alarm::Set { at_ms });
        }
    }

    /// The platform would not set it: what is stored is anybody's guess.
    pub fn refused(&mut self) {
        *self = Alarm::Unknown;
    }

    /// Sees that the object wakes at its deadline. Platforms refuse times long past: what is overdue is due now.
    pub fn keep(&mut self, deadline_ms: Option<u64>, now_ms: u64) -> Option<Step> {
        let at_ms = deadline_ms?.max(now_ms);
        match self {
            Alarm::Asked => None,
            Alarm::Set { at_ms: set_ms } if *set_ms <= at_ms => None,
            Alarm::Unknown => {
                *self = Alarm::Asked;
                Some(Step::Ask)
            }
            Alarm::Silent | Alarm::Set { .. } => {
                *self = Alarm::Set { at_ms };
                Some(Step::Set { at_ms })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_memory_asks_before_it_sets_one() {
        let mut alarm = Alarm::default();
        assert_eq!(alarm.keep(None, 0), None);
        assert_eq!(alarm.keep(Some(50), 0), Some(Step::Ask));
        assert_eq!(alarm.keep(Some(40), 0), None);
        alarm.learn(None);
        assert_eq!(alarm.keep(Some(50), 0), Some(Step::Set { at_ms: 50 }));
    }

    #[test]
    fn an_alarm_is_moved_forward_and_never_back() {
        let mut alarm = Alarm::Asked;
        alarm.learn(Some(50));
        assert_eq!(alarm.keep(Some(60), 0), None);
        assert_eq!(alarm.keep(Some(40), 0), Some(Step::Set { at_ms: 40 }));
        assert_eq!(alarm.keep(Some(50), 0), None);
        alarm.rings();
        assert_eq!(alarm.keep(Some(60), 40), Some(Step::Set { at_ms: 60 }));
    }

    #[test]
    fn what_is_overdue_is_due_now_and_set_once() {
        let mut alarm = Alarm::Silent;
        assert_eq!(alarm.keep(Some(0), 100), Some(Step::Set { at_ms: 100 }));
        assert_eq!(alarm.keep(Some(0), 101), None);
    }

    #[test]
    fn an_answer_that_is_late_does_not_undo_what_was_set() {
        let mut alarm = Alarm::Asked;
        alarm.rings();
        assert_eq!(alarm.keep(Some(50), 0), Some(Step::Set { at_ms: 50 }));
        alarm.learn(None);
        assert_eq!(alarm.keep(Some(50), 0), None);
    }

    #[test]
    fn a_refused_alarm_is_an_unknown_one() {
        let mut alarm = Alarm::Silent;
        assert_eq!(alarm.keep(Some(50), 0), Some(Step::Set { at_ms: 50 }));
        alarm.refused();
        assert_eq!(alarm.keep(Some(50), 0), Some(Step::Ask));
    }
}
