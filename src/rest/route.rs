//! From a path to what is asked, and by which methods it may be.
//!
//! A path is split before it is decoded, so that an encoded slash is a part of a channel's name. Nothing else in a name
//! has a meaning here: `..` is a channel as good as any.

use super::admin::{AdminRoute, Matter};
use super::chat;
use super::push::PushRoute;
#[cfg(feature = "pusher")]
use super::pusher::PusherRoute;
use crate::auth::KeyName;
use crate::error::{Code, ErrorInfo};
use crate::http::percent;
use crate::intake::parameters::QueryOf;
use crate::limits::{BATCH_BODY_MAX_BYTES, BODY_MAX_BYTES};
use crate::model::name::{AppId, ChannelName};

#[derive(Debug, PartialEq)]
pub enum Route {
    Time,
    /// `/channels/{channel}/messages`
    Messages(ChannelName),
    /// `/channels/{channel}/messages/{serial}`: one message, as it is now, and what is done to it.
    Message(ChannelName, String),
    /// `/channels/{channel}/messages/{serial}/versions`
    Versions(ChannelName, String),
    /// `/channels/{channel}/publish`: the same, to publish only.
    Publish(ChannelName),
    /// `/channels/{channel}/history`: the same, to read only.
    History(ChannelName),
    /// `/channels/{channel}/presence`
    Presence(ChannelName),
    /// `/channels/{channel}/presence/history`
    PresenceHistory(ChannelName),
    /// `/channels/{channel}/object`, and `/channels/{channel}/object/{id}`
    Objects(ChannelName, Option<String>),
    /// `/channels/{channel}/messages/{serial}/annotations`
    Annotations(ChannelName, String),
    /// `/channels/{channel}/messages/{serial}/client-summary`
    ClientSummary(ChannelName, String),
    /// `/chat/v4/rooms/{room}/…`
    Chat(ChannelName, chat::Wanted),
    /// `/presence`
    PresenceBatch,
    /// `/messages`
    Batch,
    RequestToken(KeyName),
    RevokeTokens(KeyName),
    /// `/channels/{channel}`: whether it is active, and how many are there.
    Channel(ChannelName),
    /// `/channels`: those that are.
    Channels,
    Apps,
    /// `/apps/{app}/…`, `/audit`
    Admin(AdminRoute),
    /// `/apps/{id}/webhooks`: how they fare.
    Webhooks(AppId),
    /// `/apps/{id}/webhooks/dead-letters`: what was given up, with its events.
    DeadLetters(AppId),
    /// `/push/…`
    Push(PushRoute),
    /// `/apps/{id}/events` and others, as the API of Pusher Channels has them
    #[cfg(feature = "pusher")]
    Pusher(PusherRoute),
    /// `/stats`
    Stats,
    /// `/metrics`
    Metrics,
}

impl Route {
    /// Fails with 40400 for a path, or a key's name, that cannot be; with 40010 for such a channel's name, and with
    /// 40003 for such a serial.
    pub fn find(path: &str) -> Result<Route, ErrorInfo> {
        let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).splitn(5, '/').collect();
        #[cfg(feature = "pusher")]
        if let Some(route) = PusherRoute::find(&segments) {
            return route.map(Route::Pusher);
        }
        match segments[..] {
            ["time"] => Ok(Route::Time),
            ["messages"] => Ok(Route::Batch),
            ["channels", channel, "messages"] => Ok(Route::Messages(channel_name(channel)?)),
            ["channels", channel, "messages", serial] if !serial.is_empty() => {
                Ok(Route::Message(channel_name(channel)?, serial_of(serial)?))
            }
            ["channels", channel, "messages", serial, "versions"] => {
                Ok(Route::Versions(channel_name(channel)?, serial_of(serial)?))
            }
            ["channels", channel, "publish"] => Ok(Route::Publish(channel_name(channel)?)),
            ["channels", channel, "history"] => Ok(Route::History(channel_name(channel)?)),
            ["presence"] => Ok(Route::PresenceBatch),
            ["channels", channel, "presence"] => Ok(Route::Presence(channel_name(channel)?)),
            ["channels", channel, "presence", "history"] => Ok(Route::PresenceHistory(channel_name(channel)?)),
            ["channels", channel, "object" | "objects"] => Ok(Route::Objects(channel_name(channel)?, None)),
            ["channels", channel, "object" | "objects", id] => {
                let id = percent::decode(id).ok_or_else(|| Code::NoSuchObject.because("that is no id of an object"))?;
                Ok(Route::Objects(channel_name(channel)?, Some(id)))
            }
            ["channels", channel, "messages", serial, "annotations"] => {
                Ok(Route::Annotations(channel_name(channel)?, serial_of(serial)?))
            }
            ["channels", channel, "messages", serial, "client-summary"] => {
                Ok(Route::ClientSummary(channel_name(channel)?, serial_of(serial)?))
            }
            ["chat", "v4", "rooms", room, path] => {
                chat::Wanted::find(room, path).map(|(channel, wanted)| Route::Chat(channel, wanted))
            }
            ["channels"] => Ok(Route::Channels),
            ["channels", channel] => Ok(Route::Channel(channel_name(channel)?)),
            ["push", ref segments @ ..] => PushRoute::find(segments).map(Route::Push),
            ["stats"] => Ok(Route::Stats),
            ["metrics"] => Ok(Route::Metrics),
            ["apps"] => Ok(Route::Apps),
            ["apps", id] => AdminRoute::of_app(id, Matter::App).map(Route::Admin),
            ["apps", id, "webhooks"] => {
                AppId::parse(id).map(Route::Webhooks).map_err(|_| Code::NotFound.because("no such app"))
            }
            ["apps", id, "webhooks", "dead-letters"] => {
                AppId::parse(id).map(Route::DeadLetters).map_err(|_| Code::NotFound.because("no such app"))
            }
            ["apps", id, ref segments @ ..] => AdminRoute::find(id, segments).map(Route::Admin),
            ["audit"] => Ok(Route::Admin(AdminRoute { app: None, matter: Matter::Audit })),
            ["tokens"] => Ok(Route::Admin(AdminRoute { app: None, matter: Matter::Tokens })),
            ["keys", name, "revokeTokens"] => Ok(Route::RevokeTokens(key_name(name)?)),
            ["keys", name, "requestToken"] => Ok(Route::RequestToken(key_name(name)?)),
            _ => Err(Code::NotFound.because(format!("there is no such path here: {}", instead_of(&segments)))),
        }
    }

    /// As the header `Allow` lists them, but for HEAD, which goes wherever GET does.
    pub fn methods(&self) -> &'static str {
        match self {
            Route::Time | Route::History(_) | Route::Channel(_) | Route::Channels => "GET, OPTIONS",
            Route::Versions(..) => "GET, OPTIONS",
            Route::Message(..) => "GET, PATCH, OPTIONS",
            Route::Presence(_) | Route::PresenceHistory(_) | Route::PresenceBatch => "GET, OPTIONS",
            Route::Messages(_) => "GET, POST, DELETE, OPTIONS",
            Route::RequestToken(_) | Route::Objects(_, None) | Route::Annotations(..) => "GET, POST, OPTIONS",
            Route::Stats | Route::Apps => "GET, POST, OPTIONS",
            Route::Metrics | Route::Webhooks(_) => "GET, OPTIONS",
            Route::DeadLetters(_) => "GET, DELETE, OPTIONS",
            Route::Objects(_, Some(_)) | Route::ClientSummary(..) => "GET, OPTIONS",
            Route::Batch | Route::Publish(_) | Route::RevokeTokens(_) => "POST, OPTIONS",
            Route::Admin(route) => route.methods(),
            Route::Push(route) => route.methods(),
            #[cfg(feature = "pusher")]
            Route::Pusher(route) => route.methods(),
            Route::Chat(_, wanted) => wanted.methods(),
        }
    }

    /// The app that the path itself names.
    pub fn app(&self) -> Option<&AppId> {
        match self {
            Route::RequestToken(key) | Route::RevokeTokens(key) => Some(key.app()),
            Route::Admin(route) => route.app.as_ref(),
            #[cfg(feature = "pusher")]
            Route::Pusher(route) => route.app(),
            Route::Webhooks(id) | Route::DeadLetters(id) => Some(id),
            _ => None,
        }
    }

    pub fn body_max_bytes(&self) -> usize {
        match self {
            Route::Batch | Route::Push(PushRoute::Batch) => BATCH_BODY_MAX_BYTES,
            #[cfg(feature = "pusher")]
            Route::Pusher(PusherRoute::BatchEvents(_)) => BATCH_BODY_MAX_BYTES,
            _ => BODY_MAX_BYTES,
        }
    }

    /// Whether the answer may be about all apps of the deployment.
    pub fn is_of_deployment(&self, method: &str) -> bool {
        *self == Route::Metrics || [Route::Apps, Route::Stats].contains(self) && method != "POST"
    }

    /// Which parameters a request by this method may have.
    pub fn query_of(&self, method: &str) -> QueryOf {
        match self {
            Route::Messages(_) if method == "POST" => QueryOf::Publish,
            Route::Messages(_) if method == "DELETE" => QueryOf::Plain,
            Route::Publish(_) => QueryOf::Publish,
            Route::Message(..) if method == "PATCH" => QueryOf::Operation,
            Route::Message(..) => QueryOf::Plain,
            Route::Versions(..) => QueryOf::Versions,
            Route::Messages(_) | Route::History(_) | Route::PresenceHistory(_) => QueryOf::History,
            Route::Presence(_) => QueryOf::Members,
            Route::Objects(..) if method != "POST" => QueryOf::Objects,
            Route::PresenceBatch => QueryOf::MembersOfMany,
            Route::Annotations(..) if method != "POST" => QueryOf::Annotations,
            Route::Annotations(..) => QueryOf::Plain,
            Route::ClientSummary(..) => QueryOf::ClientSummary,
            Route::Chat(_, wanted) => wanted.query_of(method),
            Route::Batch => QueryOf::Batch,
            Route::Channels => QueryOf::Channels,
            Route::RequestToken(_) => QueryOf::Token,
            Route::Push(route) => route.query_of(),
            #[cfg(feature = "pusher")]
            Route::Pusher(route) => route.query_of(),
            Route::Admin(route) => route.query_of(method),
            Route::Time | Route::Channel(_) | Route::RevokeTokens(_) | Route::Apps => QueryOf::Plain,
            Route::Stats if method != "POST" => QueryOf::Stats,
            Route::DeadLetters(_) if method == "DELETE" => QueryOf::ForgetDead,
            Route::DeadLetters(_) => QueryOf::Pages,
            Route::Objects(..) | Route::Stats | Route::Metrics | Route::Webhooks(_) => QueryOf::Plain,
        }
    }

    pub fn allows(&self, method: &str) -> bool {
        let method = if method == "HEAD" { "GET" } else { method };
        self.methods().split(", ").any(|allowed| allowed == method)
    }
}

/// What there is in the place of a path that is not there.
fn instead_of(segments: &[&str]) -> &'static str {
    match segments {
        ["channels", _, "messages", ..] => "a message has its serial, versions, annotations and client-summary",
        ["channels", _, "object" | "objects", ..] => "a channel has object and object/{objectId}",
        ["channels", ..] => "a channel has messages, publish, history, presence, presence/history and object",
        ["keys", ..] => "a key, appId.keyId, has requestToken and revokeTokens",
        ["apps", ..] => "an app has webhooks and webhooks/dead-letters",
        ["chat", ..] => "chat is spoken in version 4, below /chat/v4/rooms/{room}/",
        _ => "paths begin with time, channels, messages, presence, chat, keys, push, stats, apps, audit or tokens",
    }
}

fn channel_name(segment: &str) -> Result<ChannelName, ErrorInfo> {
    let decoded = percent::decode(segment);
    ChannelName::parse(&decoded.ok_or_else(|| Code::BadChannelName.because("the name is not percent-encoded UTF-8"))?)
}

fn serial_of(segment: &str) -> Result<String, ErrorInfo> {
    percent::decode(segment).ok_or_else(|| Code::BadParameter.because("the serial is not percent-encoded UTF-8"))
}

fn key_name(segment: &str) -> Result<KeyName, ErrorInfo> {
    let decoded = percent::decode(segment).and_then(|name| KeyName::parse(&name).ok());
    decoded.ok_or_else(|| Code::NotFound.because("no such key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    fn admin(app: &str, matter: Matter) -> Route {
        Route::Admin(AdminRoute { app: Some(AppId::parse(app).unwrap()), matter })
    }

    fn room(wanted: chat::Wanted) -> Route {
        Route::Chat(channel("r::$chat"), wanted)
    }

    /// What a route is, without what it names.
    fn kind(route: &Route) -> String {
        let of = |what: String| what.split(['(', ' ']).next().unwrap_or_default().to_owned();
        match route {
            Route::Admin(route) => format!("Admin {}", of(format!("{:?}", route.matter))),
            Route::Chat(_, wanted) => format!("Chat {}", of(format!("{wanted:?}"))),
            Route::Push(route) => format!("Push {}", of(format!("{route:?}"))),
            route => of(format!("{route:?}")),
        }
    }

    /// The paths of the description and the methods of each, as its lines have them.
    fn described() -> Vec<(String, Vec<String>)> {
        let mut paths: Vec<(String, Vec<String>)> = Vec::new();
        for line in include_str!("../../docs/openapi.yaml").lines() {
            let name = line.trim_start().trim_end_matches(':');
            match line.len() - line.trim_start().len() {
                2 if name.starts_with('/') => paths.push((name.to_owned(), Vec::new())),
                4 if ["get", "post", "put", "patch", "delete"].contains(&name) => {
                    let (_, methods) = paths.last_mut().expect("a method stands below a path");
                    methods.push(name.to_uppercase());
                }
                _ => {}
            }
        }
        paths
    }

    /// The path with a name in each place that has one.
    fn filled(template: &str) -> String {
        let part = |part: &str| match part {
            "{keyName}" => "demo.key1".to_owned(),
            part => part.trim_matches(['{', '}']).to_owned(),
        };
        template.split('/').map(part).collect::<Vec<_>>().join("/")
    }

    #[test]
    fn what_openapi_describes_is_what_there_is() {
        let mut found: Vec<String> = Vec::new();
        for (template, mut methods) in described() {
            let route = Route::find(&filled(&template)).unwrap_or_else(|error| panic!("{template}: {error}"));
            let mut allowed: Vec<&str> = route.methods().split(", ").filter(|method| *method != "OPTIONS").collect();
            allowed.sort_unstable();
            methods.sort_unstable();
            assert_eq!(methods, allowed, "{template}");
            found.push(kind(&route));
        }
        found.sort_unstable();
        found.dedup();
        let mut there: Vec<String> = routed().iter().map(|(_, route)| kind(route)).collect();
        there.sort_unstable();
        there.dedup();
        assert_eq!(found, there, "each route is described");
        assert_eq!(there.len(), ROUTES, "a new route has a path among those that are routed, and is counted");
    }

    /// How many kinds of routes there are: the compiler asks for each variant here.
    const ROUTES: usize = {
        const fn counts(route: &Route) -> usize {
            match route {
                Route::Time | Route::Messages(_) | Route::Message(..) | Route::Versions(..) | Route::Publish(_) => 1,
                Route::History(_) | Route::Presence(_) | Route::PresenceHistory(_) | Route::Objects(..) => 1,
                Route::Annotations(..) | Route::ClientSummary(..) | Route::PresenceBatch | Route::Batch => 1,
                Route::RequestToken(_) | Route::RevokeTokens(_) | Route::Channel(_) | Route::Channels => 1,
                Route::Apps | Route::Stats | Route::Metrics | Route::Webhooks(_) | Route::DeadLetters(_) => 1,
                // Described where Pusher's own API is.
                #[cfg(feature = "pusher")]
                Route::Pusher(_) => 0,
                Route::Admin(_) => MATTERS,
                Route::Chat(..) => 7,
                Route::Push(_) => 9,
            }
        }
        let _ = counts;
        22 + MATTERS + 7 + 9
    };

    const MATTERS: usize = 12;

    #[test]
    fn paths_lead_to_what_is_asked() {
        for (path, route) in routed() {
            assert_eq!(Route::find(path), Ok(route), "{path}");
        }
    }

    fn routed() -> Vec<(&'static str, Route)> {
        vec![
            ("/time", Route::Time),
            ("/messages", Route::Batch),
            ("/channels/scores/messages", Route::Messages(channel("scores"))),
            ("/channels/scores/messages/1-2%40s%3A000", Route::Message(channel("scores"), "1-2@s:000".into())),
            ("/channels/scores/messages/1-2@s:000/versions", Route::Versions(channel("scores"), "1-2@s:000".into())),
            ("/channels/scores/publish", Route::Publish(channel("scores"))),
            ("/channels/scores/history", Route::History(channel("scores"))),
            ("/channels/scores/presence", Route::Presence(channel("scores"))),
            ("/channels/scores/presence/history", Route::PresenceHistory(channel("scores"))),
            ("/presence", Route::PresenceBatch),
            ("/channels/a%2Fb%3Ac/messages", Route::Messages(channel("a/b:c"))),
            ("/channels/a:b@c+d/messages", Route::Messages(channel("a:b@c+d"))),
            ("/channels/%C3%BC%20%E2%98%83/messages", Route::Messages(channel("ü ☃"))),
            ("/channels/%5B%3Frewind%3D1%5Dx/messages", Route::Messages(channel("[?rewind=1]x"))),
            ("/channels/%2e%2E/messages", Route::Messages(channel(".."))),
            ("/channels/..%2F..%2Ftime/messages", Route::Messages(channel("../../time"))),
            ("/channels/%252F/messages", Route::Messages(channel("%2F"))),
            ("/channels/messages/messages", Route::Messages(channel("messages"))),
            ("/channels/scores/object", Route::Objects(channel("scores"), None)),
            ("/channels/scores/objects", Route::Objects(channel("scores"), None)),
            ("/channels/a/object/map%3Ax%401", Route::Objects(channel("a"), Some("map:x@1".to_owned()))),
            ("/channels", Route::Channels),
            ("/channels/a", Route::Channel(channel("a"))),
            ("/channels/a%2Fmessages", Route::Channel(channel("a/messages"))),
            ("/keys/demo.key1/revokeTokens", Route::RevokeTokens(KeyName::parse("demo.key1").unwrap())),
            ("/apps", Route::Apps),
            ("/stats", Route::Stats),
            ("/metrics", Route::Metrics),
            (
                "/channels/a/messages/1-0%40s%3A000/annotations",
                Route::Annotations(channel("a"), "1-0@s:000".to_owned()),
            ),
            ("/channels/a/messages/s/client-summary", Route::ClientSummary(channel("a"), "s".to_owned())),
            ("/push/publish", Route::Push(PushRoute::Publish)),
            ("/push/batch/publish", Route::Push(PushRoute::Batch)),
            ("/push/deviceRegistrations/a%2Fb", Route::Push(PushRoute::Device("a/b".to_owned()))),
            ("/push/deviceRegistrations/a/resetUpdateToken", Route::Push(PushRoute::Renew("a".to_owned()))),
            ("/push/channelSubscriptions", Route::Push(PushRoute::Subscriptions)),
            ("/push/publicVapidKey", Route::Push(PushRoute::Key)),
            ("/apps/demo", admin("demo", Matter::App)),
            ("/apps/demo/connections", admin("demo", Matter::Connections)),
            ("/apps/demo/connections/a%2Fb/disconnect", admin("demo", Matter::Disconnect(Some("a/b".to_owned())))),
            ("/apps/demo/disconnect", admin("demo", Matter::Disconnect(None))),
            ("/apps/demo/bans", admin("demo", Matter::Bans)),
            ("/apps/demo/audit", admin("demo", Matter::Audit)),
            ("/apps/demo/tokens", admin("demo", Matter::Tokens)),
            ("/apps/demo/keys", admin("demo", Matter::Keys)),
            ("/apps/demo/keys/k", admin("demo", Matter::Key(KeyName::parse("demo.k").unwrap()))),
            ("/apps/demo/keys/k/rotate", admin("demo", Matter::Rotation(KeyName::parse("demo.k").unwrap()))),
            ("/apps/demo/namespaces", admin("demo", Matter::Namespaces)),
            ("/apps/demo/namespaces/%2A", admin("demo", Matter::Namespace("*".to_owned()))),
            ("/apps/demo/channels/a%3Ab/messages", admin("demo", Matter::Messages(channel("a:b")))),
            ("/audit", Route::Admin(AdminRoute { app: None, matter: Matter::Audit })),
            ("/tokens", Route::Admin(AdminRoute { app: None, matter: Matter::Tokens })),
            ("/apps/demo/webhooks", Route::Webhooks(AppId::parse("demo").unwrap())),
            ("/apps/demo/webhooks/dead-letters", Route::DeadLetters(AppId::parse("demo").unwrap())),
            ("/keys/demo.key1/requestToken", Route::RequestToken(KeyName::parse("demo.key1").unwrap())),
            ("/push/deviceRegistrations", Route::Push(PushRoute::Devices)),
            ("/push/channels", Route::Push(PushRoute::Channels)),
            ("/push/apnsBroadcastChannels", Route::Push(PushRoute::LiveActivities)),
            ("/chat/v4/rooms/r/messages", room(chat::Wanted::Messages)),
            ("/chat/v4/rooms/r/messages/s", room(chat::Wanted::Message("s".to_owned()))),
            ("/chat/v4/rooms/r/messages/s/delete", room(chat::Wanted::Deletion("s".to_owned()))),
            ("/chat/v4/rooms/r/messages/s/versions", room(chat::Wanted::Versions("s".to_owned()))),
            ("/chat/v4/rooms/r/messages/s/reactions", room(chat::Wanted::Reactions("s".to_owned()))),
            ("/chat/v4/rooms/r/messages/s/client-reactions", room(chat::Wanted::ClientReactions("s".to_owned()))),
            ("/chat/v4/rooms/r/occupancy", room(chat::Wanted::Occupancy)),
        ]
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in [
            "",
            "/",
            "//",
            "/time/",
            "//time",
            "/Time",
            "/%74ime",
            "/channels/a/",
            "/channels/a/presence/",
            "/channels/a/presence/history/x",
            "/presence/a",
            "/apps/",
            "/apps/a.b",
            "/apps/a/b",
            "/apps/a.b/bans",
            "/apps/a/bans/",
            "/apps/a/keys/b.c",
            "/apps/a/connections/x",
            "/apps/a/channels/x/history",
            "/audit/a",
            "/tokens/a",
            "/apps/*/tokens",
            "/apps/%61",
            "/channels/a/messages/",
            "/channels/a/messages/serial/annotations/x",
            "/channels/a/b/messages",
            "/channels/../messages/x/y",
            "/keys/demo.key1",
            "/keys/demo/requestToken",
            "/keys/%ff/requestToken",
            "/keys/a.b.c/requestToken",
        ] {
            assert!(Route::find(path).unwrap_err().is(Code::NotFound), "{path}");
        }
    }

    #[test]
    fn the_error_of_another_path_says_what_there_is_instead() {
        for (path, expected) in [
            ("/push/devices", "push has publish, batch/publish"),
            ("/channels/a/messages/serial/edits", "a message has its serial, versions, annotations"),
            ("/channels/a/object/root/x", "object/{objectId}"),
            ("/channels/a/nowhere", "a channel has messages, publish"),
            ("/keys/demo.key1", "has requestToken and revokeTokens"),
            ("/channel/a/messages", "paths begin with time"),
        ] {
            let error = Route::find(path).unwrap_err();
            assert!(error.message.contains(expected), "{path}: {error}");
        }
    }

    #[test]
    fn bad_channel_names_are_refused() {
        for name in ["", "%", "%4", "%zz", "%ff", "%c3", "%C3%28", "%+1", ":x", "%00", "a%0Ab", "%0d", "[what]x"] {
            let path = format!("/channels/{name}/messages");
            assert!(Route::find(&path).unwrap_err().is(Code::BadChannelName), "{path}");
        }
        let long = format!("/channels/{}/messages", "x".repeat(3_000));
        assert!(Route::find(&long).unwrap_err().is(Code::BadChannelName));
    }
}
