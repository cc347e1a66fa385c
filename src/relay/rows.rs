//! What sockets can't carry of their sessions, and so the object stores: see [`record`](super::record).

use std::collections::BTreeMap;

use super::record::{Record, Restored, RowId};
use super::session::Session;
use super::{Effect, Relay, SocketId};
use crate::error::{Code, ErrorInfo};
use crate::limits::{ATTACHMENTS_MAX_BYTES, CHANNELS_PER_CONNECTION_MAX, NAMES_PER_CHANNEL_MAX};
use crate::model::name::ChannelName;

/// Rows of a relay.
#[derive(Debug, Default)]
pub struct Rows {
    /// Those that outlived the relay's memory, until it is known whose they are.
    found: BTreeMap<RowId, Vec<u8>>,
    /// To be written, or with nothing to be removed, before records are kept that say so.
    changes: BTreeMap<RowId, Option<Vec<u8>>>,
    /// What the attachments count that have a row.
    bytes: usize,
}

impl Rows {
    /// Of a connection over HTTP nothing is kept; what its attachments count is counted all the same, for they are in
    /// memory.
    fn write(&mut self, socket: SocketId, session: &Session, name: &ChannelName) {
        if let Some((number, row)) = session.row(name).filter(|_| session.is_kept) {
            self.changes.insert(RowId { socket, number }, Some(row));
        }
    }

    /// A connection that was over HTTP is kept from now on.
    pub(super) fn write_all(&mut self, socket: SocketId, session: &Session) {
        session.attachments.keys().for_each(|name| self.write(socket, session, name));
    }

    fn remove(&mut self, id: RowId) {
        self.changes.insert(id, None);
    }
}

impl Relay {
    /// The rows that outlived the relay's memory. Comes before [`Relay::restore`].
    pub fn found(&mut self, rows: impl IntoIterator<Item = (RowId, Vec<u8>)>) {
        self.rows.found.extend(rows);
    }

    /// A session by its record and its rows.
    pub(super) fn recall(&mut self, socket: SocketId, record: Record) -> Option<Restored> {
        let rows = &mut self.rows;
        let mut restored = record.restore(|number| rows.found.get(&RowId { socket, number }).cloned())?;
        for (name, attachment) in restored.session.attachments.iter_mut() {
            if let Some(view) = &mut attachment.view {
                view.filter = self.filters.share(&name.owner(), view.filter.clone());
            }
            if let Some(number) = attachment.row {
                rows.found.remove(&RowId { socket, number });
                rows.bytes += attachment.bytes(name);
            }
        }
        Some(restored)
    }

    /// Nobody's rows go.
    pub(super) fn drop_found(&mut self) {
        for (id, _) in std::mem::take(&mut self.rows.found) {
            self.rows.remove(id);
        }
    }

    /// Whether a session may have the attachments that it has now, some of them to one channel. Fails with 90010 for
    /// too many of them, or with too long names and parameters.
    pub(super) fn admit_all(session: &Session, owner: &ChannelName) -> Result<(), ErrorInfo> {
        let names = session.attachments.keys().filter(|name| name.is_of(owner)).count();
        if names > NAMES_PER_CHANNEL_MAX {
            let why = format!("a connection is attached to a channel by at most {NAMES_PER_CHANNEL_MAX} names");
            return Err(Code::TooManyChannels.because(why));
        }
        if session.attachments.len() > CHANNELS_PER_CONNECTION_MAX {
            let why = format!("a connection has at most {CHANNELS_PER_CONNECTION_MAX} channels");
            return Err(Code::TooManyChannels.because(why));
        }
        let bytes: usize = session.attachments.iter().map(|(name, attachment)| attachment.bytes(name)).sum();
        if bytes > ATTACHMENTS_MAX_BYTES {
            let why = format!(
                "the names and parameters of a connection's channels have at most {ATTACHMENTS_MAX_BYTES} bytes"
            );
            return Err(Code::TooManyChannels.because(why));
        }
        Ok(())
    }

    /// Sees that the record of a session fits its socket. Fails with 50320 when that needs more rows than the relay may
    /// have, and with 90010 when it does not fit with all of them.
    pub(super) fn fit(&mut self, socket: SocketId) -> Result<(), ErrorInfo> {
        let Some(session) = self.sessions.get_mut(&socket) else { return Ok(()) };
        while !session.has_room() {
            if self.rows.bytes > self.bounds.rows_bytes {
                let why =
                    "this server has no room for more names of channels on this connection; use fewer, or try again";
                return Err(Code::Unavailable.because(why));
            }
            let Some(name) = session.unload() else {
                let why = "what this connection says of itself leaves no room for more channels; use fewer";
                return Err(Code::TooManyChannels.because(why));
            };
            self.rows.bytes += session.attachments.get(&name).map_or(0, |attachment| attachment.bytes(&name));
            self.rows.write(socket, session, &name);
        }
        Ok(())
    }

    /// An attachment that has a row asks for something else.
    pub(super) fn replace_row(&mut self, socket: SocketId, name: &ChannelName, bytes_before: usize) {
        let Some(session) = self.sessions.get(&socket) else { return };
        if session.attachments.get(name).is_none_or(|attachment| attachment.row.is_none()) {
            return;
        }
        self.rows.bytes += session.attachments.get(name).map_or(0, |attachment| attachment.bytes(name));
        self.rows.bytes -= bytes_before;
        self.rows.write(socket, session, name);
    }

    /// An attachment is gone that counted so many bytes, and its row with it.
    pub(super) fn remove_row(&mut self, socket: SocketId, number: u16, bytes: usize) {
        self.rows.bytes -= bytes;
        if self.sessions.get(&socket).is_some_and(|session| session.is_kept) {
            self.rows.remove(RowId { socket, number });
        }
    }

    /// These could not be written: in their place may stand what another attachment asked for that had the number
    /// before, and a rebuilt object would take it for theirs. Their clients come back.
    pub fn not_written(&mut self, rows: &[(RowId, Option<Vec<u8>>)], now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        let error = Code::Disconnected.because("the server could not store this connection; reconnect and resume");
        let mut sockets: Vec<SocketId> =
            rows.iter().filter(|(_, row)| row.is_some()).map(|(id, _)| id.socket).collect();
        sockets.dedup();
        sockets.into_iter().for_each(|socket| self.disconnect(socket, &error));
        self.finish()
    }

    /// What changed of rows.
    pub(super) fn take_row_changes(&mut self) -> Option<Effect> {
        let changes = std::mem::take(&mut self.rows.changes);
        (!changes.is_empty()).then(|| Effect::Rows(changes.into_iter().collect()))
    }
}
