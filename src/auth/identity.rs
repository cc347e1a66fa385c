//! Who a client may say that it is (protocol.md § 8.3, § 11.6). Owns the rules for connections and for messages.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::error::{Code, ErrorInfo};
use crate::limits::CLIENT_ID_MAX_BYTES;

/// The clientId that credentials carry, or that a connection settled on. As text: absent, `*`, or the name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Option<String>", into = "Option<String>")]
pub enum Identity {
    /// No name, and none may be claimed.
    Anonymous,
    /// Any name may be claimed, for the connection or for each message: `*`, or an API key.
    Wildcard,
    Named(Rc<str>),
}

impl Identity {
    /// From the clientId of a token. Fails with 40012 for a name that is too long or holds a control character. Empty
    /// is absent, as SDKs sign it.
    pub fn parse(client_id: Option<&str>) -> Result<Identity, ErrorInfo> {
        match client_id {
            None | Some("") => Ok(Identity::Anonymous),
            Some("*") => Ok(Identity::Wildcard),
            Some(name) => check_name(name).map(|()| Identity::Named(name.into())),
        }
    }

    /// Absent, `*`, or the name.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Identity::Anonymous => None,
            Identity::Wildcard => Some("*"),
            Identity::Named(name) => Some(name),
        }
    }

    /// The name, when there is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Identity::Named(name) => Some(name),
            Identity::Anonymous | Identity::Wildcard => None,
        }
    }

    /// The identity of a connection or request that asks to be `requested`. Fails with 40102 when the credentials do
    /// not allow it, with 40012 when no client could be called that.
    pub fn for_connection(&self, requested: Option<&str>) -> Result<Identity, ErrorInfo> {
        let requested = Identity::parse(requested)?;
        match (self, &requested) {
            (_, Identity::Anonymous) => Ok(self.clone()),
            (Identity::Wildcard, _) => Ok(requested),
            (Identity::Named(ours), Identity::Named(wanted)) if ours == wanted => Ok(requested),
            _ => Err(Code::IncompatibleCredentials.because("the credentials do not allow the requested clientId")),
        }
    }

    /// Of what is said on behalf of a connection whose identity is `theirs`. Fails with 40102 when that is a client
    /// that these credentials may not be.
    pub fn on_behalf(&self, theirs: &Identity) -> Result<Identity, ErrorInfo> {
        match theirs {
            Identity::Named(name) => self.for_connection(Some(name)),
            Identity::Wildcard => Ok(self.clone()),
            Identity::Anonymous => Ok(Identity::Anonymous),
        }
    }

    /// The clientId that a message gets which claims `claimed`. Fails with 40012 when it may not claim that.
    pub fn for_message(&self, claimed: Option<&str>) -> Result<Option<String>, ErrorInfo> {
        match (self, claimed) {
            (_, None) => Ok(self.name().map(str::to_owned)),
            (_, Some("" | "*")) => Err(invalid("a message cannot come from '*' or an empty name")),
            (Identity::Wildcard, Some(name)) => check_name(name).map(|()| Some(name.to_owned())),
            (Identity::Named(ours), Some(name)) if **ours == *name => Ok(Some(name.to_owned())),
            (Identity::Named(_), Some(_)) => Err(invalid("it is not that of the connection")),
            (Identity::Anonymous, Some(_)) => Err(invalid("an anonymous client cannot claim one")),
        }
    }
}

/// Whether a client may have that name. No name holds what ends a line: names are signed, listed and logged beside
/// others.
fn check_name(name: &str) -> Result<(), ErrorInfo> {
    if name.len() > CLIENT_ID_MAX_BYTES {
        return Err(invalid(&format!("it has more than {CLIENT_ID_MAX_BYTES} bytes")));
    }
    if name.contains(char::is_control) {
        return Err(invalid("it holds a control character, such as a line end"));
    }
    Ok(())
}

fn invalid(why: &str) -> ErrorInfo {
    Code::BadClientId.because(format!("invalid clientId: {why}"))
}

impl TryFrom<Option<String>> for Identity {
    type Error = ErrorInfo;

    fn try_from(client_id: Option<String>) -> Result<Identity, ErrorInfo> {
        Identity::parse(client_id.as_deref())
    }
}

impl From<Identity> for Option<String> {
    fn from(identity: Identity) -> Option<String> {
        identity.as_str().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = match std::str::from_utf8(&[b'x'; CLIENT_ID_MAX_BYTES + 1]) {
        Ok(text) => text,
        Err(_) => panic!(),
    };

    fn identity(client_id: &str) -> Identity {
        Identity::parse(Some(client_id)).unwrap()
    }

    #[test]
    fn connections_get_the_identity_that_fits_their_credentials() {
        let cases = [
            (identity(""), None, Ok(None)),
            (identity(""), Some(""), Ok(None)),
            (identity(""), Some("ann"), Err(Code::IncompatibleCredentials)),
            (identity(""), Some("*"), Err(Code::IncompatibleCredentials)),
            (identity("ann"), None, Ok(Some("ann"))),
            (identity("ann"), Some("ann"), Ok(Some("ann"))),
            (identity("ann"), Some("bob"), Err(Code::IncompatibleCredentials)),
            (identity("ann"), Some("*"), Err(Code::IncompatibleCredentials)),
            (identity("*"), None, Ok(Some("*"))),
            (identity("*"), Some("*"), Ok(Some("*"))),
            (identity("*"), Some("ann"), Ok(Some("ann"))),
            (identity("*"), Some(LONG), Err(Code::BadClientId)),
            (identity("*"), Some("a\nb"), Err(Code::BadClientId)),
        ];
        for (ours, requested, expected) in cases {
            let settled = ours.for_connection(requested).map_err(|error| Code::from_number(error.code).unwrap());
            assert_eq!(
                settled.as_ref().map(Identity::as_str).map_err(|code| *code),
                expected,
                "{ours:?} {requested:?}"
            );
        }
    }

    #[test]
    fn messages_get_the_clientid_that_they_may_claim() {
        let cases = [
            (identity(""), None, Ok(None)),
            (identity(""), Some("ann"), Err(())),
            (identity("ann"), None, Ok(Some("ann"))),
            (identity("ann"), Some("ann"), Ok(Some("ann"))),
            (identity("ann"), Some("bob"), Err(())),
            (identity("ann"), Some("*"), Err(())),
            (identity("*"), None, Ok(None)),
            (identity("*"), Some("ann"), Ok(Some("ann"))),
            (identity("*"), Some("*"), Err(())),
            (identity("*"), Some(""), Err(())),
            (identity("*"), Some(LONG), Err(())),
            (identity("*"), Some("a\u{7f}"), Err(())),
        ];
        for (ours, claimed, expected) in cases {
            let given = ours.for_message(claimed).map_err(|error| assert!(error.is(Code::BadClientId)));
            assert_eq!(given.as_ref().map(Option::as_deref).map_err(|_| ()), expected, "{ours:?} {claimed:?}");
        }
    }

    #[test]
    fn it_travels_as_the_clientid() {
        for (ours, text) in [(identity(""), "null"), (identity("*"), "\"*\""), (identity("ann"), "\"ann\"")] {
            assert_eq!(serde_json::to_string(&ours).unwrap(), text);
            assert_eq!(serde_json::from_str::<Identity>(text).unwrap(), ours);
        }
    }
}
