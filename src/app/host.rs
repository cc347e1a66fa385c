//! An app's object between its events: the storage, what memory holds of it, and the alarm. Drives the [`Registrar`].
//!
//! What is owed to relays stays owed until it is answered. After every event [`Host::alarm`] says when the object must
//! be awake next: also where an alarm rang too early and found nothing to do, and where storage failed, since then
//! nobody knows what is owed until it can be read again.

use super::store::{Store, StoreError};
use super::{Registrar, Tell};
use crate::call::{Answer, AppRequest, AppResponse, Noticed};
use crate::error::Code;
use crate::limits::NOTICE_RETRY_MS;

pub struct Host<S> {
    store: S,
    /// `None` before the first event, and after storage failed: memory may then say what is not stored.
    registrar: Option<Registrar>,
    /// When the alarm will ring that this memory has set.
    alarm_at_ms: Option<u64>,
}

impl<S: Store> Host<S> {
    pub fn new(store: S) -> Host<S> {
        Host { store, registrar: None, alarm_at_ms: None }
    }

    /// Answers a call; see [`Registrar::call`]. Fails with 50000 when storage does.
    pub fn call(&mut self, request: AppRequest, configured: bool, now_ms: u64) -> Answer<AppResponse> {
        self.act(now_ms, |registrar, store| registrar.call(store, request, configured, now_ms))
            .map_err(|_| Code::Internal.because("the app's storage failed; try again"))?
    }

    /// The alarm rang, too early perhaps: what is to be told now. When it fails the alarm has failed too, and the
    /// runtime repeats it.
    pub fn rang(&mut self, now_ms: u64) -> Result<Vec<Tell>, StoreError> {
        self.alarm_at_ms = None;
        self.act(now_ms, |registrar, store| {
            registrar.tick(store, now_ms)?;
            registrar.notices(store, now_ms)
        })
    }

    /// What is to be told now.
    pub fn notices(&mut self, now_ms: u64) -> Result<Vec<Tell>, StoreError> {
        self.act(now_ms, |registrar, store| registrar.notices(store, now_ms))
    }

    /// What became of a notice; `None` when no answer came.
    pub fn told(&mut self, tell: &Tell, answer: Option<Noticed>, now_ms: u64) -> Result<(), StoreError> {
        self.act(now_ms, |registrar, store| registrar.told(store, tell, answer))
    }

    /// When the alarm is to be set, after an event, if it is not set for then or before. One that rings too early costs
    /// a look. Tell [`Host::alarm_set`] when it is done.
    pub fn alarm(&self, now_ms: u64) -> Option<u64> {
        let needed_ms = match &self.registrar {
            Some(registrar) => registrar.deadline()?.max(now_ms),
            None => now_ms + NOTICE_RETRY_MS,
        };
        Some(needed_ms).filter(|needed_ms| self.alarm_at_ms.is_none_or(|set_ms| *needed_ms < set_ms))
    }

    pub fn alarm_set(&mut self, at_ms: u64) {
        self.alarm_at_ms = Some(at_ms);
    }

    /// The platform did not set it: the next event does.
    pub fn alarm_refused(&mut self, at_ms: u64) {
        self.alarm_at_ms.take_if(|known_ms| *known_ms == at_ms);
    }

    fn act<T>(
        &mut self,
        now_ms: u64,
        act: impl FnOnce(&mut Registrar, &mut S) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut registrar = match self.registrar.take() {
            Some(registrar) => registrar,
            None => Registrar::load(&mut self.store, now_ms)?,
        };
        let result = act(&mut registrar, &mut self.store)?;
        self.registrar = Some(registrar);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Memory, NOW_MS, relay, revocation};
    use super::*;
    use crate::limits::SWEEP_INTERVAL_MS;

    /// A host with one relay that watches and has not answered what it was told, and that notice.
    fn owing() -> (Host<Memory>, Tell) {
        let mut host = Host::new(Memory::default());
        let create = AppRequest::Create { config: "{}".into(), channels: String::new() };
        for request in [create, AppRequest::Watch(relay(0)), AppRequest::Revoke(vec![revocation("ann", NOW_MS)])] {
            host.call(request, false, NOW_MS).unwrap();
        }
        let tell = host.notices(NOW_MS).unwrap().remove(0);
        set(&mut host, NOW_MS, NOW_MS + NOTICE_RETRY_MS);
        (host, tell)
    }

    /// The alarm is set for that time after an event.
    fn set(host: &mut Host<Memory>, now_ms: u64, expected_ms: u64) {
        assert_eq!(host.alarm(now_ms), Some(expected_ms));
        host.alarm_set(expected_ms);
        assert_eq!(host.alarm(now_ms), None, "once");
    }

    #[test]
    fn an_alarm_that_rings_too_early_is_set_again() {
        let (mut host, _) = owing();
        let due_ms = NOW_MS + NOTICE_RETRY_MS;
        for early_ms in [3, 2, 1] {
            assert_eq!(host.rang(due_ms - early_ms).unwrap(), []);
            set(&mut host, due_ms - early_ms, due_ms);
        }
        assert_eq!(host.rang(due_ms).unwrap().len(), 1, "told again");
        host.alarm_set(due_ms + 9);
        host.alarm_refused(due_ms + 9);
        assert_eq!(host.alarm(due_ms), Some(due_ms + NOTICE_RETRY_MS), "one that was refused is set again");
    }

    #[test]
    fn what_is_owed_outlives_storage_that_fails() {
        let (mut host, _) = owing();
        let mut now_ms = NOW_MS + NOTICE_RETRY_MS;
        for _ in 0..3 {
            host.store.is_broken = true;
            assert!(host.rang(now_ms).is_err(), "the runtime is to repeat it");
            now_ms += NOTICE_RETRY_MS;
            set(&mut host, now_ms - NOTICE_RETRY_MS, now_ms);
        }
        host.store.is_broken = false;
        assert_eq!(host.rang(now_ms).unwrap().len(), 1);
    }

    #[test]
    fn an_answer_that_could_not_be_stored_is_asked_for_again() {
        let (mut host, tell) = owing();
        host.store.is_broken = true;
        assert!(host.told(&tell, Some(Noticed::Taken), NOW_MS + 1).is_err());
        assert_eq!(host.alarm(NOW_MS + 1), None, "the alarm of before is still to ring");
        host.store.is_broken = false;
        let again = host.rang(NOW_MS + NOTICE_RETRY_MS).unwrap();
        assert_eq!(again[0].notice, tell.notice);
        host.told(&again[0], Some(Noticed::Taken), NOW_MS + NOTICE_RETRY_MS).unwrap();
        set(&mut host, NOW_MS + NOTICE_RETRY_MS, NOW_MS + NOTICE_RETRY_MS + SWEEP_INTERVAL_MS);
    }

    #[test]
    fn a_call_during_a_failure_leaves_an_alarm() {
        let (mut host, _) = owing();
        host.store.is_broken = true;
        let mut host = Host::new(host.store);
        assert!(host.call(AppRequest::Config, false, NOW_MS).unwrap_err().is(Code::Internal));
        set(&mut host, NOW_MS, NOW_MS + NOTICE_RETRY_MS);
    }

    /// Each time it is built anew, it could put off for ever what it has to forget.
    #[test]
    fn an_object_that_is_often_built_forgets_what_has_ended() {
        let mut store = Memory::default();
        for round in 0..10 {
            let now_ms = NOW_MS + round * SWEEP_INTERVAL_MS / 2;
            let mut host = Host::new(store);
            let nonce = AppRequest::Nonce { key: round.to_string(), forget_at_ms: now_ms + 1 };
            assert_eq!(host.call(nonce, false, now_ms), Ok(AppResponse::Fresh(true)));
            store = host.store;
            assert_eq!(store.nonces.len(), 1, "the last one");
        }
    }
}
