//! What a request's body says: JSON, msgpack or a form, by its content type.

use serde_json::Value;

use crate::error::{Code, ErrorInfo};
use crate::http::{Request, of_media_type, percent};
use crate::limits::BODY_MAX_BYTES;
use crate::model::Format;
use crate::model::data::{Data, Payload};
use crate::model::node::{self, Node, Wanted};
use crate::protocol::inbound::{InboundMessage, wrong};

pub enum Body {
    Encoded(Format),
    /// What curl and HTML forms send.
    Form(Vec<(String, String)>),
}

impl Body {
    /// Fails as [`bounded`] does, and with 40001 when the type is unknown, or a form is not encoded as one.
    pub fn of(request: &Request, max_bytes: usize) -> Result<Body, ErrorInfo> {
        bounded(request, max_bytes)?;
        match request.media_type() {
            // What a browser says of a text that its page didn't say anything of.
            "" | "text/plain" => Ok(Body::Encoded(Format::Json)),
            form if form.eq_ignore_ascii_case("application/x-www-form-urlencoded") => pairs(&request.body),
            other => of_media_type(other).map(Body::Encoded).ok_or_else(|| {
                Code::BadBody.because("the content type must be JSON, application/x-msgpack or a URL-encoded form")
            }),
        }
    }
}

/// A body is read as it comes: what is compressed would have to be bounded while it is inflated. Fails with 40001, and
/// the status 415.
pub fn check_coding(content_encoding: Option<&str>) -> Result<(), ErrorInfo> {
    match content_encoding.map(str::trim) {
        None | Some("") => Ok(()),
        Some(coding) if coding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => {
            let text = "compressed bodies are not accepted; send it without Content-Encoding";
            Err(ErrorInfo { status_code: 415, ..Code::BadBody.because(text) })
        }
    }
}

/// Fails with 40009 when the body is too long, and as [`check_coding`] does.
pub fn bounded(request: &Request, max_bytes: usize) -> Result<&[u8], ErrorInfo> {
    check_coding(request.headers.content_encoding.as_deref())?;
    match request.body.len() <= max_bytes {
        true => Ok(&request.body),
        false => Err(Code::TooLarge.because(format!("the body of this request has at most {max_bytes} bytes"))),
    }
}

fn pairs(body: &[u8]) -> Result<Body, ErrorInfo> {
    let decoded = std::str::from_utf8(body).ok().and_then(percent::decode_pairs);
    decoded.map(Body::Form).ok_or_else(|| Code::BadBody.because("the form is not URL-encoded UTF-8"))
}

/// What `read` makes of a body that forms cannot express. Fails as [`Body::of`] does, and with 40001 when it cannot be
/// decoded or is not what `read` wants.
pub fn decode<T>(
    request: &Request,
    max_bytes: usize,
    read: impl FnOnce(Node) -> Result<T, Wanted>,
) -> Result<T, ErrorInfo> {
    match Body::of(request, max_bytes)? {
        Body::Encoded(format) => decoded(request, format, read),
        Body::Form(_) => Err(Code::BadBody.because("this request's body cannot be a form; set its Content-Type")),
    }
}

/// The same of a body whose format is known.
pub fn decoded<T>(
    request: &Request,
    format: Format,
    read: impl FnOnce(Node) -> Result<T, Wanted>,
) -> Result<T, ErrorInfo> {
    read(node::read(&request.body, format)?).map_err(|wanted| wrong(format, wanted))
}

/// Any value that JSON has, in either format. Fails as [`decode`] does.
pub fn value(request: &Request) -> Result<Value, ErrorInfo> {
    decode(request, BODY_MAX_BYTES, |node| node.into_value())
}

/// The messages of a publish: one, or a list; a form is one. Fails as [`decode`] does, with 40001 for a field of a form
/// that no message has or that stands twice, and with 40032 for a form whose extras are not JSON.
pub fn messages(request: &Request, max_bytes: usize) -> Result<Vec<InboundMessage>, ErrorInfo> {
    match Body::of(request, max_bytes)? {
        Body::Encoded(format) => decoded(request, format, InboundMessage::read_several).map(|(messages, _)| messages),
        Body::Form(pairs) => Ok(vec![message(pairs)?]),
    }
}

/// The fields that a message has in a form.
const FIELDS: [&str; 7] = ["name", "data", "encoding", "id", "clientId", "connectionKey", "extras"];

/// No field of a form is passed over: unlike JSON it comes from no SDK, which may know more of them than this server.
fn message(pairs: Vec<(String, String)>) -> Result<InboundMessage, ErrorInfo> {
    let is_known = |name: &str| FIELDS.contains(&name);
    // curl calls any body a form unless told otherwise; JSON would come to an empty message.
    if !pairs.iter().any(|(name, _)| is_known(name)) {
        return Err(Code::BadBody.because("the form has no field of a message; set the Content-Type if it is JSON"));
    }
    for (index, (name, _)) in pairs.iter().enumerate() {
        if !is_known(name) {
            let fields = FIELDS.join(", ");
            return Err(Code::BadBody.because(format!("the form has fields that no message has; it may have {fields}")));
        }
        if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(Code::BadBody.because(format!("the form has the field '{name}' more than once")));
        }
    }
    let mut message = InboundMessage::default();
    for (name, value) in pairs {
        match name.as_str() {
            "name" => message.name = Some(value),
            "data" => message.data = Payload::Plain(Data::Text(value)),
            "encoding" => message.encoding = Some(value),
            "id" => message.id = Some(value),
            "clientId" => message.client_id = Some(value),
            "connectionKey" => message.connection_key = Some(value),
            "extras" => message.extras = Some(extras(&value)?),
            _ => {}
        }
    }
    Ok(message)
}

fn extras(json: &str) -> Result<Value, ErrorInfo> {
    let wrong = |why: &str| Code::BadExtras.because(format!("the extras of a form must be JSON: {why}"));
    let node = node::from_json(json.as_bytes()).map_err(|_| wrong("these are none"))?;
    node.into_value().map_err(wrong)
}
