//! `GET /channels/{channel}`: its status (protocol.md § 12.2).
//!
//! To ask for a channel makes it active, so it always is. The channel knows who is present; nobody counts yet who else is
//! on it: those numbers are zero.

use serde::Serialize;

use super::caller::Caller;
use super::form::Form;
use super::{Exchange, Reply, Step, unanswered};
use crate::call::{self, Answer, Response};
use crate::error::ErrorInfo;
use crate::name::ChannelName;

pub fn begin(channel: &ChannelName, caller: &Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_metadata(channel)?;
    let pending = super::Pending::Status(Pending { name: channel.to_string() });
    Ok(Step::Calls(vec![caller.call(channel, call::Request::Count)], Exchange { form, pending }))
}

/// A status that its channel has not given.
pub struct Pending {
    name: String,
}

impl Pending {
    pub fn answered(self, form: Form, answer: Answer<Response>) -> Result<Reply, ErrorInfo> {
        let Response::Counts(counts) = answer? else { return Err(unanswered()) };
        let metrics = Metrics {
            presence_connections: counts.connections,
            presence_members: counts.members,
            ..Metrics::default()
        };
        let status = Status { is_active: true, occupancy: Occupancy { metrics } };
        Ok(form.ok(&ChannelDetails { channel_id: &self.name, name: &self.name, status }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChannelDetails<'a> {
    channel_id: &'a str,
    name: &'a str,
    status: Status,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    is_active: bool,
    occupancy: Occupancy,
}

#[derive(Default, Serialize)]
struct Occupancy {
    metrics: Metrics,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    connections: usize,
    presence_connections: usize,
    presence_members: usize,
    presence_subscribers: usize,
    publishers: usize,
    subscribers: usize,
    object_publishers: usize,
    object_subscribers: usize,
}
