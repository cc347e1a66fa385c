//! Where a push service or a webhook's receiver is. Others name the address, and this server calls it: so it is looked
//! at closely, and only a name of the public net will do, unless the operator says otherwise.

/// A URL, as far as anyone here looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    pub url: String,
    /// Scheme, host and port: who is told that a sender is who it says.
    pub origin: String,
    host: String,
    is_secure: bool,
}

/// Ends of names that no public host has, or that networks of one's own use for theirs and nobody is given.
const PRIVATE_NAMES: [&str; 14] = [
    ".local",
    ".localhost",
    ".localdomain",
    ".internal",
    ".intranet",
    ".private",
    ".corp",
    ".home",
    ".lan",
    ".home.arpa",
    ".onion",
    ".test",
    ".invalid",
    ".alt",
];

impl Endpoint {
    /// `None` for what is no URL of http or https, or has anything in its host that two readers could read differently.
    pub fn parse(url: &str) -> Option<Endpoint> {
        let (scheme, rest) = url.split_once("://")?;
        let is_secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = &rest[..end];
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
        let is_port = port.is_empty() != authority.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit());
        let is_visible = rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if host.is_empty() || !host.chars().all(is_plain) || !is_port || !is_visible {
            return None;
        }
        let origin = format!("{scheme}://{authority}");
        Some(Endpoint { url: url.to_owned(), origin, host: host.to_owned(), is_secure })
    }

    /// Whether it is one that anybody may make this server call.
    pub fn is_public(&self) -> bool {
        let host = self.host.trim_end_matches('.');
        // What ends in something that looks like a number may be an address, in one of its many forms.
        let last = host.rsplit('.').next().unwrap_or_default();
        let is_name = host.contains('.') && last.starts_with(|c: char| c.is_ascii_alphabetic());
        let is_private = PRIVATE_NAMES.iter().any(|private| host.ends_with(private));
        self.is_secure && is_name && !is_private
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_public_net_are_public() {
        for url in [
            "https://fcm.googleapis.com/fcm/send/abc",
            "https://updates.push.services.mozilla.com/wpush/v2/x?y=z",
            "https://web.push.apple.com:443/Q",
        ] {
            assert!(Endpoint::parse(url).unwrap().is_public(), "{url}");
        }
        for url in [
            "http://push.example.com/x",
            "https://localhost/x",
            "https://a.localhost/x",
            "https://db.internal/x",
            "https://printer.local./x",
            "https://localhost.localdomain/x",
            "https://wiki.corp/x",
            "https://nas.home/x",
            "https://127.0.0.1/x",
            "https://10.0.0.1:8443/x",
            "https://2130706433/x",
            "https://0x7f.1/x",
            "https://127.1/x",
            "https://169.254.169.254/latest/meta-data",
            "https://intranet/x",
        ] {
            assert!(!Endpoint::parse(url).unwrap().is_public(), "{url}");
        }
    }

    #[test]
    fn what_can_be_read_two_ways_is_no_endpoint() {
        for url in [
            "",
            "push.example.com",
            "ftp://push.example.com",
            "https://",
            "https:///x",
            "https://user@push.example.com/",
            "https://push.example.com:/x",
            "https://push.example.com:8a/x",
            "https://push.example.com\\@127.0.0.1/",
            "https://[::1]/x",
            "https://Push.example.com/x",
            "https://push.example.com/a b",
            "https://push.example.com/\n",
            "https://püsh.example.com/",
        ] {
            assert_eq!(Endpoint::parse(url), None, "{url}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |url| Endpoint::parse(url).unwrap().origin;
        assert_eq!(origin("https://push.example.com/a/b"), "https://push.example.com");
        assert_eq!(origin("http://127.0.0.1:8080?x"), "http://127.0.0.1:8080");
    }
}
