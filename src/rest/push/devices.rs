//! `/push/deviceRegistrations` (protocol.md § 20.2).

use serde_json::{Map, Value};

use super::{Asker, PURPOSE, ask, ask_as, ask_done, limit, new_device_token, not_permitted, paged};
use crate::auth::Operations;
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Request};
use crate::push::{Device, DevicePatch, device, hash};
use crate::rest::page::Links;
use crate::rest::step::another_answer;
use crate::rest::{Context, Step, body};
use crate::rpc::{DevicesQuery, PushRequest, PushResponse};

const CARRIED: [&str; 3] = ["deviceId", "clientId", "state"];

/// Registers a device, lists those there are, or removes those of a filter.
pub fn many(request: &Request, asker: Asker, form: Form, context: &Context<'_>) -> Result<Step, ErrorInfo> {
    match request.method.as_str() {
        "POST" => register(request, &asker, form, context),
        "DELETE" => remove(request, &asker, form),
        _ => list(request, asker, form),
    }
}

/// Fails as the app does: with 40160 for a client that names another client as the device's.
fn register(request: &Request, asker: &Asker, form: Form, context: &Context<'_>) -> Result<Step, ErrorInfo> {
    let by = asker.of_devices();
    let caller = asker.caller.as_ref().filter(|_| by.is_admin || asker.has(Operations::PUSH_SUBSCRIBE));
    let caller = caller.ok_or_else(|| not_permitted("register a device"))?;
    let mut device = Device::read(&body::value(request)?, None)?;
    let token = new_device_token(&asker.app, &context.random);
    device.token = Some(hash(&token));
    let mut details = Map::new();
    details.insert("token".to_owned(), token.into());
    details.insert("keyName".to_owned(), caller.grant().key_name.to_string().into());
    details.insert("issued".to_owned(), context.now_ms.into());
    details.insert("capability".to_owned(), caller.grant().capability.text().into());
    details.insert("deviceId".to_owned(), device.id.as_str().into());
    details.extend(device.client_id.as_deref().map(|id| ("clientId".to_owned(), id.into())));
    Ok(ask(asker, PushRequest::Register(by, device), form, move |response| {
        let mut device = shown(response, false)?;
        device.insert("deviceIdentityToken".to_owned(), Value::Object(details));
        Ok(form.created(&Value::Object(device)))
    }))
}

/// Reads, saves, changes or removes one.
pub fn one(request: &Request, id: &str, asker: &Asker, form: Form) -> Result<Step, ErrorInfo> {
    let (by, id) = (asker.of_devices(), device::check_id(id)?.to_owned());
    let asked = match request.method.as_str() {
        "PUT" => PushRequest::Save(by, Device::read(&body::value(request)?, Some(&id))?),
        "PATCH" => PushRequest::Patch(by, id, DevicePatch::read(&body::value(request)?)?),
        "DELETE" => {
            let query = DevicesQuery { device_id: Some(id), ..DevicesQuery::default() };
            return Ok(ask_done(asker, PushRequest::Remove(by, query), form));
        }
        _ => PushRequest::Device(by, id),
    };
    // Who asks for a device's secret may know it. Who changes it has it.
    let with_secret = matches!(asked, PushRequest::Device(..));
    Ok(ask(asker, asked, form, move |response| {
        shown(response, with_secret).map(|device| form.ok(&Value::Object(device)))
    }))
}

/// Another identity token in the place of the one before.
pub fn renew(id: String, asker: &Asker, form: Form, context: &Context<'_>) -> Result<Step, ErrorInfo> {
    let token = new_device_token(&asker.app, &context.random);
    let asked = PushRequest::Renew(asker.of_devices(), id, hash(&token));
    Ok(ask(asker, asked, form, move |response| {
        let mut device = shown(response, false)?;
        let details = Map::from_iter([("token".to_owned(), token.into())]);
        device.insert("deviceIdentityToken".to_owned(), Value::Object(details));
        Ok(form.ok(&Value::Object(device)))
    }))
}

fn shown(response: PushResponse, with_secret: bool) -> Result<Map<String, Value>, ErrorInfo> {
    match response {
        PushResponse::Device(device) => Ok(device.to_json(with_secret)),
        _ => Err(another_answer()),
    }
}

fn list(request: &Request, asker: Asker, form: Form) -> Result<Step, ErrorInfo> {
    let caller = asker.require_admin()?;
    let (limit, after) = (limit(request)?, caller.after(PURPOSE, request)?.unwrap_or_default());
    // One more tells whether another page follows.
    let query = DevicesQuery { after, limit: limit + 1, ..filter(request)? };
    let links = Links::of(request, "deviceRegistrations", &CARRIED);
    Ok(ask_as(asker, PushRequest::Devices(query), form, move |caller, response| {
        let PushResponse::Devices(found) = response else { return Err(another_answer()) };
        let (page, next) = paged(found, limit, caller, |device| device.id.clone());
        let page = page.iter().map(|device| Value::Object(device.to_json(false))).collect();
        Ok(form.page(&Value::Array(page), links.header(next)))
    }))
}

/// Fails with 40000 without a filter: that would be all devices.
fn remove(request: &Request, asker: &Asker, form: Form) -> Result<Step, ErrorInfo> {
    let query = filter(request)?;
    if query.device_id.is_none() && query.client_id.is_none() {
        return Err(device::bad("name the 'deviceId' or the 'clientId' of the devices to remove"));
    }
    let by = asker.of_devices();
    if !by.is_admin && by.proof.is_none() {
        return Err(not_permitted("remove devices"));
    }
    Ok(ask_done(asker, PushRequest::Remove(by, query), form))
}

fn filter(request: &Request) -> Result<DevicesQuery, ErrorInfo> {
    let value = |name: &str| request.parameter(name).map(str::to_owned);
    let state = value("state").map(|state| state.to_ascii_uppercase());
    if state.as_deref().is_some_and(|state| !["ACTIVE", "FAILING", "FAILED"].contains(&state)) {
        return Err(Code::BadParameter.because("'state' must be ACTIVE, FAILING or FAILED"));
    }
    Ok(DevicesQuery { device_id: value("deviceId"), client_id: value("clientId"), state, ..DevicesQuery::default() })
}
