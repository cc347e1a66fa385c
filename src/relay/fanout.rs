//! Messages go out: one delivery becomes one frame for each variant of its readers.

use std::collections::HashMap;

use super::attachment::{Attachment, State};
use super::session::Session;
use super::{Effect, Relay, SocketId};
use crate::call::{Delivered, Delivery};
use crate::name::ChannelName;
use crate::serial::Position;
use crate::wire::Format;
use crate::wire::flags::Modes;
use crate::wire::message::Entry;
use crate::wire::outbound::message_frame;

/// Bytes of a frame, at about which it ends and another begins. Measured on the stored form of its entries.
const FRAME_BYTES: usize = 128 * 1024;

/// What one attachment is to get of a delivery.
enum Share {
    Nothing,
    All,
    /// Some entries only: it had the others already, or they are its own.
    Some(Vec<usize>),
}

impl Relay {
    /// A channel's delivery. The answer goes back to the channel; it says where the relay stands.
    pub fn deliver(&mut self, delivery: &Delivery, now_ms: u64) -> (Delivered, Vec<Effect>) {
        let answer = self.take_delivery(delivery, now_ms);
        (answer, self.finish())
    }

    fn take_delivery(&mut self, delivery: &Delivery, now_ms: u64) -> Delivered {
        let owner = &delivery.channel;
        let known = self.feeds.get_mut(owner).and_then(|feed| feed.position().map(|position| (feed, position)));
        let Some((feed, position)) = known else { return self.unplaced(delivery) };
        let position = match position {
            position if feed.series() == delivery.series && position < delivery.prior && !delivery.gap => {
                return Delivered::At(position);
            }
            position if feed.series() == delivery.series && position >= delivery.prior => position,
            _ => {
                let begins = feed.series() != delivery.series;
                feed.reach(&delivery.series, delivery.prior);
                self.announce_gap(owner, &delivery.series, delivery.prior, begins, now_ms);
                delivery.prior
            }
        };
        let Ok(entries) = delivery.entries.entries() else { return Delivered::At(position) };
        let fresh = entries.iter().position(|entry| entry.position > position).unwrap_or(entries.len());
        self.fan_out(owner, &delivery.series, &entries[fresh..], now_ms);
        let Some(feed) = self.feeds.get_mut(owner) else { return Delivered::Unsubscribed };
        feed.reach(&delivery.series, delivery.through);
        let (reached, witness) = (feed.position().unwrap_or(delivery.through), feed.witness.clone());
        if let Some((witness, _)) = witness.filter(|_| reached > position) {
            self.touch(witness);
        }
        Delivered::At(reached)
    }

    /// A delivery to a relay that doesn't know where it stands. While it asks, it takes none: the channel's answer may
    /// place it anywhere, and whoever went live on a delivery before would miss what lies between.
    fn unplaced(&self, delivery: &Delivery) -> Delivered {
        if self.is_subscribing(&delivery.channel) { Delivered::NotYet } else { Delivered::Unsubscribed }
    }

    fn fan_out(&mut self, owner: &ChannelName, series: &str, entries: &[Entry], now_ms: u64) {
        let (Some(first), Some(feed)) = (entries.first(), self.feeds.get(owner)) else { return };
        let mut alike: HashMap<(Format, ChannelName), Vec<SocketId>> = HashMap::new();
        let mut apart = Vec::new();
        for (socket, name) in &feed.members {
            let Some(session) = self.sessions.get_mut(socket) else { continue };
            match share(session, name, entries, first.position) {
                Share::Nothing => continue,
                Share::All => alike.entry((session.format, name.clone())).or_default().push(*socket),
                Share::Some(picked) => apart.push((*socket, session.format, name.clone(), picked)),
            }
            session.last_sent_ms = now_ms;
        }
        let all: Vec<&Entry> = entries.iter().collect();
        for ((format, name), sockets) in alike {
            self.push_frames(&sockets, &name, series, &all, format);
        }
        for (socket, format, name, picked) in apart {
            let picked: Vec<&Entry> = picked.into_iter().map(|index| &entries[index]).collect();
            self.push_frames(&[socket], &name, series, &picked, format);
        }
    }

    fn push_frames(
        &mut self,
        sockets: &[SocketId],
        name: &ChannelName,
        series: &str,
        entries: &[&Entry],
        format: Format,
    ) {
        for chunk in frames_of(entries) {
            if let Some(frame) = message_frame(name.as_str(), series, chunk, format) {
                self.effects.push(Effect::Send { sockets: sockets.to_vec(), frame });
            }
        }
    }

    /// The entries of a replay that this reader gets.
    pub(super) fn for_reader<'a>(&self, socket: SocketId, name: &ChannelName, entries: &'a [Entry]) -> Vec<&'a Entry> {
        let session = self.sessions.get(&socket);
        let attachment = session.and_then(|session| session.attachments.get(name));
        match (session, attachment) {
            (Some(session), Some(attachment)) if subscribes(session, name, attachment) => {
                entries.iter().filter(|entry| !is_own_echo(session, attachment, entry)).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn send_entries(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        series: &str,
        entries: &[&Entry],
        now_ms: u64,
    ) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.last_sent_ms = now_ms;
        let format = session.format;
        self.push_frames(&[socket], name, series, entries, format);
    }
}

fn share(session: &Session, name: &ChannelName, entries: &[Entry], first: Position) -> Share {
    let Some(attachment) = session.attachments.get(name) else { return Share::Nothing };
    let State::Live { after } = attachment.state else { return Share::Nothing };
    if !subscribes(session, name, attachment) {
        return Share::Nothing;
    }
    let hears_itself = session.echo && !attachment.params.no_echo;
    if after < first && hears_itself {
        return Share::All;
    }
    let gets = |entry: &Entry| entry.position > after && !is_own_echo(session, attachment, entry);
    let picked: Vec<usize> = (0..entries.len()).filter(|index| gets(&entries[*index])).collect();
    match picked.len() {
        0 => Share::Nothing,
        all if all == entries.len() => Share::All,
        _ => Share::Some(picked),
    }
}

fn subscribes(session: &Session, name: &ChannelName, attachment: &Attachment) -> bool {
    // The mode first: it is cheap, and most attachments that lack one lack this.
    attachment.requested.contains(Modes::SUBSCRIBE)
        && attachment.granted(session.grant.capability.operations(name)).contains(Modes::SUBSCRIBE)
}

fn is_own_echo(session: &Session, attachment: &Attachment, entry: &Entry) -> bool {
    let silent = !session.echo || attachment.params.no_echo;
    silent && entry.connection_id.as_deref() == Some(session.connection_id())
}

/// Cuts entries into what goes into one frame each.
fn frames_of<'a, 'b>(entries: &'b [&'a Entry]) -> impl Iterator<Item = &'b [&'a Entry]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut bytes = 0;
        let fits = |entry: &&&Entry| {
            bytes += entry.messages.iter().map(|message| message.size()).sum::<usize>();
            bytes <= FRAME_BYTES
        };
        let (frame, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        rest = later;
        Some(frame)
    })
}
