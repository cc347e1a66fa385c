//! Objects on an event stream (protocol.md §§ 14, 19): what is done to them, each in its place of the channel's order,
//! and the pages of what is there, which have none.

use std::borrow::Cow;

use super::{ENVELOPED, Event, Step, Style, envelope, json, one_publish};
use crate::model::node::Node;
use crate::protocol::outbound::Outbound;
use crate::protocol::to_json;

impl Style {
    /// An event for each operation.
    pub(super) fn operations(self, frame: &Outbound<'_>) -> Vec<Event> {
        let mut events = Vec::<Event>::new();
        for message in frame.state.iter().flatten() {
            let serial = text(message, "serial").to_owned();
            one_publish(&mut events, &serial);
            let data = match self.has(ENVELOPED) {
                true => envelope(to_json(message), frame.channel),
                false => bare(message, &serial),
            };
            events.push(Event { serial, step: Step::Publish, text: self.event("object", &data) });
        }
        events
    }

    /// An event for a page of what is there: of which sync it is, and whether it ends it.
    pub(super) fn page(self, frame: &Outbound<'_>, serial: &str) -> Vec<Event> {
        let (sync, cursor) = serial.split_once(':').unwrap_or((serial, ""));
        let state = frame.state.as_ref().map_or_else(|| "[]".to_owned(), to_json);
        let is_last = if cursor.is_empty() { "true" } else { "false" };
        let page = [r#"{"sync":"#, &json(sync), r#","last":"#, is_last, r#","state":"#, &state, "}"].concat();
        let data = if self.has(ENVELOPED) { envelope(page, frame.channel) } else { page };
        vec![Event { serial: String::new(), step: Step::Nowhere, text: self.event("object_sync", &data) }]
    }
}

/// What is done, and the serial, without which no reader knows whether it has done that already.
fn bare(message: &Node<'_>, serial: &str) -> String {
    let mut fields = field(message, "operation").map_or_else(Vec::new, |operation| match operation {
        Node::Map(fields) => fields.clone(),
        _ => Vec::new(),
    });
    fields.push((Cow::Borrowed("serial"), Node::Text(serial.to_owned())));
    to_json(&Node::Map(fields))
}

fn field<'a, 'de>(node: &'a Node<'de>, name: &str) -> Option<&'a Node<'de>> {
    let Node::Map(fields) = node else { return None };
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn text<'a>(node: &'a Node<'_>, name: &str) -> &'a str {
    if let Some(Node::Text(text)) = field(node, name) { text } else { "" }
}
