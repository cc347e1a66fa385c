//! `GET /channels/{channel}`: its status (protocol.md § 12.2).
//!
//! To ask for a channel makes it active, so it always is. Nobody counts yet who is on it: the numbers are zero.

use serde::Serialize;

use super::Step;
use super::caller::Caller;
use super::form::Form;
use crate::error::ErrorInfo;
use crate::name::ChannelName;

pub fn begin(channel: &ChannelName, caller: &Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_metadata(channel)?;
    let name = channel.as_str();
    let status = Status { is_active: true, occupancy: Occupancy::default() };
    Ok(Step::Reply(form.ok(&ChannelDetails { channel_id: name, name, status })))
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
    connections: u64,
    presence_connections: u64,
    presence_members: u64,
    presence_subscribers: u64,
    publishers: u64,
    subscribers: u64,
    object_publishers: u64,
    object_subscribers: u64,
}
