//! What a publish must be, whichever way it comes in: sizes, ids, identities (protocol.md §§ 8.2–8.6).

use serde_json::Value;

use crate::auth::{Identity, Rules};
use crate::error::{Code, ErrorInfo};
use crate::limits::{ENCODING_MAX_BYTES, MESSAGE_ID_MAX_BYTES, PUBLISH_MAX_MESSAGES};
use crate::model::data::claims_delta;
use crate::model::message::Params;
use crate::model::message::{Extras, Message, USER_CLAIM};
use crate::model::size::Size;
use crate::protocol::inbound::InboundMessage;
use crate::rpc::{Publish, Submission};

/// How the names of messages begin that the server itself sends, such as `[meta]occupancy`: clients believe what they
/// say.
const SERVER_NAMES: &str = "[meta]";

/// A publish that may go to its channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    pub messages: Vec<Message>,
    /// The first message's id, when the publisher chose the ids.
    pub id: Option<String>,
}

/// Checks the messages of one publish and makes them what the channel keeps.
///
/// Fails with 40000 (no messages, or an action other than create), 40003 (parameters), 40034 (too many), 40009 (too
/// large), 40012 (clientId), 40013 (data), 40030 (a name that is the server's), 40031 (ids), 40032 (extras), and with
/// 40099 when `_forceNack` asks for it.
pub fn check(messages: Vec<InboundMessage>, params: &Params, identity: &Identity) -> Result<Checked, ErrorInfo> {
    if params.get("_forceNack").is_some_and(|value| value == "true") {
        return Err(Code::ForcedNack.into());
    }
    if messages.is_empty() {
        return Err(Code::BadRequest.because("a publish needs a message"));
    }
    if messages.len() > PUBLISH_MAX_MESSAGES {
        return Err(Code::TooManyMessages.because(format!("a publish has at most {PUBLISH_MAX_MESSAGES} messages")));
    }
    let ephemeral = match params.get("ephemeral").map(String::as_str) {
        Some("true") => true,
        None | Some("" | "false") => false,
        Some(_) => return Err(Code::BadParameter.because("the parameter 'ephemeral' must be 'true' or 'false'")),
    };
    let messages =
        messages.into_iter().map(|message| identified(message, identity, ephemeral)).collect::<Result<Vec<_>, _>>()?;
    all_or_none_ephemeral(&messages)?;
    messages.iter().map(Message::measured).sum::<Size>().check()?;
    let ids: Vec<Option<&str>> = messages.iter().map(|message| message.id.as_deref()).collect();
    Ok(Checked { id: chosen_id(&ids)?, messages })
}

impl Checked {
    /// With what the publisher's token says of it on this channel, which is the only thing that `extras.userClaim` may
    /// say. Fails with 40032 where it says something else, and with 40009 when there is no room for it.
    pub fn claimed(mut self, claim: Option<&Value>) -> Result<Checked, ErrorInfo> {
        for message in &mut self.messages {
            set_claim(&mut message.extras, claim)?;
        }
        self.messages.iter().map(Message::measured).sum::<Size>().check()?;
        Ok(self)
    }
}

/// Gives the messages of a publish the clientId that they get from this identity. Fails as [`check`] does of it.
pub fn attribute(publish: &mut Publish, identity: &Identity) -> Result<(), ErrorInfo> {
    let Submission::Messages(messages) = &mut publish.content else { return Ok(()) };
    for message in messages.iter_mut() {
        message.client_id = identity.for_message(message.client_id.as_deref())?;
    }
    messages.iter().map(Message::measured).sum::<Size>().check()
}

/// See [`Checked::claimed`].
pub fn set_claim(extras: &mut Option<Extras>, claim: Option<&Value>) -> Result<(), ErrorInfo> {
    let stated = extras.as_ref().and_then(|extras| extras.get(USER_CLAIM));
    if stated.is_some() && stated != claim {
        return Err(Code::BadExtras.because("extras.userClaim is what the publisher's token says, and nothing else"));
    }
    if let Some(claim) = claim {
        extras.get_or_insert_default().insert(USER_CLAIM.to_owned(), claim.clone());
    }
    Ok(())
}

/// What a message's extras may hold. Headers are what filters look at, by their names (protocol.md § 8.6); what a name
/// stands for is the publisher's: SDKs write a list that has a hole in it. Fails with 40032 for headers without names,
/// and where it isn't clear whether a message is to be kept.
pub fn check_extras(extras: &mut Extras) -> Result<(), ErrorInfo> {
    // What a server says of a message that it gave out as a delta, and who gives it back doesn't mean.
    extras.remove("delta");
    match extras.get("headers") {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(_) => return Err(Code::BadExtras.because("extras.headers must be an object")),
    }
    match extras.get("ephemeral") {
        None | Some(Value::Null | Value::Bool(_)) => Ok(()),
        Some(_) => Err(Code::BadExtras.because("extras.ephemeral must be true or false")),
    }
}

/// Whether what a client says is small enough where its namespace allows less. Fails with 40009.
pub fn check_rules(content: &Submission, rules: &Rules) -> Result<(), ErrorInfo> {
    let Some(max_bytes) = rules.max_message_size else { return Ok(()) };
    let bytes = match content {
        Submission::Messages(messages) => messages.iter().map(|message| message.measured().said).sum(),
        Submission::Presence { updates, .. } => updates.iter().map(|update| update.event.measured().said).sum(),
        Submission::Operation(operation) => operation.patch.data.len(),
        Submission::ConnectionOutcome { .. } | Submission::Objects(_) | Submission::Annotations { .. } => 0,
    };
    match bytes as u64 > max_bytes {
        false => Ok(()),
        true => {
            Err(Code::TooLarge.because(format!("this channel takes at most {max_bytes} bytes at once, not {bytes}")))
        }
    }
}

fn identified(message: InboundMessage, identity: &Identity, ephemeral: bool) -> Result<Message, ErrorInfo> {
    bound_texts(&message)?;
    check_name(message.name.as_deref())?;
    let client_id = identity.for_message(message.client_id.as_deref())?;
    let mut message = message.into_message()?;
    message.extras.as_mut().map(check_extras).transpose()?;
    if ephemeral {
        message.extras.get_or_insert_default().insert("ephemeral".to_owned(), true.into());
    }
    Ok(Message { client_id, ..message })
}

/// Fails with 40030 for a name that is the server's.
pub fn check_name(name: Option<&str>) -> Result<(), ErrorInfo> {
    if name.is_some_and(|name| name.starts_with(SERVER_NAMES)) {
        let why = format!("a message's name must not begin with '{SERVER_NAMES}': such messages are the server's own");
        return Err(Code::BadPublish.because(why));
    }
    Ok(())
}

/// The texts that a message's size does not count.
fn bound_texts(message: &InboundMessage) -> Result<(), ErrorInfo> {
    let is_over = |text: &Option<String>, max: usize| text.as_ref().is_some_and(|text| text.len() > max);
    if is_over(&message.id, MESSAGE_ID_MAX_BYTES) {
        return Err(Code::BadMessageId.because(format!("a message id has at most {MESSAGE_ID_MAX_BYTES} bytes")));
    }
    check_encoding(message.encoding.as_deref())
}

/// Fails with 40013 for an encoding that is too long, and for one that only this server may give: a delta that does not
/// follow from what its reader has fails the reader's whole channel.
pub fn check_encoding(encoding: Option<&str>) -> Result<(), ErrorInfo> {
    let encoding = encoding.unwrap_or_default();
    if encoding.len() > ENCODING_MAX_BYTES {
        return Err(Code::BadData.because(format!("an encoding has at most {ENCODING_MAX_BYTES} bytes")));
    }
    if claims_delta(encoding) {
        return Err(
            Code::BadData.because("deltas are made by the server: an encoding that is published has no 'vcdiff'")
        );
    }
    Ok(())
}

fn all_or_none_ephemeral(messages: &[Message]) -> Result<(), ErrorInfo> {
    let first = messages[0].is_ephemeral();
    match messages.iter().all(|message| message.is_ephemeral() == first) {
        true => Ok(()),
        false => Err(Code::BadExtras.because("either all messages of a publish are ephemeral or none")),
    }
}

/// Ids that publishers choose identify the whole publish, so each must be the same base with the message's index. A
/// lone message may have any id.
pub fn chosen_id(ids: &[Option<&str>]) -> Result<Option<String>, ErrorInfo> {
    let [first, rest @ ..] = ids else { return Ok(None) };
    if rest.is_empty() {
        return Ok(first.map(str::to_owned));
    }
    let Some(first) = first else {
        return if rest.iter().all(Option::is_none) { Ok(None) } else { Err(bad_ids()) };
    };
    let base = first.strip_suffix(":0").ok_or_else(bad_ids)?;
    let follows = |(index, id): (usize, &Option<&str>)| *id == Some(&format!("{base}:{index}"));
    if ids.iter().enumerate().all(follows) { Ok(Some((*first).to_owned())) } else { Err(bad_ids()) }
}

fn bad_ids() -> ErrorInfo {
    Code::BadMessageId.because("the ids of a publish of several messages must be <base>:<index> with one base")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::limits::{CLIENT_ID_MAX_BYTES, MESSAGE_MAX_BYTES, SPEAKERS_MAX_BYTES};
    use crate::model::data::{Data, Payload};

    fn with_id(id: Option<&str>) -> InboundMessage {
        InboundMessage { id: id.map(str::to_owned), ..InboundMessage::default() }
    }

    fn checked(ids: &[Option<&str>]) -> Result<Option<String>, ErrorInfo> {
        let messages = ids.iter().map(|id| with_id(*id)).collect();
        check(messages, &Params::default(), &Identity::Anonymous).map(|checked| checked.id)
    }

    #[test]
    fn ids_have_one_base_and_their_index() {
        assert_eq!(checked(&[Some("any")]).unwrap(), Some("any".into()));
        assert_eq!(checked(&[Some("b:0"), Some("b:1")]).unwrap(), Some("b:0".into()));
        assert_eq!(checked(&[None, None]).unwrap(), None);
        for bad in [
            &[Some("b:0"), Some("b:2")][..],
            &[Some("b:1"), Some("b:0")],
            &[Some("a:0"), Some("b:1")],
            &[Some("b:0"), None],
            &[None, Some("b:1")],
            &[Some("b"), Some("b")],
        ] {
            assert!(checked(bad).unwrap_err().is(Code::BadMessageId), "{bad:?}");
        }
    }

    #[test]
    fn nobody_publishes_as_the_server() {
        let named = |name: &str| {
            let message = InboundMessage { name: Some(name.to_owned()), ..InboundMessage::default() };
            check(vec![with_id(None), message], &Params::default(), &Identity::Wildcard)
        };
        for name in ["[meta]occupancy", "[meta]", "[meta]anything"] {
            assert!(named(name).unwrap_err().is(Code::BadPublish), "{name}");
        }
        for name in ["meta", "a[meta]occupancy", "[Meta]x", "[x]", "", "chat.message"] {
            assert!(named(name).is_ok(), "{name}");
        }
    }

    fn with_extra(name: &str, value: Value) -> Result<Checked, ErrorInfo> {
        let message = InboundMessage { extras: Some(json!({ name: value })), ..InboundMessage::default() };
        check(vec![message], &Params::default(), &Identity::Anonymous)
    }

    #[test]
    fn ephemeral_is_said_by_true_or_false() {
        for good in [json!(true), json!(false), Value::Null] {
            assert!(with_extra("ephemeral", good.clone()).is_ok(), "{good}");
        }
        for bad in [json!("true"), json!(1), json!([]), json!({})] {
            assert!(with_extra("ephemeral", bad.clone()).unwrap_err().is(Code::BadExtras), "{bad}");
        }
    }

    #[test]
    fn headers_are_an_object() {
        let with = |headers: Value| with_extra("headers", headers);
        for good in [json!({}), json!({"a": "b", "c": 1.5, "d": [null]}), Value::Null] {
            assert!(with(good.clone()).is_ok(), "{good}");
        }
        for bad in [json!([]), json!("a"), json!(1), json!(true)] {
            assert!(with(bad.clone()).unwrap_err().is(Code::BadExtras), "{bad}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let of = |bytes: usize| InboundMessage {
            data: Payload::Plain(Data::Text("x".repeat(bytes))),
            ..InboundMessage::default()
        };
        assert!(check(vec![of(MESSAGE_MAX_BYTES)], &Params::default(), &Identity::Anonymous).is_ok());
        let over = check(vec![of(MESSAGE_MAX_BYTES), of(1)], &Params::default(), &Identity::Anonymous);
        assert!(over.unwrap_err().is(Code::TooLarge));
        let many = check(vec![of(0); PUBLISH_MAX_MESSAGES + 1], &Params::default(), &Identity::Anonymous);
        assert!(many.unwrap_err().is(Code::TooManyMessages));
        assert!(check(vec![], &Params::default(), &Identity::Anonymous).unwrap_err().is(Code::BadRequest));
    }

    #[test]
    fn who_says_it_has_room_of_its_own() {
        let of = |bytes: usize| InboundMessage {
            data: Payload::Plain(Data::Text("x".repeat(bytes))),
            ..InboundMessage::default()
        };
        let longest = Identity::Named("a".repeat(CLIENT_ID_MAX_BYTES).into());
        assert!(check(vec![of(MESSAGE_MAX_BYTES)], &Params::default(), &longest).is_ok());
        let most = SPEAKERS_MAX_BYTES / CLIENT_ID_MAX_BYTES;
        assert!(check(vec![of(1); most], &Params::default(), &longest).is_ok());
        assert!(check(vec![of(1); most + 1], &Params::default(), &longest).unwrap_err().is(Code::TooLarge));
    }

    #[test]
    fn what_sizes_do_not_count_is_bounded_too() {
        let of = |message: InboundMessage| check(vec![message], &Params::default(), &Identity::Anonymous);
        let text = |bytes: usize| Some("x".repeat(bytes));
        let longest = InboundMessage {
            id: text(MESSAGE_ID_MAX_BYTES),
            encoding: text(ENCODING_MAX_BYTES),
            ..InboundMessage::default()
        };
        assert!(of(longest).is_ok());
        let id = InboundMessage { id: text(MESSAGE_ID_MAX_BYTES + 1), ..InboundMessage::default() };
        assert!(of(id).unwrap_err().is(Code::BadMessageId));
        let encoding = InboundMessage { encoding: text(ENCODING_MAX_BYTES + 1), ..InboundMessage::default() };
        assert!(of(encoding).unwrap_err().is(Code::BadData));
    }

    #[test]
    fn nobody_publishes_a_delta() {
        let of = |encoding: &str| {
            let message = InboundMessage { encoding: Some(encoding.to_owned()), ..InboundMessage::default() };
            check(vec![message], &Params::default(), &Identity::Anonymous)
        };
        for bad in ["vcdiff", "utf-8/vcdiff", "json/utf-8/vcdiff/base64", "vcdiff+x", "$vcdiff", "VCDIFF", "x-vcdiff"] {
            assert!(of(bad).unwrap_err().is(Code::BadData), "{bad}");
        }
        for good in ["", "json", "utf-8/cipher+aes-128-cbc", "cipher+aes-256-cbc/base64", "custom"] {
            assert!(of(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_claim_is_the_tokens_and_nobody_elses() {
        let of = |extras: Option<serde_json::Value>| {
            let message = InboundMessage { extras, ..InboundMessage::default() };
            check(vec![message], &Params::default(), &Identity::Anonymous).unwrap()
        };
        let extras = |checked: Checked| serde_json::to_value(&checked.messages[0].extras).unwrap();
        let stated = |claim: serde_json::Value| Some(serde_json::json!({"userClaim": claim}));
        let host = serde_json::Value::from("host");
        let given = of(None).claimed(Some(&host)).unwrap();
        assert_eq!(extras(given), serde_json::json!({"userClaim": "host"}));
        let beside = of(Some(serde_json::json!({"headers": {}}))).claimed(Some(&host)).unwrap();
        assert_eq!(extras(beside), serde_json::json!({"headers": {}, "userClaim": "host"}));
        assert_eq!(extras(of(None).claimed(None).unwrap()), serde_json::Value::Null);
        assert!(of(stated(host.clone())).claimed(Some(&host)).is_ok());
        for (claimed, claim) in [("fan".into(), Some(&host)), (host.clone(), None), (1.into(), None), (().into(), None)]
        {
            assert!(of(stated(claimed)).claimed(claim).unwrap_err().is(Code::BadExtras));
        }
        let full = InboundMessage {
            data: Payload::Plain(Data::Text("x".repeat(MESSAGE_MAX_BYTES))),
            ..InboundMessage::default()
        };
        let full = check(vec![full], &Params::default(), &Identity::Anonymous).unwrap();
        assert!(full.claimed(Some(&host)).is_ok(), "it was not the publisher's to count");
    }

    #[test]
    fn a_publish_may_ask_to_be_refused() {
        let params = Params::from([("_forceNack".to_owned(), "true".to_owned())]);
        assert!(check(vec![with_id(None)], &params, &Identity::Anonymous).unwrap_err().is(Code::ForcedNack));
    }

    #[test]
    fn a_publish_is_ephemeral_or_not() {
        let asked = |text: &str| {
            let params = Params::from([("ephemeral".to_owned(), text.to_owned())]);
            check(vec![with_id(None)], &params, &Identity::Anonymous).map(|checked| checked.messages[0].is_ephemeral())
        };
        assert_eq!([asked("true"), asked("false"), asked("")], [Ok(true), Ok(false), Ok(false)]);
        assert!(asked("yes").unwrap_err().is(Code::BadParameter));
    }

    #[test]
    fn ephemeral_is_all_or_none() {
        let ephemeral =
            InboundMessage { extras: Some(serde_json::json!({"ephemeral": true})), ..InboundMessage::default() };
        let mixed = check(vec![ephemeral, with_id(None)], &Params::default(), &Identity::Anonymous);
        assert!(mixed.unwrap_err().is(Code::BadExtras));
        let params = Params::from([("ephemeral".to_owned(), "true".to_owned())]);
        assert!(check(vec![with_id(None)], &params, &Identity::Anonymous).unwrap().messages[0].is_ephemeral());
    }
}
