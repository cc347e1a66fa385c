//! Messages go out: one delivery becomes one frame for each variant of its readers.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::attachment::{Attachment, State};
use super::deltas::{Base, Deltas, last_message, link};
use super::filters::Sieve;
use super::rollup::rolled_up;
use super::session::Session;
use super::sums::{List, Sums};
use super::{Effect, Relay, SocketId};
use crate::filter::Filter;
use crate::limits::DELTA_BASES_MAX_BYTES;
use crate::model::flags::Modes;
use crate::model::message::{Entry, Kind, Kinds};
use crate::model::name::ChannelName;
use crate::model::revision::Shape;
use crate::model::serial::Position;
use crate::protocol::Encoded;
use crate::protocol::dialect::{Dialect, Voice};
use crate::protocol::outbound::entries_frame;
use crate::rpc::{Delivered, Delivery};
use crate::stats::{self, Load};

/// Bytes of a frame, at about which it ends and another begins. Measured on the stored form of its entries.
const FRAME_BYTES: usize = 128 * 1024;

/// How messages go out to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Variant {
    Whole,
    /// As deltas, of which the first is whole.
    Deltas,
    /// As deltas, of which the first follows what went out last.
    DeltasAfterBase,
    /// Whole, but for appends, of which only what was appended goes out.
    Fragments,
    /// Whole, and each increment as it is.
    Singly,
}

impl Variant {
    fn has_deltas(self) -> bool {
        matches!(self, Variant::Deltas | Variant::DeltasAfterBase)
    }
}

/// Readers who get the same.
struct Group {
    variant: Variant,
    dialect: Dialect,
    name: ChannelName,
    sockets: Vec<SocketId>,
    /// One that is told through its session.
    is_alone: bool,
    /// All that passes its filter, if nothing else is said.
    picked: Option<Vec<usize>>,
    /// Its own list of entries, where its variant's is not for it.
    own: Option<Vec<Entry>>,
}

/// A delivery: its channel, and where those are who have all that went before.
#[derive(Clone, Copy)]
struct Outgoing<'a> {
    owner: &'a ChannelName,
    epoch: &'a str,
    prior: Position,
}

/// Its entries, as each variant has them.
struct Parts<'a> {
    whole: Vec<&'a Entry>,
    singly: Vec<&'a Entry>,
    fragments: Vec<&'a Entry>,
    base: Option<Base>,
    deltas: OnceCell<Vec<Entry>>,
    deltas_after_base: OnceCell<Vec<Entry>>,
}

impl<'a> Parts<'a> {
    fn of(&self, variant: Variant) -> &[&'a Entry] {
        match variant {
            Variant::Whole | Variant::Deltas | Variant::DeltasAfterBase => &self.whole,
            Variant::Fragments => &self.fragments,
            Variant::Singly => &self.singly,
        }
    }

    /// Deltas that all readers of this variant share, made once.
    fn linked(&self, variant: Variant) -> &[Entry] {
        let made = if variant == Variant::Deltas { &self.deltas } else { &self.deltas_after_base };
        made.get_or_init(|| self.link(variant, &self.whole))
    }

    fn link(&self, variant: Variant, entries: &[&Entry]) -> Vec<Entry> {
        link(self.base.as_ref().filter(|_| variant == Variant::DeltasAfterBase), entries)
    }
}

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
        self.now_ms = now_ms;
        let answer = self.take_delivery(delivery);
        (answer, self.finish())
    }

    pub(super) fn take_delivery(&mut self, delivery: &Delivery) -> Delivered {
        let owner = &delivery.channel;
        let known = self.feeds.get_mut(owner).and_then(|feed| feed.position().map(|position| (feed, position)));
        let Some((feed, position)) = known else { return self.without_place(delivery) };
        let position = match position {
            position if feed.epoch() == delivery.epoch && position < delivery.prior && !delivery.gap => {
                return Delivered::At(position);
            }
            position if feed.epoch() == delivery.epoch && position >= delivery.prior => position,
            _ => {
                let begins = feed.epoch() != delivery.epoch;
                feed.reach(&delivery.epoch, delivery.prior, delivery.members);
                feed.since = Some(delivery.prior);
                self.drop_tail(owner);
                self.announce_gap(owner, &delivery.epoch, delivery.prior, begins);
                delivery.prior
            }
        };
        let Ok(entries) = delivery.entries.entries() else { return Delivered::At(position) };
        let fresh = entries.iter().position(|entry| entry.position > position).unwrap_or(entries.len());
        let Some(feed) = self.feeds.get_mut(owner) else { return Delivered::Unsubscribed };
        feed.reach(&delivery.epoch, delivery.through, delivery.members);
        feed.heard_ms = self.now_ms;
        let (reached, checkpoint) = (feed.position().unwrap_or(delivery.through), feed.checkpoint.clone());
        self.extend_branch(owner, position, delivery, &entries, fresh);
        self.feed_branch(owner);
        self.fan_out(Outgoing { owner, epoch: &delivery.epoch, prior: position }, &entries[fresh..]);
        self.note_leaves(owner, &entries[fresh..]);
        self.sync_reached(owner);
        if let Some((checkpoint, _)) = checkpoint.filter(|_| reached > position) {
            self.touch(checkpoint);
        }
        Delivered::At(reached)
    }

    /// A delivery to a relay that doesn't know where it stands. While it asks, it takes none: the channel's answer may
    /// place it anywhere, and whoever went live on a delivery before would miss what lies between. Nor does one that
    /// has others to feed, and will ask.
    fn without_place(&self, delivery: &Delivery) -> Delivered {
        let asks = self.is_subscribing(&delivery.channel) || self.tree.branches.contains_key(&delivery.channel);
        if asks { Delivered::NotYet } else { Delivered::Unsubscribed }
    }

    fn fan_out(&mut self, outgoing: Outgoing<'_>, entries: &[Entry]) {
        let owner = outgoing.owner;
        let rolled = rolled_up(entries);
        let singly = rolled.as_deref().unwrap_or(entries);
        if singly.is_empty() || !self.feeds.contains_key(owner) {
            return;
        }
        let sums = Sums::of(singly);
        let entries = sums.as_ref().map_or(singly, |sums| &sums.entries);
        let mut sieve = Sieve::new(entries);
        let groups = self.groups(owner, singly, sums.as_ref(), &mut sieve);
        if let Some(last) = entries.last().filter(|_| !groups.is_empty() && owner.is_of_clients()) {
            self.tally.deliver(self.now_ms.saturating_sub(last.position.time_ms()));
        }
        let is_any = |variant: Variant| groups.iter().any(|group| group.variant == variant);
        let fragments = if is_any(Variant::Fragments) { fragments_of(entries) } else { Vec::new() };
        let parts = Parts {
            whole: entries.iter().collect(),
            singly: if is_any(Variant::Singly) { singly.iter().collect() } else { Vec::new() },
            fragments: fragments.iter().collect(),
            base: self.feeds.get_mut(owner).and_then(|feed| feed.base.take()),
            deltas: OnceCell::new(),
            deltas_after_base: OnceCell::new(),
        };
        let wants_deltas = groups.iter().any(|group| group.variant.has_deltas());
        groups.into_iter().for_each(|group| self.send_to(group, outgoing, &parts, &mut sieve));
        self.keep_base(owner, parts.base, wants_deltas, &parts.whole);
        self.keep_checkpoint(owner);
    }

    /// Readers of a delivery, by what they get. `sieve` has it with increments summed, `singly` without.
    fn groups(
        &mut self,
        owner: &ChannelName,
        singly: &[Entry],
        sums: Option<&Sums<'_>>,
        sieve: &mut Sieve<'_>,
    ) -> Vec<Group> {
        let (Some(first), Some(feed)) = (singly.first(), self.feeds.get(owner)) else { return Vec::new() };
        let appended_to = appended_to(sieve.entries()).filter(|prior| Some(*prior) > feed.since);
        let has_objects = sieve.kinds().has(Kind::Objects);
        let mut sieve_singly = Sieve::new(singly);
        let (mut alike, mut groups) = (BTreeMap::<(Variant, Dialect, ChannelName), Vec<SocketId>>::new(), Vec::new());
        for (socket, name) in &feed.members {
            let Some(session) = self.sessions.get_mut(socket) else { continue };
            let list = sums.map_or(List::Usual, |sums| sums.list(session, name));
            let (share, deltas) = match &list {
                List::Usual => share(session, name, sieve, first.position),
                List::Singly => share(session, name, &mut sieve_singly, first.position),
                List::Own(entries) => share(session, name, &mut Sieve::new(entries), first.position),
            };
            let variant = match deltas.are_wanted() {
                true if deltas.follow(feed.base.as_ref()) => Variant::DeltasAfterBase,
                true => Variant::Deltas,
                false if matches!(list, List::Singly) => Variant::Singly,
                false if list.is_usual() && takes_fragments(session, name, appended_to) => Variant::Fragments,
                false => Variant::Whole,
            };
            let own = match list {
                List::Own(entries) => Some(entries),
                List::Singly if variant.has_deltas() => Some(singly.to_vec()),
                List::Usual | List::Singly => None,
            };
            let dialect = if has_objects { session.dialect } else { session.dialect.without_objects() };
            let (name, is_alone) = (name.clone(), session.hears_alone(name));
            let picked = match share {
                Share::Nothing => continue,
                Share::All => None,
                Share::Some(picked) => Some(picked),
            };
            session.last_sent_ms = self.now_ms;
            if is_alone || picked.is_some() || own.is_some() {
                groups.push(Group { variant, dialect, name, sockets: vec![*socket], is_alone, picked, own });
            } else {
                alike.entry((variant, dialect, name)).or_default().push(*socket);
            }
        }
        groups.extend(alike.into_iter().map(|((variant, dialect, name), sockets)| Group {
            variant,
            dialect,
            name,
            sockets,
            is_alone: false,
            picked: None,
            own: None,
        }));
        groups
    }

    fn send_to(&mut self, group: Group, outgoing: Outgoing<'_>, parts: &Parts<'_>, sieve: &mut Sieve<'_>) {
        let Group { variant, dialect, name, mut sockets, is_alone, picked, own } = group;
        let Outgoing { owner, epoch, prior } = outgoing;
        let own: Option<Vec<&Entry>> = own.as_ref().map(|own| own.iter().collect());
        let all = own.as_deref().unwrap_or(parts.of(variant));
        let picked: Option<Vec<&Entry>> = match self.filter(&sockets, &name) {
            None => picked.map(|at| at.into_iter().map(|index| all[index]).collect()),
            filter => Some(sieve.pick(filter.as_ref(), picked)),
        };
        let sent = picked.as_deref().unwrap_or(all);
        let apart = (own.is_some() || picked.is_some()) && variant.has_deltas();
        let apart = apart.then(|| parts.link(variant, sent));
        if is_alone && !self.keeps_up(sockets[0], &name, epoch, prior, sent) {
            return;
        }
        let frames = match &apart {
            Some(deltas) => render(&name, epoch, &deltas.iter().collect::<Vec<_>>(), dialect),
            None if variant.has_deltas() => {
                render(&name, epoch, &parts.linked(variant).iter().collect::<Vec<_>>(), dialect)
            }
            None if is_alone => self.render_alone(sockets[0], &name, epoch, sent),
            None => render(&name, epoch, sent, dialect),
        };
        match is_alone {
            true => self.charge_fed(sockets[0], bytes_of(&frames)),
            false => self.admit_fed(&mut sockets, &name, epoch, prior, bytes_of(&frames)),
        }
        if variant.has_deltas() {
            sockets.iter().for_each(|socket| self.pass_deltas(*socket, &name, sent));
        }
        self.count_sent(owner, sent, sockets.len());
        self.push_frames(sockets, frames);
    }

    /// Whether one that is told by itself may be told this now; it remembers what it is told. If not, it falls behind.
    fn keeps_up(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        epoch: &str,
        prior: Position,
        entries: &[&Entry],
    ) -> bool {
        let allowed = self.allows(socket, entries.iter().map(|entry| entry.weight()).sum());
        if !allowed {
            self.fall_behind(socket, name, epoch, prior);
        }
        allowed
    }

    fn render_alone(&mut self, socket: SocketId, name: &ChannelName, epoch: &str, entries: &[&Entry]) -> Vec<Encoded> {
        let frames = self.sessions.get_mut(&socket).map(|session| render(name, epoch, entries, session));
        self.note_orders(socket);
        frames.unwrap_or_default()
    }

    /// Keeps what the next message may be a delta to.
    fn keep_base(&mut self, owner: &ChannelName, base: Option<Base>, wants_deltas: bool, entries: &[&Entry]) {
        let keeps = wants_deltas && self.base_bytes.get() <= DELTA_BASES_MAX_BYTES;
        let next = match last_message(entries) {
            None => base,
            // SDKs take what they got last for the base, and that is an operation.
            Some((last, _)) if !keeps || last.is_operation() => None,
            Some(last) => Some(Base::of(last, &self.base_bytes)),
        };
        if let Some(feed) = self.feeds.get_mut(owner) {
            feed.base = next;
        }
    }

    fn pass_deltas(&mut self, socket: SocketId, name: &ChannelName, entries: &[&Entry]) {
        if let Some(attachment) = self.attachment(socket, name) {
            attachment.deltas.pass(entries);
        }
    }

    pub(super) fn push_frames(&mut self, sockets: Vec<SocketId>, frames: Vec<Encoded>) {
        if !sockets.is_empty() {
            self.effects.extend(frames.into_iter().map(|frame| Effect::Send { sockets: sockets.clone(), frame }));
        }
    }

    /// The filter that all these have, by their name of the channel.
    fn filter(&self, sockets: &[SocketId], name: &ChannelName) -> Option<Rc<Filter>> {
        name.filter()?;
        self.sessions.get(sockets.first()?)?.attachments.get(name)?.filter().cloned()
    }

    /// The entries of a replay that this reader gets. Up to a place it gets no presence events, operations on objects
    /// and annotations: it learns what is there, and what it comes to, not what was.
    pub(super) fn for_reader<'a>(
        &self,
        socket: SocketId,
        name: &ChannelName,
        sieve: &'a mut Sieve<'_>,
        whole_after: Position,
    ) -> Vec<&'a Entry> {
        let session = self.sessions.get(&socket);
        let attachment = session.and_then(|session| session.attachments.get(name));
        let (Some(session), Some(attachment)) = (session, attachment) else { return Vec::new() };
        let delivery_filter = DeliveryFilter::of(session, name, attachment);
        let entries = sieve.entries();
        let is_given = |entry: &Entry| entry.position > whole_after || entry.kind() == Kind::Messages;
        let gets = |entry: &Entry| delivery_filter.hears(entry) && is_given(entry);
        let picked = (0..entries.len()).filter(|index| gets(&entries[*index])).collect();
        sieve.pick(attachment.filter(), Some(picked))
    }

    /// Counts what so many connections are sent. That statistics are sent would be another statistic to send.
    pub(super) fn count_sent(&mut self, name: &ChannelName, entries: &[&Entry], connections: usize) {
        if connections > 0 && name.is_of_clients() {
            let loads = entries.iter().map(|entry| Load::of(entry));
            loads.for_each(|load| self.tally.add_load(stats::Traffic::RealtimeOut, load, connections as u64));
        }
    }
}

/// The oldest of the versions to which these append something.
fn appended_to(entries: &[Entry]) -> Option<Position> {
    let prior = |entry: &Entry| {
        let (.., version) = entry.operation()?;
        matches!(version.shape, Shape::Appended { .. }).then_some(version.prior)
    };
    entries.iter().filter_map(prior).min()
}

/// Whether a reader that wants it so has all versions to which something is appended: else it gets messages whole.
fn takes_fragments(session: &Session, name: &ChannelName, appended_to: Option<Position>) -> bool {
    let Some(prior) = appended_to else { return false };
    let Some(attachment) = session.attachments.get(name) else { return false };
    let hears_all = session.echo && !attachment.params.no_echo && attachment.view.is_none();
    let is_live = hears_all && matches!(attachment.state, State::Live { after } if after < prior);
    is_live && attachment.params.accepted.get("appendMode").is_none_or(|mode| mode != "full")
}

fn fragments_of(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().map(|entry| entry.fragment().unwrap_or_else(|| entry.clone())).collect()
}

pub(super) fn render(name: &ChannelName, epoch: &str, entries: &[&Entry], mut voice: impl Voice) -> Vec<Encoded> {
    let frames = frames_of(entries).filter_map(|chunk| entries_frame(name.as_str(), epoch, chunk, &mut voice));
    frames.filter(|frame| !frame.is_nothing()).collect()
}

pub(super) fn bytes_of(frames: &[Encoded]) -> usize {
    frames.iter().map(Encoded::len).sum()
}

fn share(session: &Session, name: &ChannelName, sieve: &mut Sieve<'_>, first: Position) -> (Share, Deltas) {
    let Some(attachment) = session.attachments.get(name) else { return (Share::Nothing, Deltas::None) };
    let State::Live { after } = attachment.state else { return (Share::Nothing, Deltas::None) };
    let delivery_filter = DeliveryFilter::of(session, name, attachment);
    let share = match after < first && delivery_filter.hears_all(sieve.kinds()) {
        true => Share::All,
        false => heard(&delivery_filter, sieve.entries(), after),
    };
    let passes = |filter| match &share {
        Share::Nothing => false,
        Share::All => sieve.passes_any(filter, None),
        Share::Some(picked) => sieve.passes_any(filter, Some(picked)),
    };
    match attachment.filter().is_none_or(passes) {
        true => (share, attachment.deltas),
        false => (Share::Nothing, Deltas::None),
    }
}

fn heard(delivery_filter: &DeliveryFilter<'_>, entries: &[Entry], after: Position) -> Share {
    let gets = |entry: &Entry| entry.position > after && delivery_filter.hears(entry);
    let picked: Vec<usize> = (0..entries.len()).filter(|index| gets(&entries[*index])).collect();
    match picked.len() {
        0 => Share::Nothing,
        all if all == entries.len() => Share::All,
        _ => Share::Some(picked),
    }
}

/// What an attachment is to hear.
struct DeliveryFilter<'a> {
    connection_id: &'a str,
    /// Of what others say.
    heard: Kinds,
    /// Of what its own connection says.
    own: Kinds,
}

impl DeliveryFilter<'_> {
    /// A connection always hears of its own members (protocol.md § 10), and of what else it said if it likes.
    fn of<'a>(session: &'a Session, name: &ChannelName, attachment: &Attachment) -> DeliveryFilter<'a> {
        const TOLD: [(Modes, Kind); 4] = [
            (Modes::SUBSCRIBE, Kind::Messages),
            (Modes::PRESENCE_SUBSCRIBE, Kind::Presence),
            (Modes::OBJECT_SUBSCRIBE, Kind::Objects),
            (Modes::ANNOTATION_SUBSCRIBE, Kind::Annotations),
        ];
        // The modes asked for first: they are cheap, and most attachments that lack one lack these.
        let modes = match TOLD.iter().any(|(mode, _)| attachment.requested.contains(*mode)) {
            false => Modes::NONE,
            true => attachment.granted(session.grant.capability.operations(name)),
        };
        let told = TOLD.into_iter().filter(|(mode, _)| modes.contains(*mode));
        let heard = told.fold(Kinds::default(), |heard, (_, kind)| heard.with(kind));
        let hears_itself = session.echo && !attachment.params.no_echo;
        let own = if hears_itself { heard } else { Kinds::default() };
        DeliveryFilter { connection_id: session.speaks_as(name), heard, own: own.with(Kind::Presence) }
    }

    /// Whether it hears all entries of these kinds, whoever said them.
    fn hears_all(&self, kinds: Kinds) -> bool {
        self.heard.has_all(kinds) && self.own.has_all(kinds)
    }

    fn hears(&self, entry: &Entry) -> bool {
        let is_own = entry.connection_id.as_deref() == Some(self.connection_id);
        if is_own { self.own } else { self.heard }.has(entry.kind())
    }
}

/// Cuts entries into what goes into one frame each: entries of one kind, and not too many bytes.
fn frames_of<'a, 'b>(entries: &'b [&'a Entry]) -> impl Iterator<Item = &'b [&'a Entry]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (mut bytes, kind) = (0, rest[0].kind());
        let fits = |entry: &&&Entry| {
            bytes += entry.weight();
            bytes <= FRAME_BYTES && entry.kind() == kind
        };
        let (frame, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        rest = later;
        Some(frame)
    })
}
