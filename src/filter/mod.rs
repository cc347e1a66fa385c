//! Filters: which messages of a channel a reader gets, by a JMESPath expression over what a message says of itself
//! (protocol.md § 16.2). Owns the language and its bounds; knows nothing of who reads.
//!
//! The language is written here because a filter runs for every message of a channel, and no crate for it bounds its
//! stack, its steps and its memory. It is the whole language of jmespath.org/specification. Data is never looked at:
//! what a filter sees is `name`, `clientId` and `headers`, which are `extras.headers`.

mod evaluate;
mod functions;
mod lexer;
mod parser;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Value, json};

use crate::error::{Code, ErrorInfo};
use crate::limits::{FILTER_MAX_BYTES, FILTER_STEPS_MAX};
use crate::model::message::Message;
use evaluate::{Run, is_true};
use parser::Node;

/// An expression that was understood.
#[derive(Debug)]
pub struct Filter {
    expression: Box<str>,
    node: Node,
}

/// What an expression may name of a message.
const SEEN: [&str; 3] = ["name", "clientId", "headers"];

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

impl Filter {
    /// Fails with 40010 for what is empty, too long, too deep or no JMESPath, and for an expression that names what no
    /// filter sees.
    pub fn parse(expression: &str) -> Result<Filter, ErrorInfo> {
        if expression.trim().is_empty() {
            return Err(invalid("it is empty"));
        }
        if expression.len() > FILTER_MAX_BYTES {
            return Err(invalid(&format!("it has more than {FILTER_MAX_BYTES} bytes")));
        }
        let node = parser::parse(expression).map_err(|why| invalid(&why))?;
        if let Some(name) = unseen(&node, true) {
            return Err(invalid(&format!("it names '{name}', and a filter sees {}", SEEN.join(", "))));
        }
        Ok(Filter { expression: expression.into(), node })
    }

    /// As a channel's name carries it: base64, of either alphabet, with or without padding. Fails with 40010.
    pub fn decode(text: &str) -> Result<Filter, ErrorInfo> {
        let standard = text.replace('-', "+").replace('_', "/");
        let bytes = BASE64.decode(standard).map_err(|_| invalid("it is not in base64"))?;
        Filter::parse(std::str::from_utf8(&bytes).map_err(|_| invalid("it is not UTF-8"))?)
    }

    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Whether a message passes. One for which the expression makes no sense, or takes too long, does not.
    pub fn passes(&self, seen: &Value) -> bool {
        let mut run = Run { steps_left: FILTER_STEPS_MAX };
        run.evaluate(&self.node, seen).is_ok_and(|found| is_true(&found))
    }
}

/// What filters see of a message.
pub fn seen(message: &Message) -> Value {
    let headers = message.extras.as_ref().and_then(|extras| extras.get("headers"));
    json!({ "name": message.name, "clientId": message.client_id, "headers": headers })
}

/// The name by which a query attaches to a channel: with its parameter `filter`, that of the channel's view through it,
/// `[filter=…]scores`. Parameters in the name move behind it.
pub fn named(channel: &str, query: &[(String, String)]) -> String {
    let said = query.iter().find(|(name, expression)| name == "filter" && !expression.is_empty());
    let Some((_, expression)) = said else { return channel.to_owned() };
    let filter = BASE64.encode(expression);
    match channel.strip_prefix("[?") {
        Some(rest) => ["[filter=", &filter, "?", rest].concat(),
        None => ["[filter=", &filter, "]", channel].concat(),
    }
}

/// A name at the top of an expression that is none of those seen. `top` says that it is evaluated for the message.
fn unseen(node: &Node, top: bool) -> Option<&str> {
    match node {
        Node::Field(name) => (top && !SEEN.contains(&&**name)).then_some(name),
        Node::Then(first, second) => unseen(first, top).or_else(|| unseen(second, top && is_current(first))),
        Node::Items(first, _) | Node::Values(first, _) | Node::Flatten(first) | Node::Not(first) => unseen(first, top),
        Node::Those(parts) => unseen(&parts[0], top),
        Node::And(left, right) | Node::Or(left, right) | Node::Compare(_, left, right) => {
            unseen(left, top).or_else(|| unseen(right, top))
        }
        Node::List(nodes) | Node::Call(_, nodes) => nodes.iter().find_map(|node| unseen(node, top)),
        Node::Object(fields) => fields.iter().find_map(|(_, node)| unseen(node, top)),
        Node::Current | Node::Literal(_) | Node::Index(_) | Node::Slice(_) | Node::Expression(_) => None,
    }
}

fn is_current(node: &Node) -> bool {
    matches!(node, Node::Current)
}

fn invalid(why: &str) -> ErrorInfo {
    Code::BadChannelName.because(format!("invalid filter: {why}"))
}

#[cfg(test)]
mod tests;
