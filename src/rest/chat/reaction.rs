//! Reactions to a message: annotations of three types, which the chat calls by one word each.

use serde_json::{Map, Value};

use super::body::bad;
use super::{Asked, accepted};
use crate::error::ErrorInfo;
use crate::http::{Form, Reply};
use crate::intake::annotation::{check, epoch};
use crate::model::annotation::SummaryCounts;
use crate::model::message::Extras;
use crate::protocol::inbound::InboundAnnotation;
use crate::rest::step::unanswered;
use crate::rest::{Step, body, publish};
use crate::rpc::{self, Publish, PublishKey, Response, Submission};

const TYPES: [&str; 3] = ["unique", "distinct", "multiple"];

/// The annotation's type of a reaction's.
fn annotation_type(word: &str) -> String {
    format!("reaction:{word}.v1")
}

/// What annotations come to, by the chat's words. All three are there.
pub fn groups(by_type: &Extras) -> Map<String, Value> {
    let group = |word: &str| by_type.get(&annotation_type(word)).cloned().unwrap_or_else(|| Map::new().into());
    TYPES.into_iter().map(|word| (word.to_owned(), group(word))).collect()
}

impl Asked<'_> {
    /// POST adds a reaction, as its body says, and DELETE takes it back, as its query says. Fails with 40000 for a type
    /// that is none of the three, and as [`check`] does.
    pub(super) fn react(&self, serial: &str) -> Result<Step, ErrorInfo> {
        self.caller.require_annotate(self.channel)?;
        self.author()?;
        let is_deletion = self.request.method == "DELETE";
        let stated = if is_deletion { self.stated() } else { self.sent()? };
        let word = stated.kind.filter(|word| TYPES.contains(&word.as_str()));
        let word = word.ok_or_else(|| bad(&format!("a reaction's type is one of {}", TYPES.join(", "))))?;
        let annotation = InboundAnnotation {
            action: Some(is_deletion.into()),
            kind: Some(annotation_type(&word)),
            name: stated.name,
            count: stated.count,
            ..InboundAnnotation::default()
        };
        let claim = self.caller.grant().user_claim(self.channel);
        let checked = check(vec![annotation], Some(serial), self.caller.identity(), claim.as_ref())?;
        let content = Submission::Annotations { message: checked.message, annotations: checked.annotations };
        let key = PublishKey::Request(publish::base(self.random));
        let publish = Publish { key, connection_id: None, by: self.caller.grant().source(), content };
        let status = if is_deletion { 200 } else { 201 };
        let form = self.form;
        Ok(self.call(rpc::Request::Publish(vec![publish]), move |response| {
            answered(status, form, response).map(Step::Reply)
        }))
    }

    fn sent(&self) -> Result<InboundAnnotation, ErrorInfo> {
        body::decode(self.request, crate::limits::BODY_MAX_BYTES, InboundAnnotation::read)
    }

    fn stated(&self) -> InboundAnnotation {
        let parameter = |name: &str| self.request.parameter(name).map(str::to_owned);
        InboundAnnotation { kind: parameter("type"), name: parameter("name"), ..InboundAnnotation::default() }
    }

    /// What one client said, and how often everybody did.
    pub(super) fn client_reactions(&self, serial: &str) -> Result<Step, ErrorInfo> {
        self.caller.require_subscribe(self.channel)?;
        let client_id = self.caller.client_asked_for(self.request)?;
        epoch(serial)?;
        let request = rpc::Request::ClientSummary(serial.to_owned(), client_id.to_owned());
        let form = self.form;
        Ok(self.call(request, move |response| of_client(form, response).map(Step::Reply)))
    }
}

fn answered(status: u16, form: Form, response: Response) -> Result<Reply, ErrorInfo> {
    let (position, epoch) = accepted(response)?;
    let serial = position.message_serial(&epoch, 0);
    let body = Map::from_iter([("serial".to_owned(), Value::from(serial))]);
    Ok(if status == 201 { form.created(&body) } else { form.ok(&body) })
}

fn of_client(form: Form, response: Response) -> Result<Reply, ErrorInfo> {
    match response {
        Response::ClientSummary(SummaryCounts { by_type }) => Ok(form.ok(&groups(&by_type.unwrap_or_default()))),
        _ => Err(unanswered()),
    }
}
