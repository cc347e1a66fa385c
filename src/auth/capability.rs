//! What credentials allow on which channels (protocol.md § 11.3). Owns parsing, the canonical text and intersection.
//!
//! A channel may match several resources: their operations add up. That is why an intersection looks at every pair of
//! resources, and why its result allows on any channel exactly what both sides allow there.

use std::fmt;
use std::rc::Rc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::fields::quoted;
use super::operations::Operations;
use super::resource::Resource;
use crate::base::maps::SortedMap;
use crate::error::{Code, ErrorInfo};
use crate::limits::{CAPABILITY_MAX_BYTES, CAPABILITY_MAX_RESOURCES};
use crate::model::name::ChannelName;
use crate::model::node;

/// Operations by resource: never empty, and no resource without an operation.
#[derive(Clone, PartialEq, Eq)]
pub struct Capability(Rc<Known>);

#[derive(PartialEq, Eq)]
struct Known {
    entries: SortedMap<Resource, Operations>,
    /// Kept, because a session's record has it, and is written again with each delivery.
    text: Box<str>,
}

impl Capability {
    fn of(entries: SortedMap<Resource, Operations>) -> Capability {
        let names = |operations: &Operations| operations.names().map(Value::from).collect();
        let list = |(resource, operations): (&Resource, &Operations)| (resource.as_str().to_owned(), names(operations));
        let text = Value::Object(entries.iter().map(list).collect()).to_string().into();
        Capability(Rc::new(Known { entries, text }))
    }

    /// Everything everywhere, what `{"*":["*"]}` says to a key's owner: any operation on any plain channel.
    pub fn full() -> Capability {
        Capability::of(SortedMap::from([(Resource::everything(), Operations::ALL)]))
    }

    /// Nothing on any channel: it names one that there cannot be.
    pub fn of_nothing() -> Capability {
        Capability::of(SortedMap::from([(Resource::nothing(), Operations::SUBSCRIBE)]))
    }

    /// From JSON text. Fails with 40000 when it is no object of lists of operations, or is too large.
    pub fn parse(text: &str) -> Result<Capability, ErrorInfo> {
        if text.len() > CAPABILITY_MAX_BYTES {
            return Err(invalid(&format!("has more than {CAPABILITY_MAX_BYTES} bytes")));
        }
        let no_lists = || invalid("must be a JSON object of lists of operations, such as {\"chat:*\":[\"publish\"]}");
        let lists = node::object_of(text.as_bytes()).ok_or_else(no_lists)?;
        let mut entries = SortedMap::default();
        for (resource, names) in &lists {
            let names = names.as_array().ok_or_else(no_lists)?;
            entries.insert(Resource::parse(resource)?, operations(resource, names)?);
        }
        if entries.is_empty() {
            return Err(invalid("names no resource"));
        }
        bounded(Capability::of(entries))
    }

    /// From JSON that is an object, or a string that holds the text of one.
    pub fn from_value(value: &serde_json::Value) -> Result<Capability, ErrorInfo> {
        match value {
            serde_json::Value::String(text) => Capability::parse(text),
            other => Capability::parse(&other.to_string()),
        }
    }

    /// What both allow, of a key and of a token that names `other`. Each resource that the token names stays, so that
    /// the token can be revoked by it. Fails with 40160 when that is nothing, and with 40000 when the overlap of many
    /// patterns is too large to keep.
    pub fn intersect(&self, other: &Capability) -> Result<Capability, ErrorInfo> {
        if self == other {
            return Ok(self.clone());
        }
        let both = self.pairs(other);
        if both.is_empty() {
            return Err(Code::NotPermitted.because("the credentials leave nothing of the requested capability"));
        }
        let needed = |resource: &Resource| other.0.entries.contains_key(resource);
        bounded(Capability::of(without_implied(both, needed)))
    }

    /// The resources of `named` that are not in this, what a key left of it. Fails with 40000 when both are too large
    /// to keep.
    pub fn narrowed<'a>(&self, named: &'a Capability) -> Result<Vec<&'a str>, ErrorInfo> {
        let is_lost = |resource: &&Resource| !self.0.entries.contains_key(*resource);
        let lost: Vec<&str> = named.0.entries.keys().filter(is_lost).map(Resource::as_str).collect();
        // With room for what marks each as a channel.
        let bytes: usize = lost.iter().map(|name| name.len() + 16).sum();
        if bytes > 0 && self.text().len() + bytes > CAPABILITY_MAX_BYTES {
            return Err(invalid("names too many resources of which its key allows only a part"));
        }
        Ok(lost)
    }

    fn pairs(&self, other: &Capability) -> SortedMap<Resource, Operations> {
        let mut both = SortedMap::default();
        for (ours, allowed) in self.0.entries.iter() {
            for (theirs, wanted) in other.0.entries.iter().filter(|(_, wanted)| wanted.intersects(*allowed)) {
                if let Some(resource) = ours.narrow(theirs) {
                    *both.get_or_insert(resource, Operations::NONE) |= *allowed & *wanted;
                }
            }
        }
        both
    }

    /// Everything allowed on a channel. On a metachannel nobody can be allowed more than to read (protocol.md § 16.3).
    pub fn operations(&self, channel: &ChannelName) -> Operations {
        let allowed = self.sum(|resource| resource.matches(channel));
        if channel.is_of_clients() { allowed } else { allowed & Operations::READING }
    }

    /// Whether it allows that on any channel at all.
    pub fn allows_anywhere(&self, operations: Operations) -> bool {
        self.sum(|_| true).contains(operations)
    }

    /// What it allows on the whole app, and not on some channels only.
    pub fn on_everything(&self) -> Operations {
        self.sum(|resource| resource.covers(&Resource::everything()))
    }

    /// What it allows on all channels that a pattern names. Fails with 40000 for what names no channel.
    pub fn on_all_of(&self, pattern: &str) -> Result<Operations, ErrorInfo> {
        let pattern = Resource::parse(pattern)?;
        Ok(self.sum(|resource| resource.covers(&pattern)))
    }

    fn sum(&self, applies: impl Fn(&Resource) -> bool) -> Operations {
        let applying = self.0.entries.iter().filter(|(resource, _)| applies(resource));
        applying.fold(Operations::NONE, |sum, (_, operations)| sum | *operations)
    }

    /// The texts of its resources, sorted.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.0.entries.keys().map(Resource::as_str)
    }

    /// The canonical text: sorted keys, sorted operations, no white space.
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

/// A list is names of operations, or `*` alone. No error shows what stands in the place of a name.
fn operations(resource: &str, names: &[Value]) -> Result<Operations, ErrorInfo> {
    let mut sum = Operations::NONE;
    for (index, name) in names.iter().enumerate() {
        let named = name.as_str().and_then(Operations::named);
        sum |= named.ok_or_else(|| {
            let known: Vec<&str> = Operations::all_names().collect();
            invalid(&format!("[{}][{index}] is no operation; operations are {}", quoted(resource), known.join(", ")))
        })?;
    }
    match (sum == Operations::ALL, names.len()) {
        (_, 0) => Err(invalid(&format!("[{}] has no operation", quoted(resource)))),
        (true, 2..) => Err(invalid(&format!("[{}] has '*' beside others, and it must stand alone", quoted(resource)))),
        _ => Ok(sum),
    }
}

/// Drops what a wider resource allows anyway, unless it is needed.
fn without_implied(
    both: SortedMap<Resource, Operations>,
    needed: impl Fn(&Resource) -> bool,
) -> SortedMap<Resource, Operations> {
    let implied = |resource: &Resource, operations: Operations| {
        let mut others = both.iter().filter(|(other, granted)| *other != resource && granted.contains(operations));
        others.any(|(other, _)| other.covers(resource))
    };
    // Past the bound the result is refused anyway, and comparing all pairs would take too long.
    let few = both.len() <= CAPABILITY_MAX_RESOURCES * 2;
    let keep = |(resource, operations): &(&Resource, &Operations)| {
        !few || needed(resource) || !implied(resource, **operations)
    };
    both.iter().filter(keep).map(|(resource, operations)| (resource.clone(), *operations)).collect()
}

fn bounded(capability: Capability) -> Result<Capability, ErrorInfo> {
    if capability.0.entries.len() > CAPABILITY_MAX_RESOURCES {
        return Err(invalid(&format!("has more than {CAPABILITY_MAX_RESOURCES} resources")));
    }
    if capability.text().len() > CAPABILITY_MAX_BYTES {
        return Err(invalid(&format!("has more than {CAPABILITY_MAX_BYTES} bytes")));
    }
    Ok(capability)
}

fn invalid(why: &str) -> ErrorInfo {
    let space = if why.starts_with('[') { "" } else { " " };
    Code::BadRequest.because(format!("capability{space}{why}"))
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Travels as its text: short, and the form in which clients see it.
impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Capability, D::Error> {
        let text = String::deserialize(deserializer)?;
        Capability::parse(&text).map_err(|error| D::Error::custom(error.message))
    }
}
