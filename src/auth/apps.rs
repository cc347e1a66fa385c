//! Apps: keys and namespaces. Owns the format of the `APPS` secret, in which apps made at run time are stored too:
//!
//! ```json
//! {"apps": [{
//!   "id": "demo",
//!   "keys": [{"name": "key1", "secret": "local-only", "capability": {"*": ["*"]}, "revocableTokens": false,
//!             "pusher": false}],
//!   "namespaces": [{"id": "chat", "persisted": true}],
//!   "webhooks": [{"id": "log", "url": "https://example.com/hook", "key": "key1"}]
//! }]}
//! ```
//!
//! Here a client's key is `demo.key1:local-only`. A capability is an object, or the text of one, and `{"*":["*"]}`
//! without one. A key may have `validUntil`, in ms since 1970, when it ends.
//!
//! Namespaces take the flags `persisted`, `persistLast`, `authenticated`, `tlsOnly`, `pushEnabled`,
//! `mutableMessages`, `batchingEnabled`, `conflationEnabled`, and `batchingInterval`, `conflationInterval` (ms),
//! `conflationKey` (see [`crate::model::conflation`]), `maxMembers`: how many may be present on a channel, and
//! `retentionHours`: how long what is persisted is kept. The secret may set none that has no effect: see
//! [`Namespace::not_effective`]. The app and each of its namespaces may have `webhooks`: see [`super::webhook`]. The
//! app may have credentials for push services, `push`: see [`super::push`].

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fields::Fields;
use super::push::PushCredentials;
use super::webhook::{Hook, Webhook};
use super::{Capability, Grant, Key, KeyName, Namespace, Operators, Rules, Secret};
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    APPS_MAX, APPS_MAX_BYTES, HOOKS_PER_APP_MAX, KEYS_PER_APP_MAX, NAMESPACES_PER_APP_MAX, SHORT_SECRET_MIN_BYTES,
};
use crate::model::name::{AppId, ChannelName};
use crate::model::node;

/// One app: nothing of it is visible to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct App {
    id: AppId,
    keys: Vec<Key>,
    namespaces: Vec<Namespace>,
    webhooks: Vec<Webhook>,
    push: PushCredentials,
}

impl App {
    /// Fails with 40000 when two keys or namespaces have one name, a key is another app's, or there are too many.
    pub fn new(id: AppId, keys: Vec<Key>, namespaces: Vec<Namespace>) -> Result<App, ErrorInfo> {
        let invalid = |why: &str| Code::BadRequest.because(format!("app {}: {why}", id.as_str()));
        if keys.iter().any(|key| *key.name.app() != id) {
            return Err(invalid("a key is named for another app"));
        }
        if repeated(keys.iter().map(|key| key.name.id())) {
            return Err(invalid("two keys have one name"));
        }
        if repeated(namespaces.iter().map(|namespace| namespace.id.as_str())) {
            return Err(invalid("two namespaces have one id"));
        }
        if keys.len() > KEYS_PER_APP_MAX || namespaces.len() > NAMESPACES_PER_APP_MAX {
            let most = format!("it has at most {KEYS_PER_APP_MAX} keys and {NAMESPACES_PER_APP_MAX} namespaces");
            return Err(invalid(&most));
        }
        Ok(App { id, keys, namespaces, webhooks: Vec::new(), push: PushCredentials::default() })
    }

    /// With these webhooks beside those of its namespaces. Fails with 40000 when two of all have one id, one names a
    /// key that there is not, or there are too many.
    fn with_webhooks(self, webhooks: Vec<Webhook>) -> Result<App, ErrorInfo> {
        let app = App { webhooks, ..self };
        let invalid = |why: String| Err(Code::BadRequest.because(format!("app {}: {why}", app.id.as_str())));
        if let Some(webhook) = app.all_webhooks().find(|webhook| !app.has_key_of(webhook)) {
            return invalid(format!("the webhook {} names a key that the app does not have", webhook.id()));
        }
        if repeated(app.all_webhooks().map(Webhook::id)) {
            return invalid("two webhooks have one id".to_owned());
        }
        if app.all_webhooks().count() > HOOKS_PER_APP_MAX {
            return invalid(format!("it has at most {HOOKS_PER_APP_MAX} webhooks, those of its namespaces included"));
        }
        Ok(app)
    }

    fn all_webhooks(&self) -> impl Iterator<Item = &Webhook> {
        self.webhooks.iter().chain(self.namespaces.iter().flat_map(|namespace| &namespace.rules.webhooks))
    }

    pub fn has_webhook(&self, id: &str) -> bool {
        self.all_webhooks().any(|webhook| webhook.id() == id)
    }

    fn has_key_of(&self, webhook: &Webhook) -> bool {
        webhook.key().is_none_or(|key| self.keys.iter().any(|known| known.name.id() == key))
    }

    /// Where events of a channel go: the app's webhooks, and those of its namespace.
    pub fn hooks(&self, channel: &ChannelName) -> Vec<Hook> {
        let webhooks = self.webhooks.iter().chain(&self.rules(channel).webhooks);
        webhooks.filter_map(|webhook| webhook.on(self, channel)).collect()
    }

    /// Whether a webhook is told who comes and goes.
    pub fn tells_of_connections(&self) -> bool {
        self.webhooks.iter().any(Webhook::tells_of_connections)
    }

    /// Fails with 40000 when a webhook is at an address that not everybody may make this server call.
    pub fn check_addresses(&self) -> Result<(), ErrorInfo> {
        let Some(webhook) = self.all_webhooks().find(|webhook| !webhook.is_public()) else { return Ok(()) };
        let what = "must be at a public name, over https, unless WEBHOOK_PRIVATE_ADDRESSES is true";
        Err(Code::BadRequest.because(format!("app {}: the webhook {} {what}", self.id.as_str(), webhook.id())))
    }

    /// Fails with 40000 when a webhook's own secret is shorter than the deployment's secrets must be.
    pub fn check_webhook_secrets(&self, min_bytes: usize) -> Result<(), ErrorInfo> {
        let Some(webhook) = self.all_webhooks().find(|webhook| !webhook.has_secret_of(min_bytes)) else {
            return Ok(());
        };
        let what = format!("must have a secret of at least {min_bytes} bytes");
        Err(Code::BadRequest.because(format!("app {}: the webhook {} {what}", self.id.as_str(), webhook.id())))
    }

    /// Fails with 40000 when a key's secret signs what clients say: they could make themselves tokens of the key. A
    /// webhook that the app `had` so, by an earlier build, is not refused.
    pub fn check_webhook_signers(&self, had: Option<&App>) -> Result<(), ErrorInfo> {
        let signs = |app: &App, webhook: &&Webhook| webhook.signs_as(&app.keys);
        let is_known = |webhook: &&Webhook| {
            had.is_some_and(|app| app.all_webhooks().any(|known| known.id() == webhook.id() && signs(app, &known)))
        };
        let new = self.all_webhooks().find(|webhook| signs(self, webhook) && !is_known(webhook));
        let Some(webhook) = new else { return Ok(()) };
        let what = "must have a secret of its own with enveloped: false, since the body is what clients say";
        Err(Code::BadRequest.because(format!("app {}: the webhook {} {what}", self.id.as_str(), webhook.id())))
    }

    /// Fails with 40000 when a push service is at an address that not everybody may make this server call.
    pub fn check_push_addresses(&self) -> Result<(), ErrorInfo> {
        if self.push.is_public() {
            return Ok(());
        }
        let what = "must be at public names, over https, unless PUSH_PRIVATE_ADDRESSES is true";
        Err(Code::BadRequest.because(format!("app {}: its push services {what}", self.id.as_str())))
    }

    /// For services that know who sends.
    pub fn push(&self) -> &PushCredentials {
        &self.push
    }

    pub fn id(&self) -> &AppId {
        &self.id
    }

    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    pub fn key(&self, name: &KeyName) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == *name)
    }

    /// One that has not ended.
    pub fn live_key(&self, name: &KeyName, now_ms: u64) -> Option<&Key> {
        self.key(name).filter(|key| !key.has_ended(now_ms))
    }

    /// The deployment itself, as far as it is one: what happens on its metachannels is of no app.
    fn of_deployment() -> App {
        App {
            id: AppId::deployment(),
            keys: Vec::new(),
            namespaces: Vec::new(),
            webhooks: Vec::new(),
            push: PushCredentials::default(),
        }
    }

    /// Whether a revocation could end the grant; or another, that a client shows later who has not said by which key it
    /// comes.
    pub fn is_revocable(&self, grant: &Grant) -> bool {
        let is_revocable = |key: &Key| key.revocable_tokens;
        let may_be = !grant.basic && grant.key_name.reach().is_none();
        let of_key = |key: &Key| grant.issued_at_ms.is_some() && is_revocable(key);
        may_be && self.key(&grant.key_name).map_or_else(|| self.keys.iter().any(is_revocable), of_key)
    }

    /// The rules of a channel: those of its namespace, else of the namespace `*`, else none. A metachannel has none.
    pub fn rules(&self, channel: &ChannelName) -> &Rules {
        if !channel.is_of_clients() {
            return Rules::NONE;
        }
        let id = channel.namespace().unwrap_or(channel.plain());
        let named = |id: &str| self.namespaces.iter().find(|namespace| namespace.id == id);
        named(id).or_else(|| named("*")).map_or(Rules::NONE, |namespace| &namespace.rules)
    }

    /// As it stands in the configuration, secrets included: to store it, or to show it to the one who made it.
    pub fn to_json(&self) -> Value {
        let namespaces: Vec<Value> = self.namespaces.iter().map(Namespace::to_json).collect();
        let keys: Vec<Value> = self.keys.iter().map(key_to_json).collect();
        let mut json = json!({ "id": self.id.as_str(), "keys": keys, "namespaces": namespaces });
        if !self.webhooks.is_empty() {
            json["webhooks"] = self.webhooks.iter().map(Webhook::to_json).collect();
        }
        if !self.push.is_empty() {
            json["push"] = self.push.to_json();
        }
        json
    }

    fn read(value: &Value, path: &str, secret_min_bytes: usize) -> Result<App, ErrorInfo> {
        let fields = Fields::of(value, path, &["id", "keys", "namespaces", "webhooks", "push"])?;
        let id = fields.parsed("id", AppId::parse)?;
        let keys = fields.list("keys", KEYS_PER_APP_MAX, |key, path| read_key(&id, key, path, secret_min_bytes))?;
        let namespace = |value, path: &str| Namespace::read(value, path, secret_min_bytes);
        let namespaces = fields.list("namespaces", NAMESPACES_PER_APP_MAX, namespace)?;
        let webhook = |value, path: &str| Webhook::read(value, path, secret_min_bytes);
        let webhooks = fields.list("webhooks", HOOKS_PER_APP_MAX, webhook)?;
        let push = fields.optional("push");
        let push = push.map(|push| PushCredentials::read(push, &fields.path_to("push"))).transpose()?;
        let app = App::new(id, keys, namespaces)?.with_webhooks(webhooks)?;
        Ok(App { push: push.unwrap_or_default(), ..app })
    }

    /// One of the configuration. Fails also for a rule without effect.
    fn read_configured(value: &Value, path: &str, secret_min_bytes: usize) -> Result<App, ErrorInfo> {
        let app = App::read(value, path, secret_min_bytes)?;
        let mut namespaces = app.namespaces.iter().enumerate();
        namespaces.try_for_each(|(index, one)| one.check_effective(&format!("{path}.namespaces[{index}]")))?;
        Ok(app)
    }
}

fn read_key(app: &AppId, value: &Value, path: &str, secret_min_bytes: usize) -> Result<Key, ErrorInfo> {
    const KNOWN: [&str; 6] = ["name", "secret", "capability", "revocableTokens", "validUntil", "pusher"];
    let fields = Fields::of(value, path, &KNOWN)?;
    let name = fields.parsed("name", |name| KeyName::new(app.clone(), name))?;
    let secret = fields.parsed("secret", |text| Secret::parse(text, secret_min_bytes))?;
    let capability = match fields.optional("capability") {
        None => Capability::full(),
        Some(value) => {
            let wrong = |error: ErrorInfo| fields.wrong("capability", &format!("is wrong: {}", error.message));
            Capability::from_value(value).map_err(wrong)?
        }
    };
    let (revocable_tokens, pusher) = (fields.flag("revocableTokens")?, fields.flag("pusher")?);
    let valid_until_ms = fields.whole("validUntil", "must be whole milliseconds since 1970")?;
    Ok(Key { name, secret, capability, revocable_tokens, valid_until_ms, pusher })
}

fn key_to_json(key: &Key) -> Value {
    let mut shown = json!({
        "name": key.name.id(),
        "secret": key.secret.expose(),
        "capability": key.capability.text(),
        "revocableTokens": key.revocable_tokens,
    });
    if let Some(until_ms) = key.valid_until_ms {
        shown["validUntil"] = json!(until_ms);
    }
    if key.pusher {
        shown["pusher"] = true.into();
    }
    shown
}

fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut sorted: Vec<&str> = names.collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// As it was stored: what its secrets must be was decided when it was made.
impl TryFrom<Value> for App {
    type Error = ErrorInfo;

    fn try_from(value: Value) -> Result<App, ErrorInfo> {
        App::read(&value, "", SHORT_SECRET_MIN_BYTES)
    }
}

impl From<App> for Value {
    fn from(app: App) -> Value {
        app.to_json()
    }
}

/// The apps of the configuration. A list: to compare a thousand short ids takes microseconds.
#[derive(Clone, Debug, Default)]
pub struct Apps {
    all: Vec<Rc<App>>,
    operated: Option<Operated>,
}

/// A deployment that somebody has the admin token of.
#[derive(Clone, Debug)]
struct Operated {
    operators: Operators,
    deployment: Rc<App>,
}

impl Apps {
    /// From the secret `APPS`. Fails with 40000, saying where and what, at the first thing that is wrong: also a secret
    /// of fewer bytes, [`SECRET_MIN_BYTES`](crate::limits::SECRET_MIN_BYTES) unless the deployment is a local one.
    pub fn parse(text: &str, secret_min_bytes: usize) -> Result<Apps, ErrorInfo> {
        if text.len() > APPS_MAX_BYTES {
            return Err(Code::BadRequest.because(format!("apps: the text has more than {APPS_MAX_BYTES} bytes")));
        }
        let value = node::value_of(text.as_bytes()).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Code::BadRequest.because(format!("apps: the text is not JSON at line {line}, column {column}"))
        })?;
        let read = |app: &Value, path: &str| App::read_configured(app, path, secret_min_bytes);
        let apps = Fields::of(&value, "", &["apps"])?.list("apps", APPS_MAX, read)?;
        if repeated(apps.iter().map(|app| app.id.as_str())) {
            return Err(Code::BadRequest.because("apps: two apps have one id"));
        }
        Ok(Apps::of(apps.into_iter().map(Rc::new)))
    }

    /// Just these, or this one.
    pub fn of(apps: impl IntoIterator<Item = Rc<App>>) -> Apps {
        Apps { all: apps.into_iter().collect(), operated: None }
    }

    /// The same where operators may hear what happens in them, and in the deployment itself, which is no app that is
    /// listed.
    pub fn operated_by(self, operators: Operators) -> Apps {
        let deployment = Rc::new(App::of_deployment());
        Apps { operated: Some(Operated { operators, deployment }), ..self }
    }

    /// The signer of operators' tokens, if the deployment has an admin token.
    pub fn operators(&self) -> Option<&Operators> {
        self.operated.as_ref().map(|operated| &operated.operators)
    }

    pub fn get(&self, id: &AppId) -> Option<&Rc<App>> {
        let deployment = self.operated.as_ref().map(|operated| &operated.deployment);
        self.iter().chain(deployment).find(|app| app.id == *id)
    }

    /// The one that there is, if there is one only.
    pub fn only(&self) -> Option<&Rc<App>> {
        let mut apps = self.iter();
        apps.next().filter(|_| apps.next().is_none())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rc<App>> {
        self.all.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
