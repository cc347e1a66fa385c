//! Whom this relay has on a channel, and who of them is told how many are there in all (protocol.md § 16.4).
//!
//! Connections are counted where they come and go, so that the number is always at hand. The channel is told of changes
//! while somebody listens to it, here or elsewhere: at once of the first and the last of a kind, of others at its pace.
//! That somebody comes where nobody was it is told in any case.

use std::collections::BTreeMap;

use super::attachment::{Attachment, State};
use super::session::Session;
use super::{Effect, Pending, Relay, SocketId};
use crate::auth::Operations;
use crate::base::pause;
use crate::error::{Code, ErrorInfo};
use crate::limits::{OCCUPANCY_FLIP_MS, OCCUPANCY_INTERVAL_MS};
use crate::model::flags::Modes;
use crate::model::name::ChannelName;
use crate::model::serial::Position;
use crate::protocol::dialect::Dialect;
use crate::protocol::outbound::occupancy_frame;
use crate::rpc::{Answer, LocalOccupancy, Occupancy, Request, Response, Wanted};

/// What a relay has said of a channel, and what it was told.
#[derive(Debug, Default)]
pub struct Reports {
    pub local_occupancy: LocalOccupancy,
    /// What the channel knows; absent when that is not known.
    reported: Option<LocalOccupancy>,
    reported_at_ms: u64,
    is_reporting: bool,
    /// The channel wants to hear of changes.
    pub wanted: bool,
    /// The channel's occupancy, as it said last.
    told: Option<Occupancy>,
}

/// A connection on a channel, by all names of that.
#[derive(Clone, Copy, Default)]
struct Reader {
    modes: Modes,
    listens: bool,
}

impl Reader {
    fn and(self, other: Reader) -> Reader {
        Reader { modes: self.modes.union(other.modes), listens: self.listens || other.listens }
    }
}

fn reader(session: &Session, name: &ChannelName, attachment: &Attachment) -> Reader {
    let modes = attachment.granted(session.grant.capability.operations(name));
    Reader { modes, listens: attachment.params.occupancy().is_some() }
}

impl Reports {
    /// The channel knows all of this.
    pub fn known(&mut self) -> LocalOccupancy {
        self.reported = Some(self.local_occupancy);
        self.local_occupancy
    }

    /// What the channel was told last may not have come there.
    pub fn doubt(&mut self) {
        self.reported = None;
    }

    /// A channel never asks again a relay that others feed and that had nobody.
    fn may_be_forgotten(&self) -> bool {
        !self.local_occupancy.here.is_empty() && self.reported.is_none_or(|reported| reported.here.is_empty())
    }

    fn are_wanted(&self) -> bool {
        self.wanted
            || self.local_occupancy.listeners > 0
            || self.reported.is_some_and(|reported| reported.listeners > 0)
    }

    pub fn due_ms(&self, now_ms: u64) -> Option<u64> {
        let is_owed = self.may_be_forgotten() || self.are_wanted() && self.reported != Some(self.local_occupancy);
        if self.is_reporting || !is_owed {
            return None;
        }
        let flips = self.reported.is_some_and(|reported| self.local_occupancy.turns(&reported));
        let pause_ms = if flips { OCCUPANCY_FLIP_MS } else { OCCUPANCY_INTERVAL_MS };
        let due_ms = self.reported_at_ms + pause_ms;
        Some(if pause::is_over(due_ms, pause_ms, now_ms) { now_ms } else { due_ms })
    }
}

impl Relay {
    /// Counts a connection on a channel (1), or no longer (-1): before and after anything changes that it counts by.
    pub(super) fn count(&mut self, socket: SocketId, owner: &ChannelName, change: i32) {
        let Some(session) = self.sessions.get(&socket) else { return };
        let of_owner = session.attachments.iter().filter(|(name, _)| name.is_of(owner));
        let reader = of_owner.map(|(name, attachment)| reader(session, name, attachment)).reduce(Reader::and);
        reader.into_iter().for_each(|reader| self.count_reader(owner, reader, change));
    }

    fn count_reader(&mut self, owner: &ChannelName, Reader { modes, listens }: Reader, change: i32) {
        let Some(feed) = self.feeds.get_mut(owner) else { return };
        let local_occupancy = &mut feed.reports.local_occupancy;
        local_occupancy.here.count(modes, change);
        local_occupancy.listeners = local_occupancy.listeners.saturating_add_signed(if listens { change } else { 0 });
    }

    /// The same on all its channels.
    pub(super) fn count_all(&mut self, socket: SocketId, change: i32) {
        let Some(session) = self.sessions.get(&socket) else { return };
        let mut readers: BTreeMap<ChannelName, Reader> = BTreeMap::new();
        for (name, attachment) in session.attachments.iter() {
            let known = readers.entry(name.owner()).or_default();
            *known = known.and(reader(session, name, attachment));
        }
        readers.into_iter().for_each(|(owner, reader)| self.count_reader(&owner, reader, change));
    }

    /// Says whom it has, now or when it is due.
    pub(super) fn plan_report(&mut self, owner: &ChannelName) {
        match self.feeds.get(owner).and_then(|feed| feed.report_due_ms(self.now_ms)) {
            Some(due_ms) if due_ms <= self.now_ms => self.report(owner),
            Some(due_ms) => self.reports_due_ms = Some(self.reports_due_ms.map_or(due_ms, |known| known.min(due_ms))),
            None => {}
        }
    }

    fn report(&mut self, owner: &ChannelName) {
        let Some(feed) = self.feeds.get_mut(owner) else { return };
        (feed.reports.is_reporting, feed.reports.reported_at_ms) = (true, self.now_ms);
        let request = Request::Report(self.name.clone(), feed.reports.known());
        self.call(owner, Pending::Report(owner.clone()), request);
    }

    /// Nobody is on the channel any more, here.
    pub(super) fn report_end(&mut self, owner: &ChannelName, reports: &Reports) {
        if reports.are_wanted() {
            let request = Request::Report(self.name.clone(), LocalOccupancy::default());
            self.call(owner, Pending::Report(owner.clone()), request);
        }
    }

    pub(super) fn reported(&mut self, owner: &ChannelName, answer: Answer<Response>) {
        let Some(feed) = self.feeds.get_mut(owner) else { return };
        feed.reports.is_reporting = false;
        match answer {
            Ok(Response::Reported(wanted)) => feed.reports.wanted = wanted,
            _ => feed.reports.reported = None,
        }
        self.plan_report(owner);
    }

    pub(super) fn tick_reports(&mut self) {
        if self.reports_due_ms.is_none_or(|due_ms| !pause::is_over(due_ms, OCCUPANCY_INTERVAL_MS, self.now_ms)) {
            return;
        }
        self.reports_due_ms = None;
        let mut due = Vec::new();
        for (owner, _) in self.feeds.iter().filter(|(_, feed)| feed.report_due_ms(self.now_ms).is_some()) {
            due.push(owner.clone());
        }
        due.iter().for_each(|owner| self.plan_report(owner));
    }

    /// The channel says how many are there in all. Those who listen are told what is news to them.
    pub(super) fn tell_occupancy(&mut self, owner: &ChannelName, occupancy: &Occupancy) {
        let Some(feed) = self.feeds.get_mut(owner) else { return };
        feed.reports.wanted = true;
        let (before, epoch) = (feed.reports.told.replace(*occupancy), feed.epoch().to_owned());
        let members: Vec<_> = feed.members.iter().cloned().collect();
        let mut kinds: Vec<Wanted> = Vec::new();
        for (socket, name) in &members {
            if let Some(wanted) = self.listens(*socket, name)
                && !kinds.contains(&wanted)
            {
                kinds.push(wanted);
            }
        }
        for kind in kinds.into_iter().filter(|kind| before.is_none_or(|before| kind.differs(occupancy, &before))) {
            let mut alike: BTreeMap<(Dialect, ChannelName, Position), Vec<SocketId>> = BTreeMap::new();
            for (socket, name) in &members {
                if self.listens(*socket, name) == Some(kind)
                    && let Some((dialect, position)) = self.tells_beside(*socket, name)
                {
                    alike.entry((dialect, name.clone(), position)).or_default().push(*socket);
                }
            }
            let data = occupancy.to_json(kind).to_string();
            for ((dialect, name, position), sockets) in alike {
                let serial = position.serial(&epoch);
                let frame = occupancy_frame(name.as_str(), &serial, &data, self.now_ms, dialect);
                self.effects.push(Effect::Send { sockets, frame });
            }
        }
    }

    /// An attachment is told what has no place in the order: in which dialect, and what it has everything up to.
    fn tells_beside(&mut self, socket: SocketId, name: &ChannelName) -> Option<(Dialect, Position)> {
        let feed = self.feeds.get(&name.owner())?;
        let session = self.sessions.get_mut(&socket)?;
        let attachment = session.attachments.get_mut(name)?;
        let State::Live { after } = attachment.state else { return None };
        attachment.deltas.begin_anew();
        session.last_sent_ms = self.now_ms;
        Some((session.dialect, feed.position()?.max(after)))
    }

    /// What an attachment that is live wants to be told.
    fn listens(&self, socket: SocketId, name: &ChannelName) -> Option<Wanted> {
        let session = self.sessions.get(&socket)?;
        let attachment = session.attachments.get(name).filter(|attachment| attachment.is_live())?;
        let wanted = attachment.params.occupancy()?;
        let modes = attachment.granted(session.grant.capability.operations(name));
        modes.contains(Modes::SUBSCRIBE).then_some(wanted)
    }

    /// An attachment went live: it is told how many there are, or the channel is asked.
    pub(super) fn begin_listening(&mut self, socket: SocketId, name: &ChannelName) {
        let Some(wanted) = self.listens(socket, name) else { return };
        let owner = name.owner();
        let Some(feed) = self.feeds.get(&owner) else { return };
        match feed.reports.told {
            Some(told) => {
                let (data, epoch) = (told.to_json(wanted).to_string(), feed.epoch().to_owned());
                let Some((dialect, position)) = self.tells_beside(socket, name) else { return };
                let serial = position.serial(&epoch);
                self.send_encoded(socket, occupancy_frame(name.as_str(), &serial, &data, self.now_ms, dialect));
            }
            None if feed.reports.is_reporting => {}
            None => self.report(&owner),
        }
    }
}

/// Fails with 40160 when an attachment wants to be told of occupancy and its connection may not know it.
pub fn admit_listener(session: &Session, name: &ChannelName, attachment: &Attachment) -> Result<(), ErrorInfo> {
    match attachment.params.occupancy().is_none() || session.grant.permits(name, Operations::CHANNEL_METADATA) {
        true => Ok(()),
        false => Err(Code::NotPermitted.because("the capability does not allow to see this channel's occupancy")),
    }
}
