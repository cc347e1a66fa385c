//! `DELETE /channels/{channel}/messages`, and the operator's own path to it: all messages of a channel go.

use super::super::Step;
use super::super::caller::Caller;
use super::super::step::unanswered;
use super::{Operator, ask};
use crate::auth::Operations;
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply};
use crate::model::name::ChannelName;
use crate::rpc::{Act, Address, ChannelCall, Request, Response, Rules};

/// By a key that may `admin` on the channel. Fails with 40162 for a token, and with 40160.
pub fn purge(channel: &ChannelName, caller: Caller, form: Form, now_ms: u64) -> Result<Step, ErrorInfo> {
    if !caller.grant().basic {
        return Err(Code::BasicRequired.into());
    }
    channel.refuse_view()?;
    if !caller.grant().permits(channel, Operations::ADMIN) {
        return Err(Code::NotPermitted.because("the capability does not allow to administer this channel"));
    }
    for_operator(channel, &Operator::of(caller, now_ms), form)
}

/// Noted first: what is gone must not have gone by nobody. Fails with 40160 for a metachannel.
pub fn for_operator(channel: &ChannelName, operator: &Operator, form: Form) -> Result<Step, ErrorInfo> {
    channel.owner().refuse_view()?;
    let to = Address { app: operator.id().clone(), channel: channel.owner() };
    let call = ChannelCall { rules: Rules::on(&operator.app, &to.channel), to, request: Request::Purge(None) };
    let note = operator.note("purge", &format!("channel {}", call.to.channel));
    Ok(ask(operator.id(), Act::Note, note, form, move |_| Ok(go_on(call, form))))
}

/// A part of it, and the next, until nothing is left.
fn go_on(call: ChannelCall, form: Form) -> Step {
    form.call_on(call.clone(), move |response| match response {
        Response::Purged(None) => Ok(Step::Reply(Reply::empty())),
        Response::Purged(through) => Ok(go_on(ChannelCall { request: Request::Purge(through), ..call }, form)),
        _ => Err(unanswered()),
    })
}
