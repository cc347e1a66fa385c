//! Latest versions as they are stored: whole in a row, or with an ending beside it, which appends put there.
//!
//! An append of a word to a long message writes the word and not the message. The ending is a version like its row's,
//! whose data goes on where the row's ends. One that gets too long for its place makes the row whole, as does whatever
//! else is done to the message. An ending always takes the same number of bytes, so that the next one is written over
//! it: of a message that is deleted nothing stays behind on the disk.

use crate::base::pinned::{self, Unreadable};
use crate::channel::log::decoded;
use crate::channel::store::{Change, Store, StoreError, StoredEnding, StoredLatest};
use crate::limits::ENDING_BYTES;
use crate::model::data::Data;
use crate::model::message::Entry;
use crate::model::revision::Version;
use crate::model::serial::Position;

/// What the row of a latest version holds.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    number: u32,
    position: Position,
    /// Of data.
    bytes: usize,
}

impl Kept {
    /// Whether a version goes on from the row's.
    pub fn is_extended(&self, entry: &Entry) -> bool {
        entry.version(0).is_some_and(|made| made.number == self.number && made.position != self.position)
    }

    /// Puts beside the row what appends made of its version, if that is what an operation did and there is room.
    pub fn extended(&self, entry: &Entry) -> Option<Change> {
        let (target, _, &Version { number, position, .. }) = entry.operation()?;
        let mut bytes = pinned::encode(&entry.behind(self.bytes).filter(|_| self.is_extended(entry))?);
        let fits = bytes.len() <= ENDING_BYTES;
        bytes.resize(ENDING_BYTES, 0);
        fits.then_some(Change::Extend(StoredEnding { target, number, position, bytes }))
    }
}

/// The latest versions of the messages of a publish, of those that are not as they were published.
pub fn latest(store: &mut impl Store, position: Position) -> Result<Vec<Entry>, StoreError> {
    Ok(rows(store, position)?.into_iter().map(|(entry, _)| entry).collect())
}

/// The same, with what their rows hold.
pub fn rows(store: &mut impl Store, position: Position) -> Result<Vec<(Entry, Kept)>, StoreError> {
    store.latest(position)?.into_iter().map(read).collect()
}

fn read(StoredLatest { entry, ending }: StoredLatest) -> Result<(Entry, Kept), StoreError> {
    let row = decoded(&entry)?.pop().ok_or(Unreadable::Damaged)?;
    let (_, message, version) = row.operation().ok_or(Unreadable::Damaged)?;
    let kept = Kept { number: version.number, position: version.position, bytes: message.data.len() };
    let whole = ending.map(|ending| continued(&message.data, &ending)).transpose()?;
    Ok((whole.unwrap_or(row), kept))
}

fn continued(begin: &Data, mut ending: &[u8]) -> Result<Entry, Unreadable> {
    pinned::read::<Entry>(&mut ending)?.continued(begin).ok_or(Unreadable::Damaged)
}
