//! The rows of sessions, and those that earlier builds wrote: the first under the client id alone, the first two
//! without what the client of a will may do, and all three with no more of a publish than its packet id.

use super::Kept;
use crate::base::pinned::{self, Unreadable, Versioned};

impl Versioned for Kept {
    const VERSION: u8 = 4;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<Kept, Unreadable> {
        match version {
            1 | 2 => {}
            3 => return pinned::take(bytes),
            _ => return Err(Unreadable::Version(version)),
        }
        let (app, shard, connection_id, parted, expiry_s, taken, subscriptions, unacknowledged, will, by) =
            pinned::take(bytes)?;
        let (grant, is_earlier) = (None, version == 1);
        Ok(Kept {
            app,
            shard,
            connection_id,
            parted,
            expiry_s,
            taken,
            subscriptions,
            unacknowledged,
            will,
            by,
            grant,
            is_earlier,
            is_said: false,
        })
    }
}
