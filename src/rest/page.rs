//! Where a page of a list begins, and the links between pages (protocol.md § 12.1).
//!
//! A cursor is the serial of the last message of a page, in base64 so that clients don't come to read it. It is not
//! signed: with any other serial it only begins elsewhere in what its holder may read anyway. It must be one that this
//! channel could have given, though: of its form, and of this life of the channel.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use crate::base::whole_number;
use crate::error::{Code, ErrorInfo};
use crate::http::Request;
use crate::http::percent::encode_pairs;
use crate::limits::{HISTORY_DEFAULT_LIMIT, PUBLISH_MAX_MESSAGES};
use crate::model::serial::{ChannelSerial, Position};

/// Continue behind this message.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    pub position: Position,
    pub index: usize,
    pub epoch: String,
}

impl Cursor {
    /// Fails with 40003 for what [`Cursor::text`] never gives.
    pub fn parse(text: &str) -> Result<Cursor, ErrorInfo> {
        Cursor::read(text).filter(|cursor| cursor.text() == text).ok_or_else(bad_cursor)
    }

    fn read(text: &str) -> Option<Cursor> {
        let serial = String::from_utf8(BASE64URL.decode(text).ok()?).ok()?;
        let index = serial.rsplit_once(':')?.1.parse().ok().filter(|index| *index < PUBLISH_MAX_MESSAGES)?;
        let ChannelSerial { position, epoch } = ChannelSerial::parse(&serial)?;
        Some(Cursor { position, index, epoch })
    }

    pub fn text(&self) -> String {
        BASE64URL.encode(self.serial())
    }

    pub fn serial(&self) -> String {
        self.position.message_serial(&self.epoch, self.index)
    }
}

pub fn bad_cursor() -> ErrorInfo {
    Code::BadParameter.because("the cursor is not one that this channel gave")
}

/// Behind all: no entry of a numbered list has this number.
const END: u64 = (1 << 53) - 1;

/// Where a page of such a list begins: before that entry. Fails with 40003 for a cursor that is none.
pub fn before(request: &Request) -> Result<u64, ErrorInfo> {
    let bad_cursor = || Code::BadParameter.because("the cursor is not one that a page had");
    let cursor = request.parameter("cursor").map(|text| whole_number(text).filter(|number| *number <= END));
    cursor.map_or(Ok(END), |number| number.ok_or_else(bad_cursor))
}

/// What every list may be asked with, whatever it lists.
const COMMON: [&str; 4] = ["limit", "format", "envelope", "v"];

/// The links of a page: what was asked, from the beginning, from here, and from the next page on.
pub struct Links {
    /// The last segment of the page's path.
    pub path: &'static str,
    /// What all pages have in common. Never credentials: a header may be logged.
    pub query: Vec<(&'static str, String)>,
    pub cursor: Option<String>,
    pub between: &'static str,
}

impl Links {
    /// Those of a request, which carry on what it said of these, and of [`COMMON`].
    pub fn of(request: &Request, path: &'static str, carried: &[&'static str]) -> Links {
        let default = HISTORY_DEFAULT_LIMIT.to_string();
        let value = |name: &'static str| match request.parameter(name) {
            None if name == "limit" => Some((name, default.clone())),
            value => value.map(|value| (name, value.to_owned())),
        };
        let query = carried.iter().chain(&COMMON).filter_map(|name| value(name)).collect();
        let cursor = request.parameter("cursor").map(str::to_owned);
        Links { path, query, cursor, between: request.between_links() }
    }

    /// The value of the header `Link`. SDKs split it at commas, and take a link only when it is relative and its last
    /// segment one word. Those for Go, Java and Rust expect one link in a header, which the platform makes one of all:
    /// they see the first link of it and the last. So the next page stands in both places, and the first page is last
    /// else.
    pub fn header(&self, next: Option<String>) -> String {
        let next = next.map(|cursor| self.link(Some(&cursor), "next"));
        let own = [self.link(self.cursor.as_deref(), "current"), self.link(None, "first")];
        let links: Vec<String> = next.clone().into_iter().chain(own).chain(next).collect();
        links.join(self.between)
    }

    /// That for Rust takes all behind the first `?` for the query of the last link. So that it is one, `rel`, which
    /// nobody reads, is at the end and takes up what stands between two links, with the cursor of the second.
    fn link(&self, cursor: Option<&str>, rel: &str) -> String {
        let query = self.query.iter().map(|(name, value)| (*name, value.as_str()));
        let cursor = cursor.map(|cursor| ("cursor", cursor));
        let query = encode_pairs(cursor.into_iter().chain(query).chain([("rel", rel)]));
        format!("<./{}?{query}>; rel=\"{rel}\"", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor { position: Position(1_726_585_978_590_001), index: 7, epoch: "abc".into() }
    }

    #[test]
    fn a_cursor_is_pinned() {
        assert_eq!(cursor().text(), "MDE3MjY1ODU5Nzg1OTAtMDAxQGFiYzowMDc");
        assert_eq!(Cursor::parse(&cursor().text()), Ok(cursor()));
    }

    #[test]
    fn nothing_else_is_a_cursor() {
        let encoded = |serial: &str| BASE64URL.encode(serial);
        for text in [
            String::new(),
            "x".into(),
            "é".into(),
            format!("{}=", cursor().text()),
            encoded("01726585978590-001@abc"),
            encoded("01726585978590-001@abc:7"),
            encoded("01726585978590-001@abc:+07"),
            encoded("01726585978590-001@abc:1000"),
            encoded("01726585978590-001@abc:x:007"),
            encoded("01726585978590-001@:007"),
            encoded("1-001@abc:007"),
            BASE64URL.encode([0xff, 0xfe]),
        ] {
            assert!(Cursor::parse(&text).unwrap_err().is(Code::BadParameter), "{text}");
        }
    }

    #[test]
    fn links_are_pinned() {
        let links = Links {
            path: "messages",
            query: vec![("limit", "1".into()), ("from_serial", "1@a, b>".into())],
            cursor: None,
            between: ", ",
        };
        assert_eq!(
            links.header(None),
            "<./messages?limit=1&from_serial=1%40a%2C%20b%3E&rel=current>; rel=\"current\", \
             <./messages?limit=1&from_serial=1%40a%2C%20b%3E&rel=first>; rel=\"first\""
        );
        let (query, cursor) = (vec![("limit", "1".into())], Some("here".into()));
        let links = Links { path: "messages", query, cursor, between: ", Link: " };
        assert_eq!(
            links.header(Some("there".into())),
            "<./messages?cursor=there&limit=1&rel=next>; rel=\"next\", \
             Link: <./messages?cursor=here&limit=1&rel=current>; rel=\"current\", \
             Link: <./messages?limit=1&rel=first>; rel=\"first\", \
             Link: <./messages?cursor=there&limit=1&rel=next>; rel=\"next\""
        );
    }
}
