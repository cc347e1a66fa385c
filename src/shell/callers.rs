//! Requests and calls that an object has open, by the names that its driver has for them.

use worker::{Response, Result};

use super::platform::{self, Done};
use crate::base::maps::HashMap;
use crate::object::CallerId;

#[derive(Default)]
pub struct Callers {
    callers: HashMap<CallerId, Done>,
    last: u64,
}

impl Callers {
    pub fn begin(&mut self, done: Done) -> CallerId {
        self.last += 1;
        let caller = CallerId(self.last);
        self.callers.insert(caller, done);
        caller
    }

    /// For whoever answers it.
    pub fn end(&mut self, caller: CallerId) -> Option<Done> {
        self.callers.remove(&caller)
    }

    /// Answers a request. Whoever asked may have gone.
    pub fn respond(&mut self, caller: CallerId, response: Result<Response>) {
        if let Some(done) = self.end(caller) {
            platform::respond(&done, response);
        }
    }

    /// Answers a call.
    pub fn answer(&mut self, caller: CallerId, answer: Option<&[u8]>) {
        if let Some(done) = self.end(caller) {
            platform::answer(&done, answer);
        }
    }
}
