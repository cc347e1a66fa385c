//! `POST /pusher/auth` and `/pusher/user-auth`: what a client needs to join a private or presence channel, or to sign
//! in, for who has a token of Courtside, or a key in a local demo.
//!
//! What is signed is good for the key, on that channel and connection, for as long as that connection lives. So it is
//! signed only for who may do there all that the key may.

use serde_json::{Value, json};

use crate::auth::{Key, Operations, Signed};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Request};
use crate::limits::BODY_MAX_BYTES;
use crate::model::name::ChannelName;
use crate::model::node;
use crate::model::presence::is_of_users;
use crate::protocol::pusher::is_socket_id;
use crate::rest::Step;
use crate::rest::barred::Guard;
use crate::rest::body::Body;
use crate::rest::caller::Caller;

/// Fails with 40001 and 40003 for what is not as clients send it, with 40160 when the capability allows less there than
/// the key's does, with 40012 for a presence channel and a client without a name, and with 40300 for one that is
/// banned.
pub fn channel(request: &Request, caller: &Caller, form: Form, guard: Guard) -> Result<Step, ErrorInfo> {
    let fields = Fields::of(request)?;
    let socket_id = fields.socket_id()?;
    let name = fields.text("channel_name")?;
    let channel = ChannelName::parse(name)?;
    let key = key(caller)?;
    for operation in [Operations::SUBSCRIBE, Operations::PUBLISH, Operations::PRESENCE] {
        let may = |capability: &crate::auth::Capability| capability.operations(&channel).contains(operation);
        if may(&key.capability) && !may(&caller.grant().capability) {
            return Err(Code::NotPermitted.because("only who may do here all that the key may is let in by it"));
        }
    }
    caller.require_subscribe(&channel)?;
    let mut answer = json!({});
    let channel_data = is_of_users(&channel).then(|| channel_data(caller, &channel)).transpose()?;
    let signed = Signed::Channel { channel: name, channel_data: channel_data.as_deref() };
    answer["auth"] = key.sign_for_pusher(socket_id, signed).into();
    if let Some(data) = &channel_data {
        answer["channel_data"] = data.as_str().into();
    }
    Ok(guard.admit(form, Some(&channel), Step::Reply(form.ok(&answer))))
}

/// Fails as [`channel`] does.
pub fn user(request: &Request, caller: &Caller, form: Form, guard: Guard) -> Result<Step, ErrorInfo> {
    let fields = Fields::of(request)?;
    let socket_id = fields.socket_id()?;
    let user_data = json!({ "id": user_of(caller)? }).to_string();
    let auth = key(caller)?.sign_for_pusher(socket_id, Signed::User { user_data: &user_data });
    Ok(guard.admit(form, None, Step::Reply(form.ok(&json!({ "auth": auth, "user_data": user_data })))))
}

fn key(caller: &Caller) -> Result<&Key, ErrorInfo> {
    caller.app().key(&caller.grant().key_name).ok_or_else(|| Code::BadCredentials.into())
}

fn user_of(caller: &Caller) -> Result<&str, ErrorInfo> {
    let nobody = || Code::BadClientId.because("the credentials must name a client, who is the user");
    caller.identity().name().ok_or_else(nobody)
}

/// The client, and what the token says of it on that channel.
fn channel_data(caller: &Caller, channel: &ChannelName) -> Result<String, ErrorInfo> {
    let mut data = json!({ "user_id": user_of(caller)? });
    if let Some(claim) = caller.grant().user_claim(channel) {
        data["user_info"] = claim;
    }
    Ok(data.to_string())
}

/// A form, or JSON. What else a client sends is the application's.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(request: &Request) -> Result<Fields, ErrorInfo> {
        let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
        match Body::of(request, BODY_MAX_BYTES)? {
            Body::Form(pairs) => Ok(Fields(pairs)),
            Body::Encoded(_) => {
                let object = node::object_of(&request.body);
                let object = object.ok_or_else(|| Code::BadBody.because("the body must be a form or a JSON object"))?;
                Ok(Fields(object.into_iter().filter_map(text).collect()))
            }
        }
    }

    fn text(&self, name: &str) -> Result<&str, ErrorInfo> {
        let mut found = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let first = found.next().ok_or_else(|| Code::BadBody.because(["'", name, "' must be a text"].concat()))?;
        match found.all(|other| other == first) {
            true => Ok(first),
            false => Err(Code::BadBody.because(["'", name, "' stands more than once"].concat())),
        }
    }

    fn socket_id(&self) -> Result<&str, ErrorInfo> {
        let id = self.text("socket_id")?;
        is_socket_id(id).then_some(id).ok_or_else(|| Code::BadParameter.because("'socket_id' must be a connection's"))
    }
}
