//! All of a request but its body, as src/shell/platform.js writes it down: to ask the platform for one header after
//! another costs more.

use super::{Headers, Request, addresses, url};
use crate::intake::parameters;
use crate::rpc::placement::Region;

/// The headers that matter, by their names in lower case, each with its place in [`Headers`].
macro_rules! headers {
    ($($name:literal => $field:ident,)*) => {
        #[cfg(test)]
        const HEADERS: &[&str] = &[$($name),*];

        impl Headers {
            fn take(&mut self, name: &str, value: &str) {
                match name {
                    $($name => self.$field = Some(value.to_owned()),)*
                    _ => {}
                }
            }

            #[cfg(test)]
            fn all(self) -> Vec<Option<String>> {
                vec![$(self.$field),*]
            }
        }
    };
}

headers! {
    "authorization" => authorization,
    "content-type" => content_type,
    "content-encoding" => content_encoding,
    "accept" => accept,
    "access-control-request-headers" => access_control_request_headers,
    "last-event-id" => last_event_id,
    "sec-websocket-protocol" => sec_websocket_protocol,
    "upgrade" => upgrade,
    "x-ably-clientid" => x_ably_clientid,
    "x-ably-connectionkey" => x_ably_connectionkey,
    "x-ably-deviceidentitytoken" => x_ably_deviceidentitytoken,
    "x-ably-devicesecret" => x_ably_devicesecret,
    "x-ably-devicetoken" => x_ably_devicetoken,
    "x-ably-encoding" => x_ably_encoding,
    "x-ably-messageid" => x_ably_messageid,
    "x-ably-name" => x_ably_name,
    "x-ably-version" => x_ably_version,
    "ably-agent" => ably_agent,
    "origin" => origin,
    "traceparent" => traceparent,
}

impl Request {
    /// Lines: the method; the URL; where it came from; the continent and the longitude of that, each empty when nobody
    /// knows; then `name value` of each header that it has. No value of a header has a line's end.
    pub fn read(head: &str) -> Request {
        let mut lines = head.split('\n');
        let mut next = || lines.next().unwrap_or_default();
        let (method, address_of, address, continent, longitude) = (next(), next(), next(), next(), next());
        let mut headers = Headers::default();
        lines.filter_map(|line| line.split_once(' ')).for_each(|(name, value)| headers.take(name, value));
        let mut query = url::query(address_of);
        parameters::override_earlier(&mut query, headers.name_an_sdk());
        Request {
            method: method.to_owned(),
            path: url::path(address_of).to_owned(),
            query,
            host: url::host(address_of).to_owned(),
            is_secure: url::is_secure(address_of),
            address: addresses::origin(address),
            region: Region::of(Some(continent), longitude.parse().ok()),
            headers,
            body: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_line_by_line() {
        let request = Request::read(
            "GET\nwss://a.b:1/x/y?a=1&a=2#z\n192.0.2.1\nNA\n-120.5\nupgrade websocket\nauthorization Basic a b\n\
             origin \nunknown 1",
        );
        assert_eq!((request.method.as_str(), request.path.as_str(), request.host.as_str()), ("GET", "/x/y", "a.b:1"));
        assert_eq!(request.query, [("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())]);
        assert_eq!((request.is_secure, request.address.as_str()), (true, "192.0.2.1"));
        assert_eq!(request.region, Region::of(Some("NA"), Some(-120.5)));
        let headers = request.headers;
        assert_eq!(headers.upgrade.as_deref(), Some("websocket"));
        assert_eq!(headers.authorization.as_deref(), Some("Basic a b"), "only the first space ends a name");
        assert_eq!(headers.origin.as_deref(), Some(""), "a header may be empty");
        assert_eq!(headers.accept, None);
    }

    #[test]
    fn of_what_an_sdk_says_twice_the_last_holds() {
        let query = |headers: &str| Request::read(&format!("GET\nhttp://a/?a=1&a=2\n\n\n\n{headers}")).query;
        assert_eq!(query("ably-agent ably-java/1.8.0"), [("a".to_owned(), "2".to_owned())]);
        assert_eq!(query("accept a").len(), 2);
    }

    #[test]
    fn what_is_not_known_is_not_there() {
        let request = Request::read("POST\nhttp://a/\n\n\n");
        assert_eq!((request.path.as_str(), request.address.as_str()), ("/", ""));
        assert_eq!(request.region, Region::ANYWHERE);
        assert_eq!(Request::read("").method, "");
    }

    #[test]
    fn who_asks_is_who_has_the_address() {
        let address = |text: &str| Request::read(&format!("GET\nhttp://a/\n{text}\n\n")).address;
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
    }

    #[test]
    fn all_that_are_read_are_written_down() {
        let (_, rest) = include_str!("../shell/platform.js").split_once("const HEADERS = [").unwrap();
        let (names, _) = rest.split_once(']').unwrap();
        let mut written: Vec<_> = names.split(',').map(|name| name.trim().trim_matches('\'')).collect();
        written.retain(|name| !name.is_empty());
        assert_eq!(written, HEADERS);
    }

    #[test]
    fn each_header_has_its_own_place() {
        let lines = HEADERS.iter().enumerate().map(|(index, name)| format!("\n{name} {index}")).collect::<String>();
        let headers = Request::read(&format!("GET\nhttp://a/\n\n\n{lines}")).headers;
        let read: Vec<_> = headers.all().into_iter().flatten().collect();
        assert_eq!(read, (0..HEADERS.len()).map(|index| index.to_string()).collect::<Vec<_>>());
    }
}
