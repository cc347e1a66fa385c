//! A publish with `enveloped=false`: the body is the data, as a webhook sends it, and headers or the query say the
//! rest.
//!
//! What the body is depends on its type: JSON and msgpack are the value that they encode, text and forms are text, and
//! everything else is bytes.

use super::body;
use crate::error::{Code, ErrorInfo};
use crate::http::{Request, of_media_type};
use crate::limits::BODY_MAX_BYTES;
use crate::model::Format;
use crate::model::data::{Data, Payload};
use crate::model::node;
use crate::protocol::inbound::InboundMessage;

/// What a message has besides its data, by a header or by a parameter.
struct Field<'a> {
    header: (&'static str, Option<&'a str>),
    parameter: (&'static str, Option<&'a str>),
}

/// The messages of a publish, whichever way it is written. Fails as [`body::messages`] does; with 40013 for JSON in
/// another encoding than `json`; with 40003 when a header and a parameter contradict each other, and when either says
/// something of a message that the body itself describes.
pub fn messages(request: &Request) -> Result<Vec<InboundMessage>, ErrorInfo> {
    let [id, name, encoding, connection_key] = fields(request);
    let client_id = request.parameter("clientId");
    if request.parameter("enveloped") != Some("false") {
        let stray =
            [id, name, encoding, connection_key].iter().find_map(Field::stated).or(client_id.and(Some("clientId")));
        return match stray {
            Some(stray) => {
                Err(Code::BadParameter.because([stray, " has an effect only with 'enveloped=false'"].concat()))
            }
            None => body::messages(request, BODY_MAX_BYTES),
        };
    }
    let (data, encoding) = content(request, encoding.value()?)?;
    Ok(vec![InboundMessage {
        id: id.value()?,
        name: name.value()?,
        data,
        encoding,
        client_id: client_id.map(str::to_owned),
        connection_key: connection_key.value()?,
        ..InboundMessage::default()
    }])
}

/// Id, name, encoding and connection key. A clientId has no header here: `X-Ably-ClientId` names who asks, on any
/// request.
fn fields(request: &Request) -> [Field<'_>; 4] {
    let headers = &request.headers;
    [
        ("X-Ably-MessageId", &headers.x_ably_messageid, "messageId"),
        ("X-Ably-Name", &headers.x_ably_name, "name"),
        ("X-Ably-Encoding", &headers.x_ably_encoding, "encoding"),
        ("X-Ably-ConnectionKey", &headers.x_ably_connectionkey, "connectionKey"),
    ]
    .map(|(header, value, parameter)| Field {
        header: (header, value.as_deref().filter(|value| !value.is_empty())),
        parameter: (parameter, request.parameter(parameter)),
    })
}

impl Field<'_> {
    fn value(&self) -> Result<Option<String>, ErrorInfo> {
        match (self.header.1, self.parameter.1) {
            (Some(header), Some(parameter)) if header != parameter => {
                Err(Code::BadParameter.because([self.header.0, " and '", self.parameter.0, "' contradict"].concat()))
            }
            (header, parameter) => Ok(header.or(parameter).map(str::to_owned)),
        }
    }

    /// Where it says something.
    fn stated(&self) -> Option<&'static str> {
        [self.header, self.parameter].into_iter().find_map(|(place, value)| value.and(Some(place)))
    }
}

/// The data, and how it is encoded.
fn content(request: &Request, encoding: Option<String>) -> Result<(Payload, Option<String>), ErrorInfo> {
    let bytes = body::bounded(request, BODY_MAX_BYTES)?;
    let media_type = request.media_type();
    if of_media_type(media_type) == Some(Format::Msgpack) {
        return Ok((body::decoded(request, Format::Msgpack, |node| node.try_into())?, encoding));
    }
    if is_json(media_type) {
        // It stays as it was written: so a number is as good as an object.
        node::value_of(bytes).map_err(|_| Code::BadBody.because("the body is not JSON"))?;
        return match encoding.as_deref() {
            None | Some("json") => Ok((text(bytes)?, Some("json".to_owned()))),
            Some(_) => Err(Code::BadData.because("a body of JSON has the encoding 'json'")),
        };
    }
    match is_text(media_type) {
        true => Ok((text(bytes)?, encoding)),
        false => Ok((Payload::Plain(Data::Binary(bytes.to_vec())), encoding)),
    }
}

fn is_json(media_type: &str) -> bool {
    media_type.eq_ignore_ascii_case("application/json") || media_type.to_ascii_lowercase().ends_with("+json")
}

/// curl calls any body a form unless told otherwise.
fn is_text(media_type: &str) -> bool {
    let lower = media_type.to_ascii_lowercase();
    lower.starts_with("text/") || lower == "application/x-www-form-urlencoded"
}

fn text(bytes: &[u8]) -> Result<Payload, ErrorInfo> {
    let text = std::str::from_utf8(bytes).map_err(|_| Code::BadBody.because("the body is not text in UTF-8"))?;
    Ok(Payload::Plain(Data::Text(text.to_owned())))
}
