//! In whose name something is said.

use super::{PresenceUpdate, Speech, Submission};
use crate::model::presence::PresenceAction;

impl Submission {
    /// Whom it names as those who say it.
    pub fn clients(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Submission::Messages(messages) => Box::new(messages.iter().filter_map(|one| one.client_id.as_deref())),
            // Anyone may be said to leave.
            Submission::Presence { updates, .. } => {
                let stays = |update: &&PresenceUpdate| update.event.action != PresenceAction::Leave;
                Box::new(updates.iter().filter(stays).map(|one| one.event.client_id.as_str()))
            }
            // That a connection is gone is nobody's to refuse.
            Submission::ConnectionOutcome { .. } => Box::new(std::iter::empty()),
            Submission::Objects(proposals) => {
                Box::new(proposals.iter().filter_map(|one| one.message.client_id.as_deref()))
            }
            Submission::Operation(operation) => Box::new(operation.client_id.as_deref().into_iter()),
            Submission::Annotations { annotations, .. } => {
                Box::new(annotations.iter().filter_map(|one| one.client_id.as_deref()))
            }
        }
    }

    /// What of it silences are about.
    pub fn speech(&self) -> Speech {
        match self {
            Submission::Messages(_) => Speech::Anew,
            Submission::Operation(_) | Submission::Annotations { .. } => Speech::OfSaid,
            Submission::Presence { .. } | Submission::ConnectionOutcome { .. } | Submission::Objects(_) => {
                Speech::Nothing
            }
        }
    }
}
