//! Requests and calls that an object has open, by the names that its driver has for them.

use futures_channel::oneshot::{self, Receiver, Sender};
use worker::{Response, Result};

use super::platform::{self, Done};
use crate::base::maps::HashMap;
use crate::object::CallerId;

#[derive(Default)]
pub struct Callers {
    requests: HashMap<CallerId, Sender<Result<Response>>>,
    calls: HashMap<CallerId, Done>,
    last: u64,
}

impl Callers {
    pub fn request(&mut self) -> (CallerId, Receiver<Result<Response>>) {
        let (sender, receiver) = oneshot::channel();
        let caller = self.next();
        self.requests.insert(caller, sender);
        (caller, receiver)
    }

    pub fn call(&mut self, done: Done) -> CallerId {
        let caller = self.next();
        self.calls.insert(caller, done);
        caller
    }

    /// Answers a request. Whoever asked may have gone.
    pub fn respond(&mut self, caller: CallerId, response: Result<Response>) {
        if let Some(sender) = self.requests.remove(&caller) {
            drop(sender.send(response));
        }
    }

    /// Answers a call.
    pub fn answer(&mut self, caller: CallerId, answer: Option<&[u8]>) {
        if let Some(done) = self.calls.remove(&caller) {
            platform::answer(&done, answer);
        }
    }

    fn next(&mut self) -> CallerId {
        self.last += 1;
        CallerId(self.last)
    }
}
