//! `POST /messages`: publishes on several channels, each with an outcome of its own (protocol.md § 12.2).
//!
//! All that a batch publishes on one channel goes in one call, so that it keeps its order; the calls go at once.

use serde::Serialize;

use super::caller::Caller;
use super::publish::{self, Receipt};
use super::step::unanswered;
use super::{Step, body};
use crate::auth::Identity;
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::intake::publish::{Checked, check};
use crate::limits::{BATCH_BODY_MAX_BYTES, BATCH_MAX_CHANNELS, BATCH_MAX_MESSAGES};
use crate::model::message::Params;
use crate::model::name::ChannelName;
use crate::model::node::{Node, Wanted};
use crate::protocol::inbound::InboundMessage;
use crate::rpc::{self, Answer, ChannelCall, Publish, Published, Response};

/// The same messages on each of these channels.
#[derive(Default)]
struct Spec {
    channels: Vec<String>,
    messages: Vec<InboundMessage>,
}

impl Spec {
    fn read(node: Node) -> Result<Spec, Wanted> {
        let mut spec = Spec::default();
        let text = |node: Node| node.into_text()?.ok_or("a string");
        let (mut has_channels, mut has_messages) = (false, false);
        for (name, node) in node.into_fields()? {
            match &*name {
                "channels" => (spec.channels, has_channels) = (node.several(BATCH_MAX_CHANNELS, text)?.0, true),
                "messages" => (spec.messages, has_messages) = (InboundMessage::read_several(node)?.0, true),
                _ => {}
            }
        }
        if has_channels && has_messages { Ok(spec) } else { Err("channels and messages") }
    }
}

/// Fails with 40000 when a batch names no channel, too many, or one twice for the same messages; with 40034 when it has
/// too many messages. What is wrong with the messages, or a channel, fails for that channel alone.
pub fn begin(request: &Request, caller: &Caller, form: Form, random: &[u8; 32]) -> Result<Step, ErrorInfo> {
    let read = |node: Node| node.several(BATCH_MAX_CHANNELS, Spec::read);
    let (specs, is_list) = body::decode(request, BATCH_BODY_MAX_BYTES, read)?;
    check_bounds(&specs)?;
    let params = publish::params(request);
    let mut batch = Batch { caller, base: publish::base(random), calls: Vec::new(), publishes: 0 };
    let mut outcomes = Vec::with_capacity(specs.len());
    for spec in specs {
        let checked = checked(spec.messages, &params, caller.identity());
        let place = |channel: String| batch.place(channel, checked.as_ref());
        outcomes.push(spec.channels.into_iter().map(place).collect());
    }
    let pending = Pending { specs: outcomes, is_list, is_flat: is_flat(request) };
    let calls = batch.calls();
    match calls.is_empty() {
        true => Ok(Step::Reply(pending.answered(form, Vec::new()))),
        false => Ok(form.calls(calls, move |answers| Ok(pending.answered(form, answers)))),
    }
}

/// Fails as [`check`] does, and with 40006 for a message on behalf of a connection: that goes alone.
fn checked(messages: Vec<InboundMessage>, params: &Params, identity: &Identity) -> Result<Checked, ErrorInfo> {
    if messages.iter().any(|message| message.connection_key.is_some()) {
        return Err(Code::BadConnectionKey.because("a batch publishes on behalf of no connection"));
    }
    check(messages, params, identity)
}

fn check_bounds(specs: &[Spec]) -> Result<(), ErrorInfo> {
    let channels: usize = specs.iter().map(|spec| spec.channels.len()).sum();
    if specs.iter().any(|spec| spec.channels.is_empty()) || !(1..=BATCH_MAX_CHANNELS).contains(&channels) {
        let bounds =
            format!("a batch names from 1 to {BATCH_MAX_CHANNELS} channels, and at least one for all messages");
        return Err(Code::BadRequest.because(bounds));
    }
    if specs.iter().any(|spec| repeats(&spec.channels)) {
        return Err(Code::BadRequest.because("a batch names a channel twice for the same messages"));
    }
    let messages: usize = specs.iter().map(|spec| spec.messages.len()).sum();
    if messages > BATCH_MAX_MESSAGES {
        return Err(Code::TooManyMessages.because(format!("a batch has at most {BATCH_MAX_MESSAGES} messages")));
    }
    Ok(())
}

pub fn repeats(channels: &[impl AsRef<str>]) -> bool {
    let mut sorted: Vec<&str> = channels.iter().map(AsRef::as_ref).collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// The calls of a batch, as they come together.
struct Batch<'a> {
    caller: &'a Caller,
    base: String,
    calls: Vec<(ChannelName, Vec<Publish>)>,
    publishes: usize,
}

impl Batch<'_> {
    /// Gives the messages their place in the call to a channel, or says why not.
    fn place(&mut self, channel: String, checked: Result<&Checked, &ErrorInfo>) -> Slot {
        let place = self.try_place(&channel, checked);
        Slot { channel, place }
    }

    fn try_place(&mut self, channel: &str, checked: Result<&Checked, &ErrorInfo>) -> Result<Place, ErrorInfo> {
        let name = ChannelName::parse(channel)?;
        self.caller.require_publish(&name)?;
        let checked = checked.map_err(ErrorInfo::clone)?.clone();
        let checked = checked.claimed(self.caller.grant().user_claim(&name).as_ref())?;
        let base = format!("{}.{}", self.base, self.publishes);
        let publish = publish::publish(checked, base, self.caller.grant().source());
        self.caller.require_room(&name, &publish.content)?;
        self.publishes += 1;
        let id = publish.id();
        let call = self.call_to(name.owner());
        let publishes = &mut self.calls[call].1;
        publishes.push(publish);
        Ok(Place { call, index: publishes.len() - 1, id })
    }

    fn call_to(&mut self, channel: ChannelName) -> usize {
        let known = self.calls.iter().position(|(known, _)| *known == channel);
        known.unwrap_or_else(|| {
            self.calls.push((channel, Vec::new()));
            self.calls.len() - 1
        })
    }

    fn calls(self) -> Vec<ChannelCall> {
        let call = |(channel, publishes)| self.caller.call(&channel, rpc::Request::Publish(publishes));
        self.calls.into_iter().map(call).collect()
    }
}

/// A batch that its channels have not answered.
struct Pending {
    specs: Vec<Vec<Slot>>,
    /// Whether the body was a list; then so is the answer.
    is_list: bool,
    /// Whether the client speaks a version whose answer is one flat list.
    is_flat: bool,
}

/// One channel of a spec.
struct Slot {
    channel: String,
    place: Result<Place, ErrorInfo>,
}

/// Where to find the outcome: which call, which publish of it.
struct Place {
    call: usize,
    index: usize,
    id: String,
}

impl Pending {
    fn answered(self, form: Form, answers: Vec<Answer<Response>>) -> Reply {
        let answers: Vec<Answer<Published>> = answers.into_iter().map(|answer| publish::published(answer?)).collect();
        let outcomes = |slots: Vec<Slot>| slots.into_iter().map(|slot| outcome(slot, &answers)).collect();
        let results: Vec<SpecResult> = self.specs.into_iter().map(outcomes).map(SpecResult::of).collect();
        match (self.is_flat, self.is_list) {
            (true, _) => flat(form, results),
            (false, true) => form.created(&results),
            (false, false) => form.created(&results[0]),
        }
    }
}

fn outcome(slot: Slot, answers: &[Answer<Published>]) -> ChannelResult {
    let Slot { channel, place } = slot;
    let receipt = place.and_then(|place| match answers.get(place.call) {
        Some(Ok(published)) => Receipt::of(channel.clone(), place.id, published, place.index),
        Some(Err(error)) => Err(error.clone()),
        None => Err(unanswered()),
    });
    receipt.map_or_else(|error| ChannelResult::Failed { channel, error }, ChannelResult::Published)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpecResult {
    success_count: usize,
    failure_count: usize,
    results: Vec<ChannelResult>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ChannelResult {
    Published(Receipt),
    Failed { channel: String, error: ErrorInfo },
}

impl SpecResult {
    fn of(results: Vec<ChannelResult>) -> SpecResult {
        let failure_count = results.iter().filter(|result| matches!(result, ChannelResult::Failed { .. })).count();
        SpecResult { success_count: results.len() - failure_count, failure_count, results }
    }
}

/// Whether the client reads the answers to batches as they were before version 3. Some of version 2 ask for the newer.
pub fn is_flat(request: &Request) -> bool {
    request.version() <= 2 && request.parameter("newBatchResponse") != Some("true")
}

/// The answer before version 3: any failure fails the whole.
fn flat(form: Form, results: Vec<SpecResult>) -> Reply {
    let failures = results.iter().map(|result| result.failure_count).sum();
    let results: Vec<ChannelResult> = results.into_iter().flat_map(|result| result.results).collect();
    if failures == 0 { form.created(&results) } else { partly_failed(form, failures, &results) }
}

/// The answer before version 3 to a batch of which some failed; its body still says what succeeded.
pub fn partly_failed(form: Form, failures: usize, results: &impl Serialize) -> Reply {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure<'a, R> {
        error: &'a ErrorInfo,
        batch_response: &'a R,
    }
    let error = Code::BatchFailed.because(format!("{failures} of the batch's requests failed"));
    form.failure(&error, vec![], &Failure { error: &error, batch_response: results })
}
