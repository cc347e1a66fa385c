//! What objects are called.

use std::fmt;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::model::name::{AppId, ChannelName};

/// A channel's object: one per app and plain channel name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    pub app: AppId,
    pub channel: ChannelName,
}

impl Address {
    /// The object's name. Unambiguous: an app id holds no `/`.
    pub fn object_name(&self) -> String {
        format!("{}/{}", self.app.as_str(), self.channel)
    }
}

/// Who is fed by a channel: a relay's object, or a channel's object for the sockets that it holds itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelayName(Rc<str>);

/// Where deliveries to a [`RelayName`] go: the name of an object, by its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayObject<'a> {
    Relay(&'a str),
    Channel(&'a str),
}

impl RelayName {
    /// The relay of an app's shard.
    pub fn shard(app: &AppId, shard: u16) -> RelayName {
        RelayName(format!("relay:{}/{shard}", app.as_str()).into())
    }

    /// The object of a channel, as the relay of its own sockets.
    pub fn of_channel(address: &Address) -> RelayName {
        RelayName(format!("channel:{}", address.object_name()).into())
    }

    /// Of members that are there without a connection.
    pub fn nobody() -> RelayName {
        RelayName("".into())
    }

    pub fn is_nobody(&self) -> bool {
        self.0.is_empty()
    }

    pub fn object(&self) -> RelayObject<'_> {
        match self.0.split_once(':') {
            Some(("channel", name)) => RelayObject::Channel(name),
            Some((_, name)) => RelayObject::Relay(name),
            None => RelayObject::Relay(&self.0),
        }
    }

    /// The name of the channel whose object this is.
    pub fn channel(&self) -> Option<&str> {
        let RelayObject::Channel(name) = self.object() else { return None };
        Some(name.split_once('/')?.1)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for RelayName {
    fn from(name: String) -> RelayName {
        RelayName(name.into())
    }
}

impl fmt::Display for RelayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_keep_apps_apart() {
        let address = |app: &str, channel: &str| Address {
            app: AppId::parse(app).unwrap(),
            channel: ChannelName::parse(channel).unwrap(),
        };
        assert_eq!(address("demo", "a/b").object_name(), "demo/a/b");
        assert_ne!(address("a", "b/c").object_name(), address("a-b", "c").object_name());
    }

    #[test]
    fn relays_are_objects_of_two_classes() {
        let app = AppId::parse("demo").unwrap();
        let address = Address { app: app.clone(), channel: ChannelName::parse("a:b").unwrap() };
        assert_eq!(RelayName::shard(&app, 0).object(), RelayObject::Relay("demo/0"));
        assert_eq!(RelayName::of_channel(&address).object(), RelayObject::Channel("demo/a:b"));
    }
}
