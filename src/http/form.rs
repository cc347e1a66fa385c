//! The form in which a client wants its answers: which format, and whether in an envelope (protocol.md § 12.1).

use super::Request;
use crate::model::Format;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Form {
    pub format: Format,
    /// For clients that cannot read a response's status and headers: all of it stands in the body.
    pub enveloped: bool,
    /// For HEAD: status and headers alone.
    pub bodiless: bool,
}

impl Form {
    /// The parameter `envelope`, else `format`, else the header `Accept`, else JSON. What is unknown is as
    /// good as absent: it is refused as a parameter, and the refusal has a form too.
    pub fn of(request: &Request) -> Form {
        let bodiless = request.method == "HEAD";
        if let Some(format) = request.parameter("envelope").and_then(named) {
            return Form { format, enveloped: true, bodiless };
        }
        let accepted = || request.headers.accept.as_deref().and_then(preferred);
        let format = request.parameter("format").and_then(named).or_else(accepted).unwrap_or_default();
        Form { format, enveloped: false, bodiless }
    }
}

fn named(name: &str) -> Option<Format> {
    match name {
        "json" => Some(Format::Json),
        "msgpack" => Some(Format::Msgpack),
        _ => None,
    }
}

/// The format of the highest quality in an `Accept` header; the first of those that are equal.
fn preferred(accept: &str) -> Option<Format> {
    let mut best: Option<(u32, Format)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let format = parts.next().and_then(of_media_type);
        let quality = parts.find_map(|parameter| parameter.strip_prefix("q=")).map_or(Some(1_000), thousandths);
        if let (Some(format), Some(quality)) = (format, quality)
            && quality > best.map_or(0, |(quality, _)| quality)
        {
            best = Some((quality, format));
        }
    }
    best.map(|(_, format)| format)
}

/// A quality from 0 to 1, of three decimals at most. To read any number, the standard library brings 10 KB of tables.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = [whole, decimals, &"000"[decimals.len().min(3)..]].concat();
    digits.parse().ok().filter(|quality| digits.len() == 4 && *quality <= 1_000)
}

/// The format that a media type names, or a range of them allows.
pub fn of_media_type(media_type: &str) -> Option<Format> {
    let is = |known: &str| media_type.eq_ignore_ascii_case(known);
    if is("application/x-msgpack") {
        return Some(Format::Msgpack);
    }
    ["application/json", "application/*", "*/*"].into_iter().any(is).then_some(Format::Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Headers;

    fn form(query: &[(&str, &str)], accept: Option<&str>) -> (Format, bool) {
        let query = query.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let headers = Headers { accept: accept.map(str::to_owned), ..Headers::default() };
        let request = Request { query, headers, ..Request::default() };
        let form = Form::of(&request);
        (form.format, form.enveloped)
    }

    #[test]
    fn the_query_goes_before_the_header() {
        let (json, msgpack) = ((Format::Json, false), (Format::Msgpack, false));
        let msgpack_type = Some("application/x-msgpack");
        assert_eq!(form(&[], None), json);
        assert_eq!(form(&[], msgpack_type), msgpack);
        assert_eq!(form(&[("format", "json")], msgpack_type), json);
        assert_eq!(form(&[("format", "html")], msgpack_type), msgpack);
        assert_eq!(form(&[("format", "msgpack")], None), msgpack);
        assert_eq!(form(&[("format", "json"), ("envelope", "msgpack")], None), (Format::Msgpack, true));
        assert_eq!(form(&[("envelope", "json")], msgpack_type), (Format::Json, true));
        assert_eq!(form(&[("envelope", "xml")], None), json);
    }

    #[test]
    fn accept_has_qualities() {
        for (accept, format) in [
            ("application/x-msgpack, application/json", Format::Msgpack),
            ("application/json,application/x-msgpack", Format::Json),
            ("application/json;q=0.5, Application/X-Msgpack;q=0.9", Format::Msgpack),
            ("application/x-msgpack;q=0", Format::Json),
            ("text/html,application/xml;q=0.9,*/*;q=0.8", Format::Json),
            ("application/x-msgpack;q=x", Format::Json),
            ("application/x-msgpack;q=1.001", Format::Json),
            ("application/x-msgpack;q=0.0001", Format::Json),
            ("application/x-msgpack;q=.5", Format::Json),
            ("application/json;q=0.05, application/x-msgpack;q=0.1", Format::Msgpack),
            ("application/x-msgpack;q=0.999, application/json;q=1.0", Format::Json),
            ("application/x-msgpack;charset=utf-8", Format::Msgpack),
            (",;,", Format::Json),
        ] {
            assert_eq!(form(&[], Some(accept)).0, format, "{accept}");
        }
    }
}
