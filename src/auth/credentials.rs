//! What a client presents, and whether it is right. Owns where credentials stand in a request, and which code each
//! failure gets (protocol.md § 11.5): it differs by surface, because an SDK's realtime client ends on one code and
//! renews on another.

use super::attempts::Guess;
use super::encoding::text_from_base64;
use super::jwt::{self, DecodedJwt, PresentedJwt};
use super::key::PresentedKey;
use super::token::PresentedToken;
use super::{App, Grant, Key, KeyName, Operators, Reach, Secret};
use crate::error::{Code, ErrorInfo};
use crate::limits::TOKEN_MAX_BYTES;
use crate::model::name::AppId;

/// Where credentials are presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// A connection: WebSocket, or HTTP that stands for one. Its `clientId` parameter is who the client wants to be.
    Realtime,
    /// One request. Its `clientId` parameter may mean something else; the header `X-Ably-ClientId` says who asks.
    Rest,
}

/// The parts of a request that may hold credentials.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'a> {
    /// The header `Authorization`.
    pub authorization: Option<&'a str>,
    /// The header `X-Ably-ClientId`.
    pub client_id: Option<&'a str>,
    /// The query, decoded.
    pub query: &'a [(String, String)],
}

impl<'a> Presented<'a> {
    /// A parameter that is there and not empty.
    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.query.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn requested_client_id(&self, surface: Surface) -> Result<Option<String>, ErrorInfo> {
        let parameter = self.parameter("clientId").filter(|_| surface == Surface::Realtime);
        match (parameter, self.client_id) {
            (Some(name), _) => Ok(Some(name.to_owned())),
            (None, None) => Ok(None),
            (None, Some(encoded)) => {
                let decoded = text_from_base64(encoded);
                decoded.map(Some).ok_or_else(|| Code::BadClientId.because("X-Ably-ClientId is not base64"))
            }
        }
    }
}

/// Credentials that are well formed, and who the client wants to be.
#[derive(Clone)]
pub struct Credentials {
    proof: Proof,
    client_id: Option<String>,
    surface: Surface,
    /// The key to check an operator's token against. Absent for other credentials, and where operators may not come in.
    operators: Option<Key>,
}

#[derive(Clone)]
enum Proof {
    Key(PresentedKey),
    Token(PresentedToken),
    Jwt(PresentedJwt),
    /// A key without its secret. It lets in who may come by its name alone.
    Named(KeyName),
}

impl Credentials {
    /// From a request: the header first, then `key`, `access_token` or `accessToken`. Fails with 40106 when there are
    /// none, with 40102 when the query holds two, with 40101 when they are malformed, with 40144 for a JWT that cannot
    /// be ours.
    pub fn parse(presented: &Presented<'_>, surface: Surface) -> Result<Credentials, ErrorInfo> {
        let client_id = presented.requested_client_id(surface)?;
        let token = presented.parameter("access_token").or_else(|| presented.parameter("accessToken"));
        let proof = match (presented.authorization, presented.parameter("key"), token) {
            (Some(header), _, _) => Proof::from_header(header, surface)?,
            (None, Some(_), Some(_)) => {
                return Err(Code::IncompatibleCredentials.because("present a key or a token, not both"));
            }
            (None, Some(key), None) => Proof::from_key(key)?,
            (None, None, Some(token)) => Proof::from_token(token, surface)?,
            (None, None, None) => return Err(Code::NoCredentials.into()),
        };
        Ok(Credentials { proof, client_id, surface, operators: None })
    }

    /// From the token that a client sends over its connection, whose clientId it must fit. Fails like
    /// [`Credentials::parse`].
    pub fn renewed(token: &str, client_id: Option<&str>) -> Result<Credentials, ErrorInfo> {
        let proof = Proof::from_token(token, Surface::Realtime)?;
        let client_id = client_id.map(str::to_owned);
        Ok(Credentials { proof, client_id, surface: Surface::Realtime, operators: None })
    }

    /// A key that a client names without its secret, as it may where what it then does is signed. Fails with 40101 when
    /// the text is none.
    pub fn named(key_name: &str) -> Result<Credentials, ErrorInfo> {
        let name = KeyName::parse(key_name).map_err(|_| malformed())?;
        Ok(Credentials { proof: Proof::Named(name), client_id: None, surface: Surface::Realtime, operators: None })
    }

    /// Admits an operator's token, if that is what was presented. REST calls this for those that reach channels, and
    /// takes no others.
    pub fn or_of(self, operators: Option<&Operators>) -> Credentials {
        let operators = operators.zip(self.reach()).map(|(operators, reach)| operators.key(self.app_id(), reach));
        Credentials { operators, ..self }
    }

    /// The key that an operator's token was checked against.
    pub fn into_operators(self) -> Option<Key> {
        self.operators
    }

    /// How far they reach, if they are said to be a token of an operator.
    pub fn reach(&self) -> Option<Reach> {
        if let Proof::Token(token) = &self.proof { token.key_name.reach() } else { None }
    }

    /// Whether they are a key with its secret, which a server has and no visitor.
    pub fn are_a_secret(&self) -> bool {
        matches!(self.proof, Proof::Key(_))
    }

    /// Whose app to ask for, before verifying.
    pub fn app_id(&self) -> &AppId {
        self.key_name().app()
    }

    fn key_name(&self) -> &KeyName {
        match &self.proof {
            Proof::Key(key) => &key.name,
            Proof::Token(token) => &token.key_name,
            Proof::Jwt(jwt) => &jwt.key_name,
            Proof::Named(name) => name,
        }
    }

    /// What they allow. `app` is that of [`Credentials::app_id`], `None` when there is no such app.
    ///
    /// Fails with 40101 for a wrong secret, or for a key or app that does not exist (on REST, 40400 for the key); 40142
    /// when expired; 40143 for a token that the app's keys did not sign; 40144 for such a JWT; 40160 when the key
    /// allows nothing of what it says; 40102 when the client may not be who it wants to be; and as JWTs do.
    pub fn verify(&self, app: Option<&App>, now_ms: u64) -> Result<Grant, ErrorInfo> {
        self.verify_or(app, now_ms, |_, error| error)
    }

    /// The same, where `wrong` says the error of what the key's secret did not make: whatever form it has, it may be a
    /// guess.
    pub(super) fn verify_or(
        &self,
        app: Option<&App>,
        now_ms: u64,
        wrong: impl FnOnce(Guess<'_>, ErrorInfo) -> ErrorInfo,
    ) -> Result<Grant, ErrorInfo> {
        let app = app.filter(|app| app.id() == self.app_id());
        let key = app.and_then(|app| self.operators.as_ref().or_else(|| app.key(self.key_name())));
        let key = key.filter(|key| !key.has_ended(now_ms));
        let Some(key) = key else {
            return Err(self.unknown_key(app.is_some()));
        };
        if !self.proof.is_made_with(key) {
            let guess = if matches!(self.proof, Proof::Key(_)) { Guess::Secret } else { Guess::Token };
            return Err(wrong(guess(&key.name), self.proof.wrong()));
        }
        let grant = match &self.proof {
            Proof::Key(_) => Grant::of_key(key.name.clone(), key.capability.clone()),
            Proof::Named(_) => Grant::of_key_name(key.name.clone(), key.capability.clone()),
            Proof::Token(token) => token.grant(key, now_ms)?,
            Proof::Jwt(jwt) => jwt.grant(key, now_ms)?,
        };
        let ends_at_ms = grant.expires_at_ms.into_iter().chain(key.valid_until_ms).min();
        Grant { expires_at_ms: ends_at_ms, ..grant }.of_client(self.client_id.as_deref(), key)
    }

    fn unknown_key(&self, app_is_known: bool) -> ErrorInfo {
        match (&self.proof, self.surface) {
            // REST says that the key was not found, and still that the credentials are at fault.
            (Proof::Key(_), Surface::Rest) if app_is_known => ErrorInfo { status_code: 401, ..unknown(Code::NotFound) },
            (Proof::Jwt(_), Surface::Rest) => unknown(Code::NotFound),
            // The key may have been replaced: its clients should ask for a token by the new one.
            (Proof::Token(_), _) if app_is_known => Code::TokenUnrecognized.into(),
            _ => unknown(Code::BadCredentials),
        }
    }
}

impl Proof {
    /// Takes the same time however much of it is right.
    fn is_made_with(&self, key: &Key) -> bool {
        match self {
            Proof::Key(presented) => key.secret.matches(&presented.secret),
            Proof::Token(token) => token.is_signed_by(key),
            Proof::Jwt(jwt) => jwt.is_signed_by(key),
            Proof::Named(_) => key.pusher,
        }
    }

    fn wrong(&self) -> ErrorInfo {
        match self {
            Proof::Key(_) => Code::BadCredentials.into(),
            Proof::Token(_) => Code::TokenUnrecognized.into(),
            Proof::Jwt(_) => jwt::unsigned(),
            Proof::Named(_) => Code::BadCredentials.because("this key does not let Pusher clients in ('pusher')"),
        }
    }

    fn from_header(header: &str, surface: Surface) -> Result<Proof, ErrorInfo> {
        let (scheme, value) = header.trim().split_once(' ').ok_or_else(malformed)?;
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("Basic") {
            return Proof::from_key(&text_from_base64(value).ok_or_else(malformed)?);
        }
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(malformed());
        }
        // No base64 has a point, and every token has one.
        let decoded = if value.contains('.') { None } else { text_from_base64(value) };
        Proof::from_token(decoded.as_deref().unwrap_or(value), surface)
    }

    fn from_key(text: &str) -> Result<Proof, ErrorInfo> {
        PresentedKey::parse(text).map(Proof::Key).map_err(|_| malformed())
    }

    fn from_token(text: &str, surface: Surface) -> Result<Proof, ErrorInfo> {
        if text.len() > TOKEN_MAX_BYTES {
            let why = format!("the token has {} bytes, and {TOKEN_MAX_BYTES} are allowed", text.len());
            return Err(Code::BadCredentials.because(why));
        }
        if text.matches('.').count() < 2 {
            return PresentedToken::parse(text).map(Proof::Token).ok_or_else(malformed);
        }
        let jwt = DecodedJwt::parse(text).ok_or_else(|| unreadable_jwt(surface))?;
        match jwt.embedded_token() {
            Some(token) => PresentedToken::parse(token).map(Proof::Token).ok_or_else(malformed),
            None => jwt.signed_by_key().map(Proof::Jwt),
        }
    }
}

/// What an `Authorization: Bearer` header presents, as it stands there. `None` for another scheme.
pub fn bearer(header: &str) -> Option<Secret> {
    let (scheme, value) = header.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| Secret::presented(value.trim()))
}

/// On a connection a code of 4014x would make the client renew and try again, for ever; this one ends it.
fn unreadable_jwt(surface: Surface) -> ErrorInfo {
    match surface {
        Surface::Realtime => malformed(),
        Surface::Rest => Code::BadJwt.into(),
    }
}

fn malformed() -> ErrorInfo {
    Code::BadCredentials
        .because("the credentials are malformed; a key is appId.keyId:secret, a token is as it was issued")
}

fn unknown(code: Code) -> ErrorInfo {
    code.because("the credentials name an app or key that does not exist")
}
