//! A request's URL, as the platform says it: absolute, and encoded already.

/// The parameters of its query, each decoded as far as it can be.
pub fn query(url: &str) -> Vec<(String, String)> {
    let query = before(url, &['#']).split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// The path, which stands behind the host.
pub fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find(['/', '?', '#']).map_or("", |start| &rest[start..]);
    if path.starts_with('/') { before(path, &['?', '#']) } else { "/" }
}

/// The host and port, without those that the scheme implies.
pub fn host(url: &str) -> &str {
    let authority = before(url.split_once("://").map_or("", |(_, rest)| rest), &['/', '?', '#']);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Whether it is of a connection with TLS.
pub fn is_secure(url: &str) -> bool {
    url.starts_with("https:") || url.starts_with("wss:")
}

fn before<'a>(text: &'a str, ends: &[char]) -> &'a str {
    text.split(ends).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_browsers_do() {
        let pairs = |url| query(url).into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        assert_eq!(
            pairs("https://a/b?x=1&y=a+b%20c&&z&=v&x=%F0%9F%98%80#?n=1"),
            ["x=1", "y=a b c", "z=", "=v", "x=😀"]
        );
        assert_eq!(pairs("https://a/b?x=%zz%2&y=%ff&z=1?2"), ["x=%zz%2", "y=\u{fffd}", "z=1?2"], "as far as it can be");
        assert_eq!(pairs("https://a/b"), [] as [String; 0]);
    }

    #[test]
    fn a_host_ends_where_the_path_or_query_begins() {
        for url in ["https://a.b:1/c@d", "wss://a.b:1?x=@", "http://u:p@a.b:1#/", "http://a.b:1"] {
            assert_eq!(host(url), "a.b:1", "{url}");
        }
        assert_eq!(host("http://[::1]:8787/"), "[::1]:8787");
        assert_eq!(host("about:blank"), "");
    }

    #[test]
    fn a_path_is_all_between_host_and_query() {
        for (url, wanted) in [
            ("https://a/", "/"),
            ("https://a/b/c%3F?d=/e#/f", "/b/c%3F"),
            ("wss://a:1/b#?c", "/b"),
            ("/b?c", "/b"),
            ("http://a", "/"),
            ("http://a?b=/c", "/"),
        ] {
            assert_eq!(path(url), wanted, "{url}");
        }
    }

    #[test]
    fn only_tls_is_secure() {
        assert!(is_secure("https://a/") && is_secure("wss://a/"));
        assert!(!is_secure("http://a/https:") && !is_secure(""));
    }
}
