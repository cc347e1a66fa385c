//! The owner of a session. A client id alone does not tell: where credentials name nobody their client chooses it, and
//! `ann/bob` is a device of `ann` as well as a client of that name. So the name of a session, and of its row, begins
//! with the client's identity: nobody else comes to it, whatever they call themselves.

use super::super::Relay;
use super::super::session::Session;
use super::{Effect, Kept, Sessions};
use crate::auth::Identity;

/// The name of a client's session, which the connection knows from now on. In front is its clientId, by whichever key
/// it came; or, where it has none, a line break and its key: only their client ids tell such clients of one key apart.
/// Neither holds a line break.
pub(super) fn name(session: &mut Session) -> Option<String> {
    let (client, key) = (session.grant.client_id.clone(), session.grant.key_name.clone());
    let mqtt = session.mqtt_mut()?;
    mqtt.session_id = match client {
        Identity::Named(name) => format!("{name}\n{}", mqtt.client_id),
        // It may be anybody, and asked the server for a client id: it comes back as that.
        Identity::Wildcard => format!("{0}\n{0}", mqtt.client_id),
        Identity::Anonymous => format!("\n{}\n{}", key.id(), mqtt.client_id),
    };
    Some(mqtt.session_id.clone())
}

/// The name that a session of an earlier build has: its row said no more than its client id. No key's id is empty.
fn earlier(client_id: &str) -> String {
    format!("\n\n{client_id}")
}

impl Sessions {
    /// Takes the session of an earlier build, if it is the one.
    pub(super) fn take_earlier(&mut self, client_id: &str, is_it: impl FnOnce(&Kept) -> bool) -> Option<Kept> {
        let name = earlier(client_id);
        self.kept.get(&name).is_some_and(is_it).then(|| self.take(&name))?
    }
}

impl Relay {
    /// The rows that outlived the relay's memory. Comes before [`Relay::restore`].
    pub fn found_kept(&mut self, rows: Vec<(String, Vec<u8>)>) {
        for (id, row) in rows {
            // One that cannot be read stays as it is.
            let Some(kept) = Kept::decode(&row) else { continue };
            self.mqtt.sizes.insert(id.clone(), row.len());
            self.mqtt.bytes += row.len();
            self.mqtt.lower_due(Some(0));
            let name = if kept.is_earlier { earlier(&id) } else { id.clone() };
            if name != id {
                self.mqtt.changed.extend([id, name.clone()]);
            }
            self.mqtt.kept.insert(name, kept);
        }
    }

    /// The rows of a relay whose connections are all gone.
    pub fn recall_kept(&mut self, rows: Vec<(String, Vec<u8>)>, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        self.found_kept(rows);
        self.part_lost_mqtt();
        self.finish()
    }

    /// The session of a connection that outlived an earlier build gets its name.
    pub(super) fn own_earlier(&mut self, name: &str, session: &Session) {
        let Some(mqtt) = session.mqtt() else { return };
        let is_its = |kept: &Kept| kept.connection_id == session.connection_id();
        if let Some(kept) = self.mqtt.take_earlier(&mqtt.client_id, is_its) {
            self.mqtt.kept.insert(name.to_owned(), kept);
            self.mqtt.changed.insert(name.to_owned());
        }
    }
}
