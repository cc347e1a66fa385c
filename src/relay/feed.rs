//! One channel as a relay sees it: where its deliveries are, and whom they are for.

use std::collections::BTreeSet;

use super::SocketId;
use super::attachment::{Attachment, State};
use super::deltas::Base;
use super::occupancy::Reports;
use super::record::{Checkpoint, Place};
use crate::base::pause;
use crate::limits::FEED_CURRENT_MS;
use crate::model::name::ChannelName;
use crate::model::serial::Position;
use crate::rpc::Backlog;

#[derive(Debug, Default)]
pub struct Feed {
    /// Everything up to here was fanned out. Not known before the channel has answered that it feeds this relay.
    pub reached: Option<Checkpoint>,
    /// Attachments of any state; a socket can attach to one channel under several names.
    pub members: BTreeSet<(SocketId, ChannelName)>,
    /// The live attachment whose socket remembers `reached` for a relay that loses its memory.
    pub checkpoint: Option<(SocketId, ChannelName)>,
    pub reports: Reports,
    /// The last message that went out, as long as there are readers of deltas.
    pub base: Option<Base>,
    /// Every attachment that was live here since has what was published behind this: before, it isn't known.
    pub since: Option<Position>,
    /// When the channel last said something that shows that it feeds this relay.
    pub heard_ms: u64,
}

impl Feed {
    pub fn position(&self) -> Option<Position> {
        self.reached.as_ref().map(|reached| reached.position)
    }

    pub fn epoch(&self) -> &str {
        self.reached.as_ref().map_or("", |reached| &reached.epoch)
    }

    /// Whether who begins where this feed is begins at the present: else it may have been cut since, and the channel
    /// knows.
    pub fn is_current(&self, now_ms: u64) -> bool {
        !pause::is_over(self.heard_ms + FEED_CURRENT_MS, FEED_CURRENT_MS, now_ms)
    }

    /// Whether this piece of the log ends where the log and the feed do.
    pub fn is_at_end(&self, backlog: &Backlog) -> bool {
        !backlog.more && backlog.epoch == self.epoch() && Some(backlog.through) == self.position()
    }

    /// How many are present, as far as is known.
    pub fn members(&self) -> usize {
        self.reached.as_ref().map_or(0, |reached| reached.members)
    }

    /// Takes note that everything up to `position` was fanned out, or need not be, and how many are present then.
    pub fn reach(&mut self, epoch: &str, position: Position, members: usize) {
        let stood = self.position().unwrap_or(position);
        self.since.get_or_insert(stood);
        match &mut self.reached {
            Some(reached) if reached.epoch == epoch && reached.position > position => {}
            reached => *reached = Some(Checkpoint { epoch: epoch.to_owned(), position, members }),
        }
    }

    /// When the channel is to be told whom it has here. It asks to be told once it feeds this relay.
    pub fn report_due_ms(&self, now_ms: u64) -> Option<u64> {
        self.reports.due_ms(now_ms).filter(|_| self.reached.is_some())
    }

    /// What this attachment's socket is to remember.
    pub fn place(&self, socket: SocketId, name: &ChannelName, attachment: &Attachment) -> Place {
        let is_checkpoint =
            self.checkpoint.as_ref().is_some_and(|(checkpoint, as_name)| *checkpoint == socket && as_name == name);
        let checkpoint = if is_checkpoint { self.reached.clone() } else { None };
        let ahead = match attachment.state {
            State::Live { after } if Some(after) > self.position() => after,
            _ => Position::ZERO,
        };
        Place { checkpoint, ahead }
    }
}
