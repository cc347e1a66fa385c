//! From a path to what is asked, and by which methods it may be.
//!
//! A path is split before it is decoded, so that an encoded slash is a part of a channel's name. Nothing else in a name
//! has a meaning here: `..` is a channel as good as any.

use super::chat;
use super::push::PushRoute;
use crate::auth::KeyName;
use crate::error::{Code, ErrorInfo};
use crate::http::percent;
use crate::intake::parameters::Door;
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
    App(AppId),
    /// `/apps/{id}/webhooks`: how they fare.
    Webhooks(AppId),
    /// `/push/…`
    Push(PushRoute),
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
            ["apps", id] => AppId::parse(id).map(Route::App).map_err(|_| Code::NotFound.because("no such app")),
            ["apps", id, "webhooks"] => {
                AppId::parse(id).map(Route::Webhooks).map_err(|_| Code::NotFound.because("no such app"))
            }
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
            Route::Messages(_) | Route::RequestToken(_) | Route::Objects(_, None) | Route::Annotations(..) => {
                "GET, POST, OPTIONS"
            }
            Route::Stats | Route::Apps => "GET, POST, OPTIONS",
            Route::Metrics | Route::Webhooks(_) => "GET, OPTIONS",
            Route::Objects(_, Some(_)) | Route::ClientSummary(..) => "GET, OPTIONS",
            Route::Batch | Route::Publish(_) | Route::RevokeTokens(_) => "POST, OPTIONS",
            Route::App(_) => "DELETE, OPTIONS",
            Route::Push(route) => route.methods(),
            Route::Chat(_, wanted) => wanted.methods(),
        }
    }

    /// The app that the path itself names.
    pub fn app(&self) -> Option<&AppId> {
        match self {
            Route::RequestToken(key) | Route::RevokeTokens(key) => Some(key.app()),
            Route::App(id) | Route::Webhooks(id) => Some(id),
            _ => None,
        }
    }

    /// Whether the answer is about all apps of the deployment.
    pub fn is_of_deployment(&self, method: &str) -> bool {
        *self == Route::Metrics || *self == Route::Apps && method != "POST"
    }

    /// Which parameters a request by this method may have.
    pub fn door(&self, method: &str) -> Door {
        match self {
            Route::Messages(_) if method == "POST" => Door::Publish,
            Route::Publish(_) => Door::Publish,
            Route::Message(..) if method == "PATCH" => Door::Operation,
            Route::Message(..) => Door::Plain,
            Route::Versions(..) => Door::Versions,
            Route::Messages(_) | Route::History(_) | Route::PresenceHistory(_) => Door::History,
            Route::Presence(_) => Door::Members,
            Route::Objects(..) if method != "POST" => Door::Objects,
            Route::PresenceBatch => Door::MembersOfMany,
            Route::Annotations(..) if method != "POST" => Door::Annotations,
            Route::Annotations(..) => Door::Plain,
            Route::ClientSummary(..) => Door::ClientSummary,
            Route::Chat(_, wanted) => wanted.door(method),
            Route::Batch => Door::Batch,
            Route::Channels => Door::Channels,
            Route::RequestToken(_) => Door::Token,
            Route::Push(route) => route.door(),
            Route::Time | Route::Channel(_) | Route::RevokeTokens(_) | Route::Apps | Route::App(_) => Door::Plain,
            Route::Stats if method != "POST" => Door::Stats,
            Route::Objects(..) | Route::Stats | Route::Metrics | Route::Webhooks(_) => Door::Plain,
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
        ["apps", ..] => "an app has webhooks",
        ["chat", ..] => "chat is spoken in version 4, below /chat/v4/rooms/{room}/",
        _ => "paths begin with time, channels, messages, presence, chat, keys, push, stats or apps",
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

    #[test]
    fn paths_lead_to_what_is_asked() {
        let cases = [
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
            ("/apps/demo/webhooks", Route::Webhooks(AppId::parse("demo").unwrap())),
            ("/apps/demo", Route::App(AppId::parse("demo").unwrap())),
            ("/keys/demo.key1/requestToken", Route::RequestToken(KeyName::parse("demo.key1").unwrap())),
        ];
        for (path, route) in cases {
            assert_eq!(Route::find(path), Ok(route), "{path}");
        }
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
