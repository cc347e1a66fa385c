//! `POST` and `GET /channels/{channel}/messages/{serial}/annotations`, and `GET …/client-summary`: what is said of a
//! message (protocol.md § 18).

use super::caller::Caller;
use super::history::{damaged, limit, picked};
use super::page::{Cursor, Links, bad_cursor};
use super::publish::{base, receipt};
use super::step::unanswered;
use super::{Step, body};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::intake::annotation::{check, epoch};
use crate::limits::BODY_MAX_BYTES;
use crate::model::annotation::SummaryCounts;
use crate::model::name::ChannelName;
use crate::protocol::inbound::InboundAnnotation;
use crate::protocol::outbound::page_annotation;
use crate::rpc::{self, AnnotationsQuery, Publish, PublishKey, Response, Submission};

/// Fails with 40160 (capability), and as [`check`] does.
pub fn publish(
    request: &Request,
    channel: &ChannelName,
    serial: &str,
    caller: &Caller,
    form: Form,
    random: &[u8; 32],
) -> Result<Step, ErrorInfo> {
    caller.require_annotate(channel)?;
    let (annotations, is_list) = body::decode(request, BODY_MAX_BYTES, InboundAnnotation::read_several)?;
    if !is_list {
        return Err(Code::BadRequest.because("the body is a list of annotations"));
    }
    if annotations.iter().any(|annotation| annotation.connection_key.is_some()) {
        return Err(Code::BadRequest.because("annotations cannot be published on behalf of a connection"));
    }
    let claim = caller.grant().user_claim(channel);
    let checked = check(annotations, Some(serial), caller.identity(), claim.as_ref())?;
    let key = checked.id.map_or_else(|| PublishKey::Request(base(random)), PublishKey::Id);
    let content = Submission::Annotations { message: checked.message, annotations: checked.annotations };
    let publish = Publish { key, connection_id: None, by: caller.grant().source(), content };
    let receipt = receipt(channel, &publish, form);
    Ok(form.call(caller.call(channel, rpc::Request::Publish(vec![publish])), receipt))
}

/// Fails with 40160 (capability), and with 40003 for what is no serial, limit or cursor.
pub fn begin(
    request: &Request,
    channel: &ChannelName,
    serial: &str,
    caller: &Caller,
    form: Form,
) -> Result<Step, ErrorInfo> {
    caller.require_annotations(channel)?;
    let cursor = request.parameter("cursor").map(Cursor::parse).transpose()?;
    let after = cursor.as_ref().map(|cursor| (cursor.position, cursor.index));
    let epoch = epoch(serial)?;
    if cursor.is_some_and(|cursor| cursor.epoch != epoch) {
        return Err(bad_cursor());
    }
    let query = AnnotationsQuery { message: serial.to_owned(), after, limit: limit(request)? };
    let links = Links::of(request, "annotations", &[]);
    let call = caller.call(channel, rpc::Request::Annotations(query));
    Ok(form.call(call, move |response| page(&links, form, response)))
}

fn page(links: &Links, form: Form, response: Response) -> Result<Reply, ErrorInfo> {
    let Response::History(page) = response else { return Err(unanswered()) };
    let entries = page.entries.entries().map_err(|_| damaged())?;
    let next = page.next.map(|(position, index)| Cursor { position, index, epoch: page.epoch.clone() }.text());
    let picked = picked(&page.slices, &entries, true).ok_or_else(damaged)?;
    let render = |(entry, index)| page_annotation(entry, index, &page.epoch, form.format);
    Ok(form.page(&picked.into_iter().filter_map(render).collect::<Vec<_>>(), links.header(next)))
}

/// Fails with 40160 (capability), with 40003 for what is no serial, and with 40012 when nobody, or everybody, is asked
/// about.
pub fn client_summary(
    request: &Request,
    channel: &ChannelName,
    serial: &str,
    caller: &Caller,
    form: Form,
) -> Result<Step, ErrorInfo> {
    caller.require_subscribe(channel)?;
    let client_id = caller.client_asked_for(request)?;
    epoch(serial)?;
    let call = caller.call(channel, rpc::Request::ClientSummary(serial.to_owned(), client_id.to_owned()));
    Ok(form.call(call, move |response| match response {
        Response::ClientSummary(SummaryCounts { by_type }) => Ok(form.ok(&by_type.unwrap_or_default())),
        _ => Err(unanswered()),
    }))
}
