//! Every coded error in one table: whose fault it is, and what the peer should do next.
//!
//! Owns the numbers, HTTP statuses and default texts that clients see. Knows nothing of transports: a frame, a REST
//! body and a call between objects all carry the same [`ErrorInfo`].

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// Declares [`Code`]: `Name = number, status, "default text";`, sorted by number.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $status:literal, $text:literal;)*) => {
        /// A coded error. Codes 4xxxx are the client's to mend; 5xxxx are ours and worth another try; 8xxxx and 9xxxx
        /// concern the connection and the channel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            pub const fn number(self) -> u32 { match self { $(Code::$name => $number),* } }

            /// The HTTP status that goes with the code.
            pub const fn status(self) -> u16 { match self { $(Code::$name => $status),* } }

            pub const fn text(self) -> &'static str { match self { $(Code::$name => $text),* } }
        }
    };
}

codes! {
    BadRequest = 40000, 400, "bad request";
    BadBody = 40001, 400, "the body or frame could not be decoded";
    BadParameterName = 40002, 400, "invalid parameter name";
    BadParameter = 40003, 400, "invalid parameter value";
    BadKey = 40005, 400, "invalid credential";
    BadConnectionKey = 40006, 400, "invalid connection key";
    TooLarge = 40009, 400, "maximum message length exceeded";
    BadChannelName = 40010, 400, "invalid channel name";
    BadClientId = 40012, 400, "invalid client id";
    BadData = 40013, 400, "invalid message data or encoding";
    BadDeviceId = 40015, 400, "invalid device id";
    BatchFailed = 40020, 400, "batch error";
    BadPublish = 40030, 400, "invalid publish request";
    BadMessageId = 40031, 400, "invalid publish request (invalid client-specified id)";
    BadExtras = 40032, 400, "invalid publish request (invalid extras)";
    TooManyMessages = 40034, 400, "too many messages in one publish";
    ForcedNack = 40099, 400, "publish refused because it asked to be refused";
    BadCredentials = 40101, 401, "invalid credentials";
    IncompatibleCredentials = 40102, 401, "incompatible credentials";
    BadTimestamp = 40104, 401, "timestamp not current";
    NonceReplayed = 40105, 401, "nonce value replayed";
    NoCredentials = 40106, 401, "no authentication information provided";
    TokenError = 40140, 401, "token error";
    TokenRevoked = 40141, 401, "token revoked";
    TokenExpired = 40142, 401, "token expired";
    TokenUnrecognized = 40143, 401, "token unrecognized";
    BadJwt = 40144, 401, "unexpected or malformed JWT";
    BadToken = 40145, 401, "invalid token";
    NotPermitted = 40160, 401, "operation not permitted with provided capability";
    NotIdentified = 40161, 401, "operation not permitted as it requires an identified client";
    BasicRequired = 40162, 401, "operation not permitted with a token, requires basic authentication";
    NotRevocable = 40163, 401, "operation not permitted, key does not permit revocable tokens";
    ModeNotGranted = 40165, 401, "operation not permitted by the channel's granted modes";
    NotTheAuthor = 40166, 401, "operation permitted on one's own messages only, which requires an identified client";
    Forbidden = 40300, 403, "forbidden";
    TlsRequired = 40311, 403, "operation not permitted on a connection without TLS";
    NotFound = 40400, 404, "not found";
    MethodNotAllowed = 40500, 405, "method not allowed";
    RateLimited = 42910, 429, "rate limit exceeded; request rejected";
    PublishRateLimited = 42911, 429, "publish rate limit exceeded; request rejected";
    PublishAbuse = 42921, 429, "publish rate limit far exceeded; connection ended";
    Internal = 50000, 500, "internal error";
    InternalChannel = 50001, 500, "internal channel error";
    InternalConnection = 50002, 500, "internal connection error";
    TimedOut = 50003, 500, "timeout error";
    Unavailable = 50320, 503, "the service is busy; try again";
    WebhookEnded = 70000, 400, "webhook ended: its receiver is gone";
    WebhookUnreachable = 70001, 400, "webhook failed: its receiver could not be reached in time";
    WebhookFailed = 70002, 400, "webhook failed: its receiver answered with an unexpected status";
    WebhookBehind = 70003, 400, "webhook failed: too many events wait";
    WebhookForbidden = 70004, 400, "webhook failed: its receiver is where this server may not call";
    ConnectionFailed = 80000, 400, "connection failed";
    Disconnected = 80003, 400, "disconnected";
    ConnectionExpired = 80008, 400, "unable to recover connection: connection expired";
    Superseded = 80016, 400, "the connection continues on another transport";
    ConnectionClosed = 80017, 400, "connection closed";
    BadResumeKey = 80018, 400, "unable to recover connection: invalid connection key";
    ContinuityUnknown = 90003, 400, "unable to recover channel: messages expired or serial unknown";
    BacklogTooLarge = 90004, 400, "unable to recover channel: too many messages to replay";
    TooManyChannels = 90010, 400, "maximum number of channels per connection exceeded";
    NoClientId = 91000, 400, "unable to enter presence channel without clientId";
    PresenceNotAttached = 91001, 400, "unable to use presence on a channel that is not attached";
    TooManyMembers = 91003, 400, "maximum number of presence members on the channel exceeded";
    BadObject = 92000, 400, "invalid object message";
    ObjectsLimit = 92001, 400, "objects limit exceeded";
    ObjectDeleted = 92002, 400, "unable to submit operation on tombstone object";
    ObjectGone = 92003, 400, "the object is deleted";
    NoSuchObject = 92004, 404, "object not found";
    NoSuchPath = 92005, 400, "no objects matched path";
    NoObjectNamed = 92006, 400, "object id or path required";
    BadPath = 92007, 400, "path not processable";
    UpdatesNotEnabled = 93002, 400, "message annotations, updates, appends and deletes are not enabled";
    PushRetriesExhausted = 103001, 400, "push delivery failed after all its tries";
    PushRejected = 103004, 400, "push service rejected the notification";
    PushGone = 103005, 400, "push service no longer knows the recipient";
    PushNotConfigured = 103006, 400, "push transport not configured";
    PushUnreachable = 103007, 400, "push service could not be reached";
    PushBadCredentials = 103008, 400, "push service rejected the credentials";
}

impl Code {
    #[cfg(test)]
    pub fn from_number(number: u32) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// The error with a text that says what exactly is wrong here.
    pub fn because(self, message: impl Into<String>) -> ErrorInfo {
        ErrorInfo {
            code: self.number(),
            status_code: self.status(),
            message: message.into(),
            href: href(self.number()),
        }
    }
}

impl From<Code> for ErrorInfo {
    fn from(code: Code) -> ErrorInfo {
        code.because(code.text())
    }
}

/// Where each code is explained, up to its number. Set before the first error is made.
static EXPLAINED_AT: OnceLock<String> = OnceLock::new();

/// Says where this deployment explains its codes: a code's number is added. Only the first call has an effect; without
/// one, errors lead to the hosted service's pages, since its codes are ours.
pub fn explain_at(prefix: impl FnOnce() -> Option<String>) {
    EXPLAINED_AT.get_or_init(|| prefix().unwrap_or_else(usual_prefix));
}

fn usual_prefix() -> String {
    "https://help.ably.io/error/".to_owned()
}

fn href(number: u32) -> String {
    format!("{}{number}", EXPLAINED_AT.get_or_init(usual_prefix))
}

/// An error as the protocol carries it: in frames, REST bodies and headers (protocol.md § 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorInfo {
    pub code: u32,
    pub status_code: u16,
    pub message: String,
    #[serde(default)]
    pub href: String,
}

impl ErrorInfo {
    /// Whether this is `code`, whatever its text says.
    pub fn is(&self, code: Code) -> bool {
        self.code == code.number()
    }

    /// Whether what is wrong may pass, or is mended by a resume.
    pub fn may_pass(&self) -> bool {
        self.status_code >= 500 || self.status_code == 429 || self.is(Code::Disconnected)
    }

    /// Whether a client mends it by getting another token.
    pub fn is_token_error(&self) -> bool {
        (40140..40150).contains(&self.code)
    }
}

impl std::fmt::Display for ErrorInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for ErrorInfo {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_sorted() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
    }

    #[test]
    fn statuses_follow_the_first_digits() {
        for code in Code::ALL {
            let expected = match code.number() / 10_000 {
                4 => (code.number() / 100) as u16,
                5 => (code.number() / 100) as u16,
                _ if *code == Code::NoSuchObject => 404,
                _ => 400,
            };
            assert_eq!(code.status(), expected, "{code:?}");
        }
    }

    #[test]
    fn numbers_lead_back_to_codes() {
        assert!(Code::ALL.iter().all(|code| Code::from_number(code.number()) == Some(*code)));
        assert_eq!(Code::from_number(1), None);
    }
}
