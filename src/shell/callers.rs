//! Requests that an object has open, by the names that its driver has for them.

use futures_channel::oneshot::{self, Receiver, Sender};
use worker::{Response, Result};

use crate::base::maps::HashMap;
use crate::object::CallerId;

#[derive(Default)]
pub struct Callers {
    open: HashMap<CallerId, Sender<Result<Response>>>,
    last: u64,
}

impl Callers {
    pub fn open(&mut self) -> (CallerId, Receiver<Result<Response>>) {
        self.last += 1;
        let (sender, receiver) = oneshot::channel();
        self.open.insert(CallerId(self.last), sender);
        (CallerId(self.last), receiver)
    }

    pub fn answer(&mut self, caller: CallerId, response: Result<Response>) {
        if let Some(sender) = self.open.remove(&caller) {
            // Whoever asked may have gone.
            drop(sender.send(response));
        }
    }
}
