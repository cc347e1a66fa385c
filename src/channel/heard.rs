//! The app says which rules there were, up to some place in the log. Whoever publishes may not have heard of a webhook
//! that was made before. So all that came since that place stays in the log until the app is asked, also when the
//! memory is lost that knew it.

use super::Channel;
use super::store::{Store, StoreError};
use crate::model::serial::Position;

impl Channel {
    /// The rules are those of the app's object, and callers may not know them.
    pub fn mind_rules(&mut self) {
        self.confirmed = Some(self.meta.confirmed);
    }

    /// Whether something was published since the app last said the rules, or since before then.
    pub fn is_unheard(&self, since: Position) -> bool {
        self.has_begun && self.confirmed.is_some_and(|through| through < self.log.tip().min(since))
    }

    /// The app said its rules, as they were when this was the last that had been published. A channel that is in use
    /// writes it with what it writes anyway, and asks again soon.
    pub fn hear(&mut self, store: &mut impl Store, through: Position) -> Result<(), StoreError> {
        let confirmed = self.confirmed.map(|known| known.max(through));
        (self.confirmed, self.trim_at_ms) = (confirmed, 0);
        let is_news =
            self.has_begun && !self.meta.listed && confirmed.is_some_and(|through| through > self.meta.confirmed);
        if is_news { self.save_meta(store, self.meta.clone()) } else { Ok(()) }
    }
}
