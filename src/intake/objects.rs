//! Operations on objects are checked (protocol.md § 19): what can be told without the objects. Their channel checks the
//! rest and does them.

use crate::auth::Identity;
use crate::error::{Code, ErrorInfo};
use crate::intake::publish::set_claim;
use crate::limits::{MESSAGE_ID_MAX_BYTES, PUBLISH_MAX_MESSAGES};
use crate::model::objects::operation::Proposal;
use crate::model::size::Size;

/// Checks the operations of one publish, and says who they are from, and what the token says of them.
///
/// Fails with 92000 (none), 40034 (too many), 40009 (too large), 40012 (clientId), 40031 (the length of an id), and as
/// [`set_claim`] does.
pub fn check(
    proposals: &mut [Proposal],
    identity: &Identity,
    claim: Option<&serde_json::Value>,
) -> Result<(), ErrorInfo> {
    if proposals.is_empty() {
        return Err(Code::BadObject.because("a publish of operations needs one"));
    }
    if proposals.len() > PUBLISH_MAX_MESSAGES {
        let bound = format!("a publish has at most {PUBLISH_MAX_MESSAGES} operations");
        return Err(Code::TooManyMessages.because(bound));
    }
    for Proposal { message, .. } in proposals.iter_mut() {
        message.client_id = identity.for_message(message.client_id.as_deref())?;
        if message.id.as_ref().is_some_and(|id| id.len() > MESSAGE_ID_MAX_BYTES) {
            let bound = format!("an operation's id has at most {MESSAGE_ID_MAX_BYTES} bytes");
            return Err(Code::BadMessageId.because(bound));
        }
        set_claim(&mut message.extras, claim)?;
    }
    proposals.iter().map(|proposal| proposal.message.measured()).sum::<Size>().check()
}
