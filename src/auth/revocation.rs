//! Ending tokens before they expire (protocol.md § 11.7). Owns the request to revoke, and the revocations in force.
//!
//! A revocation ends the tokens that one key issued before a time and that have its target. Only keys with revocable
//! tokens have any, and those live an hour: so a revocation can be forgotten after one, and the set stays bounded.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{App, Grant, KeyName};
use crate::base::maps::HashMap;
use crate::base::pinned::Versioned;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    CHANNEL_NAME_MAX_BYTES, CLOCK_SKEW_MAX_MS, REAUTH_MARGIN_MS, REVOCABLE_TOKEN_MAX_TTL_MS, REVOCATIONS_MAX,
    REVOKE_MAX_TARGETS,
};

/// Which tokens end: those that say exactly this, whoever uses them for what. As text: `clientId:c`, `revocationKey:r`,
/// `channel:c`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The tokens with this clientId, and the clients that took it by a token for `*`.
    ClientId(String),
    RevocationKey(String),
    /// The tokens whose capability has exactly this resource, as the token names it, or as its key narrows it.
    Channel(String),
}

impl Target {
    /// Fails with 40000 for an unknown type, and for a value that is empty or too long.
    pub fn parse(text: &str) -> Result<Target, ErrorInfo> {
        let (kind, value) = text.split_once(':').unwrap_or((text, ""));
        if value.is_empty() || value.len() > CHANNEL_NAME_MAX_BYTES {
            let what = format!("a target must be type:value, with a value of 1 to {CHANNEL_NAME_MAX_BYTES} bytes");
            return Err(Code::BadRequest.because(what));
        }
        match kind {
            "clientId" => Ok(Target::ClientId(value.to_owned())),
            "revocationKey" => Ok(Target::RevocationKey(value.to_owned())),
            "channel" => Ok(Target::Channel(value.to_owned())),
            _ => Err(Code::BadRequest.because("a target's type must be clientId, revocationKey or channel")),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = ErrorInfo;

    fn try_from(text: String) -> Result<Target, ErrorInfo> {
        Target::parse(&text)
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        match target {
            Target::ClientId(value) => format!("clientId:{value}"),
            Target::RevocationKey(value) => format!("revocationKey:{value}"),
            Target::Channel(value) => format!("channel:{value}"),
        }
    }
}

/// One revocation, as it is stored and told to those who hold connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub key_name: KeyName,
    pub target: Target,
    pub issued_before_ms: u64,
    /// Connections may renew their token until then.
    pub applies_at_ms: u64,
}

impl Versioned for Revocation {
    const VERSION: u8 = 1;
}

impl Revocation {
    /// When every token that it could end has expired.
    pub fn forget_at_ms(&self) -> u64 {
        Mark::of(self).forget_at_ms()
    }
}

/// A request to revoke tokens: its targets in their order, each as written and as read.
#[derive(Clone, Debug)]
pub struct RevokeRequest {
    targets: Vec<(String, Result<Target, ErrorInfo>)>,
    issued_before_ms: u64,
    applies_at_ms: u64,
}

impl RevokeRequest {
    /// From a body. A target that is wrong fails alone; the whole fails with 40001 when there is no list of texts, with
    /// 40003 for too many targets, or a time that is no number or of the future.
    pub fn from_value(body: &Value, now_ms: u64) -> Result<RevokeRequest, ErrorInfo> {
        let no_list = || Code::BadBody.because("targets must be a list of strings");
        let listed = body.get("targets").and_then(Value::as_array).ok_or_else(no_list)?;
        if listed.is_empty() || listed.len() > REVOKE_MAX_TARGETS {
            return Err(Code::BadParameter.because(format!("targets must have 1 to {REVOKE_MAX_TARGETS} elements")));
        }
        let read = |value: &Value| value.as_str().map(|text| (text.to_owned(), Target::parse(text)));
        let targets = listed.iter().map(read).collect::<Option<Vec<_>>>().ok_or_else(no_list)?;
        let margin_ms = if margin(body)? { REAUTH_MARGIN_MS } else { 0 };
        let issued_before_ms = issued_before_ms(body, now_ms)?;
        Ok(RevokeRequest { targets, issued_before_ms, applies_at_ms: now_ms.saturating_add(margin_ms) })
    }

    /// Whether `authority` may revoke the tokens of `key_name`, whose app is `app`. Fails with 40162 for a token, 40101
    /// for another key, 40400 for an unknown one, 40163 when the key's tokens cannot be revoked.
    pub fn authorize(key_name: &KeyName, app: Option<&App>, authority: &Grant) -> Result<(), ErrorInfo> {
        if !authority.basic {
            return Err(Code::BasicRequired.into());
        }
        if authority.key_name != *key_name {
            return Err(Code::BadCredentials.because("a key revokes its own tokens only"));
        }
        match app.and_then(|app| app.key(key_name)) {
            None => Err(Code::NotFound.because("no such key")),
            Some(key) if !key.revocable_tokens => Err(Code::NotRevocable.into()),
            Some(_) => Ok(()),
        }
    }
}

fn margin(body: &Value) -> Result<bool, ErrorInfo> {
    match body.get("allowReauthMargin") {
        None | Some(Value::Null) => Ok(false),
        Some(value) => {
            value.as_bool().ok_or_else(|| Code::BadParameter.because("allowReauthMargin must be true or false"))
        }
    }
}

/// Now, when absent. A client's clock may be ahead of ours by as much as anywhere else.
fn issued_before_ms(body: &Value, now_ms: u64) -> Result<u64, ErrorInfo> {
    let Some(value) = body.get("issuedBefore").filter(|value| !value.is_null()) else { return Ok(now_ms) };
    let whole = value.as_u64().or_else(|| value.as_f64().filter(|float| *float >= 0.0).map(|float| float as u64));
    // Tokens of before that have expired.
    let oldest_ms = now_ms.saturating_sub(REVOCABLE_TOKEN_MAX_TTL_MS);
    let current = whole.filter(|time_ms| (oldest_ms..=now_ms.saturating_add(CLOCK_SKEW_MAX_MS)).contains(time_ms));
    current.ok_or_else(|| Code::BadParameter.because("issuedBefore must be a time in ms, of the last hour"))
}

/// The answer, one result for each target in their order.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RevokeReport {
    pub success_count: usize,
    pub failure_count: usize,
    pub results: Vec<RevokeResult>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum RevokeResult {
    Revoked { target: String, issued_before: u64, applies_at: u64 },
    Failed { target: String, error: ErrorInfo },
}

/// The revocations in force in one app, at most [`REVOCATIONS_MAX`].
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    by_key: HashMap<KeyName, Marks>,
}

/// What is revoked of one key, by kind of target: three maps, so that asking needs no text to be built.
#[derive(Clone, Debug, Default)]
struct Marks {
    client_ids: HashMap<String, Mark>,
    revocation_keys: HashMap<String, Mark>,
    channels: HashMap<String, Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    issued_before_ms: u64,
    applies_at_ms: u64,
}

impl Revocations {
    /// Takes one into force. Gives it as it stands then: the stricter of it and what was in force for its target. Fails
    /// with 42910 when there are too many.
    pub fn insert(&mut self, mut revocation: Revocation) -> Result<Revocation, ErrorInfo> {
        let is_full = self.len() >= REVOCATIONS_MAX;
        let marks = self.by_key.entry(revocation.key_name.clone()).or_default();
        let mark = match marks.get(&revocation.target) {
            Some(known) => known.merged(Mark::of(&revocation)),
            None if is_full => return Err(too_many()),
            None => Mark::of(&revocation),
        };
        marks.insert(&revocation.target, mark);
        (revocation.issued_before_ms, revocation.applies_at_ms) = (mark.issued_before_ms, mark.applies_at_ms);
        Ok(revocation)
    }

    /// From when on the grant is void: connections that hold it end then with 40141. `None` when it is not revoked.
    /// Takes one look for each of its own ids and resources, however many revocations there are.
    pub fn void_at_ms(&self, grant: &Grant) -> Option<u64> {
        let marks = self.by_key.get(&grant.key_name)?;
        let issued_at_ms = grant.issued_at_ms.filter(|_| !grant.basic)?;
        let client_id = grant.client_id.as_str().and_then(|name| marks.client_ids.get(name));
        let channels = grant.capability.resources().filter_map(|resource| marks.channels.get(resource));
        let also =
            grant.also_revoked_by.iter().flat_map(|targets| targets.iter()).filter_map(|target| marks.get(target));
        let hits = channels.chain(client_id).chain(also).filter(|mark| issued_at_ms < mark.issued_before_ms);
        hits.map(|mark| mark.applies_at_ms).min()
    }

    /// Whether the grant is void now.
    pub fn revokes(&self, grant: &Grant, now_ms: u64) -> bool {
        self.void_at_ms(grant).is_some_and(|void_at_ms| void_at_ms <= now_ms)
    }

    /// Drops those whose tokens have all expired.
    pub fn forget(&mut self, now_ms: u64) {
        for marks in self.by_key.values_mut() {
            for map in [&mut marks.client_ids, &mut marks.revocation_keys, &mut marks.channels] {
                map.retain(|_, mark| mark.forget_at_ms() > now_ms);
            }
        }
        self.by_key.retain(|_, marks| marks.len() > 0);
    }

    /// When the last revocation of a key's tokens can be forgotten.
    pub fn end_at_ms(&self, key_name: &KeyName) -> Option<u64> {
        self.by_key.get(key_name)?.all().map(|mark| mark.forget_at_ms()).max()
    }

    pub fn len(&self) -> usize {
        self.by_key.values().map(Marks::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl RevokeRequest {
    /// What it asks to take into force: its good targets, in their order.
    pub fn revocations(&self, key_name: &KeyName) -> Vec<Revocation> {
        let (issued_before_ms, applies_at_ms) = (self.issued_before_ms, self.applies_at_ms);
        let targets = self.targets.iter().filter_map(|(_, target)| target.clone().ok());
        targets
            .map(|target| Revocation { key_name: key_name.clone(), target, issued_before_ms, applies_at_ms })
            .collect()
    }

    /// The answer, with what became of each of [`RevokeRequest::revocations`].
    pub fn report(self, outcomes: Vec<Result<(), ErrorInfo>>) -> RevokeReport {
        let (issued_before, applies_at) = (self.issued_before_ms, self.applies_at_ms);
        let mut outcomes = outcomes.into_iter();
        let unanswered = || Err(Code::Internal.because("the app left a target unanswered"));
        let result = |(target, read): (String, Result<Target, ErrorInfo>)| match read
            .and_then(|_| outcomes.next().unwrap_or_else(unanswered))
        {
            Ok(()) => RevokeResult::Revoked { target, issued_before, applies_at },
            Err(error) => RevokeResult::Failed { target, error },
        };
        let results: Vec<RevokeResult> = self.targets.into_iter().map(result).collect();
        let failed = |result: &&RevokeResult| matches!(result, RevokeResult::Failed { .. });
        let failure_count = results.iter().filter(failed).count();
        RevokeReport { success_count: results.len() - failure_count, failure_count, results }
    }
}

fn too_many() -> ErrorInfo {
    Code::RateLimited.because(format!("at most {REVOCATIONS_MAX} revocations are in force"))
}

impl Marks {
    fn get(&self, target: &Target) -> Option<&Mark> {
        match target {
            Target::ClientId(value) => self.client_ids.get(value),
            Target::RevocationKey(value) => self.revocation_keys.get(value),
            Target::Channel(value) => self.channels.get(value),
        }
    }

    fn insert(&mut self, target: &Target, mark: Mark) {
        let (map, value) = match target {
            Target::ClientId(value) => (&mut self.client_ids, value),
            Target::RevocationKey(value) => (&mut self.revocation_keys, value),
            Target::Channel(value) => (&mut self.channels, value),
        };
        map.insert(value.clone(), mark);
    }

    fn all(&self) -> impl Iterator<Item = &Mark> {
        [&self.client_ids, &self.revocation_keys, &self.channels].into_iter().flat_map(HashMap::values)
    }

    fn len(&self) -> usize {
        self.client_ids.len() + self.revocation_keys.len() + self.channels.len()
    }
}

impl Mark {
    fn of(revocation: &Revocation) -> Mark {
        Mark { issued_before_ms: revocation.issued_before_ms, applies_at_ms: revocation.applies_at_ms }
    }

    /// The stricter of both: a margin must not put off what applies already.
    fn merged(self, other: Mark) -> Mark {
        Mark {
            issued_before_ms: self.issued_before_ms.max(other.issued_before_ms),
            applies_at_ms: self.applies_at_ms.min(other.applies_at_ms),
        }
    }

    fn forget_at_ms(self) -> u64 {
        self.issued_before_ms.saturating_add(REVOCABLE_TOKEN_MAX_TTL_MS)
    }
}
