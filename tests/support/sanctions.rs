//! An operator revokes tokens, bans clients and ends keys ([`super::ended_keys`]). What is judged of it:
//!
//! - an object that has stored a revocation or a ban, and said so, tells those whom it concerns nothing more and takes
//!   nothing from them, whatever becomes of its memory and its calls to the app;
//! - only they are refused; once a ban is lifted, or a token renewed, they come in again and go on where they were;
//! - when nothing fails any more, none of them is left.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use courtside::auth::{Ban, Grant, Identity, KeyName, Revocation, Target};
use courtside::object::{self, CallerId};
use courtside::protocol::{Encoded, action};
use courtside::rpc::{
    Act, AdminCall, AppCall, AppRequest, AppResponse, Changes, News, Notice, Noticed, Watched, Watching,
};
use serde_json::Value;

use super::client::Barred;
use super::ended_keys::{self, Ends, Keys};
use super::frames::{self, Frame};
use super::host::{Input, LinkId};
use super::network::{Owner, grant};
use super::trace::note;
use super::world::{EPOCH_MS, Event, World};

/// How long after its time a token may go on where the object's alarm may be late.
pub const LATE_MS: u64 = 10_000;

/// How long after its end a ban may keep a client out when nothing fails: the app tells of it again and again.
const HEARD_MS: u64 = 60_000;

/// Whom a ban keeps out: a name, and the channel if it is not of all.
type Subject = (String, Option<usize>);

/// What a client comes in with that has a name of its own.
#[derive(Clone, Debug)]
pub struct Pass {
    pub name: String,
    /// Of a token; a key has none.
    issued_at_ms: Option<u64>,
    revocation_key: String,
    /// By which it comes, itself or by its token.
    pub key: String,
    /// Whether its client gets another token when this one is revoked, and another key when that has ended.
    pub renews: bool,
}

#[derive(Debug, Default)]
pub struct Sanctions {
    pub operates: bool,
    pub keys: Keys,
    revoked: Vec<Revocation>,
    /// When each ban ends, or was lifted.
    bans: BTreeMap<Subject, Option<u64>>,
    /// What each object has stored and said that it has, by its number.
    known: HashMap<usize, Known>,
    /// Notices that are being taken.
    noticing: HashMap<CallerId, (usize, Notice)>,
    learnt: Vec<(usize, Noticed, Notice)>,
    pub passes: HashMap<LinkId, Pass>,
    /// Publishes that came from who may publish, and those that never did.
    admitted: HashSet<String>,
    pub count: usize,
}

#[derive(Debug, Default)]
struct Known {
    ticket: u64,
    /// By which watch it was told last, and through which revision.
    told: (u64, u64),
    /// What it was told by a watch that it may not have stored.
    early: Vec<(u64, Changes)>,
    revoked: Vec<Revocation>,
    bans: Vec<Ban>,
    /// Of an app that was made at run time.
    keys: Option<Ends>,
}

impl Pass {
    pub fn grant(&self) -> Grant {
        Grant {
            key_name: KeyName::parse(&format!("demo.{}", self.key)).expect("a name"),
            client_id: Identity::Named(self.name.as_str().into()),
            basic: self.issued_at_ms.is_none(),
            issued_at_ms: self.issued_at_ms,
            also_revoked_by: Some(Rc::from([Target::RevocationKey(self.revocation_key.clone())])),
            ..grant()
        }
    }

    fn is_revoked_by(&self, revocation: &Revocation) -> bool {
        let is_meant = match &revocation.target {
            Target::ClientId(name) => *name == self.name,
            Target::RevocationKey(key) => *key == self.revocation_key,
            Target::Channel(_) => false,
        };
        let is_meant = is_meant && revocation.key_name.id() == self.key;
        is_meant && self.issued_at_ms.is_some_and(|issued_at_ms| issued_at_ms < revocation.issued_before_ms)
    }
}

impl Known {
    fn lift(&mut self, ban: &Ban) {
        self.bans.retain(|known| (&known.client_id, &known.channels) != (&ban.client_id, &ban.channels));
    }

    fn change(&mut self, Changes { config, revocations, bans }: Changes) {
        self.keys = config.as_deref().map(ended_keys::ends).or(self.keys.take());
        self.revoked.extend(revocations);
        for ban in bans {
            self.lift(&ban);
            self.bans.extend(Some(ban).filter(|ban| !ban.is_lifted()));
        }
    }
}

impl World {
    /// A name of its own, for some clients.
    pub fn name_client(&mut self, client: usize) {
        if !self.sanctions.operates || self.random.chance(400) {
            return;
        }
        let name = (*self.random.pick(&["ann", "ben", "cid"])).to_owned();
        let issued_at_ms = self.random.chance(700).then_some(EPOCH_MS);
        let revocation_key = (*self.random.pick(&["blue", "red"])).to_owned();
        let key = self.some_key();
        self.homes[client].pass = Some(Pass { name, issued_at_ms, revocation_key, key, renews: true });
    }

    /// The name that a client has, or else this.
    pub fn name_of(&self, client: usize, otherwise: String) -> String {
        self.homes[client].pass.as_ref().map_or(otherwise, |pass| pass.name.clone())
    }

    /// Now and then, one of them.
    pub fn sanction(&mut self) {
        let named: Vec<Pass> = self.homes.iter().filter_map(|home| home.pass.clone()).collect();
        if named.is_empty() {
            return;
        }
        let pass = self.random.pick(&named).clone();
        self.sanctions.count += 1;
        match self.random.below(10) {
            0..3 if self.sanctions.keys.are_many => self.end_key(),
            0..4 => self.revoke(&pass),
            4..7 => self.ban(&pass.name),
            _ => self.lift_some(),
        }
    }

    fn revoke(&mut self, pass: &Pass) {
        let target = match self.random.chance(700) {
            true => Target::ClientId(pass.name.clone()),
            false => Target::RevocationKey(pass.revocation_key.clone()),
        };
        let now_ms = EPOCH_MS + self.now_ms;
        let applies_at_ms = if self.random.chance(300) { now_ms + 30_000 } else { now_ms };
        let key_name = pass.grant().key_name;
        let revocation = Revocation { key_name, target, issued_before_ms: now_ms, applies_at_ms };
        for index in 0..self.homes.len() {
            let is_hit = self.homes[index].pass.as_ref().is_some_and(|pass| pass.is_revoked_by(&revocation));
            let renews = self.random.chance(850);
            self.homes[index].pass.iter_mut().filter(|_| is_hit).for_each(|pass| pass.renews &= renews);
        }
        self.sanctions.revoked.push(revocation.clone());
        self.operate(AppRequest::Revoke(vec![revocation]));
    }

    fn ban(&mut self, name: &str) {
        let channel = self.random.chance(500).then(|| self.random.below(self.channels as u64) as usize);
        let for_ms = self.random.chance(300).then(|| self.random.between(1_000, 20_000));
        let now_ms = EPOCH_MS + self.now_ms;
        let until_ms = for_ms.map(|for_ms| now_ms + for_ms);
        let lifted = Ban::lifted(name, self.resource(channel).as_deref());
        let ends_ms = for_ms.map(|for_ms| self.now_ms + for_ms);
        self.sanctions.bans.insert((name.to_owned(), channel), ends_ms);
        self.admin(Act::Ban(Ban { since_ms: now_ms, until_ms, ..lifted }));
    }

    fn lift_some(&mut self) {
        for (name, channel) in self.sanctions.bans.keys().cloned().collect::<Vec<_>>() {
            if self.random.chance(600) {
                self.lift(name, channel);
            }
        }
    }

    fn lift(&mut self, client_id: String, channel: Option<usize>) {
        let now_ms = self.now_ms;
        let ends_ms = self.sanctions.bans.get_mut(&(client_id.clone(), channel)).expect("it is known");
        *ends_ms = Some(ends_ms.map_or(now_ms, |ends_ms| ends_ms.min(now_ms)));
        let channels = self.resource(channel);
        self.admin(Act::Lift { client_id, channels });
    }

    /// All that there are, in half of the runs: everybody must come in again.
    pub fn end_sanctions(&mut self) {
        if self.random.chance(500) {
            for (name, channel) in self.sanctions.bans.keys().cloned().collect::<Vec<_>>() {
                self.lift(name, channel);
            }
        }
    }

    fn resource(&self, channel: Option<usize>) -> Option<String> {
        let address = self.hosts[channel?].address.as_ref().expect("a channel's object");
        Some(address.channel.to_string())
    }

    pub(super) fn admin(&mut self, act: Act) {
        self.operate(AppRequest::Admin(Box::new(AdminCall { note: None, act })));
    }

    fn operate(&mut self, request: AppRequest) {
        let (caller, app) = (CallerId(self.fresh()), self.hosts[0].app.id().clone());
        self.app_turn(object::AppInput::Call { caller, call: AppCall { app, request } });
    }

    /// What a client comes in with now. Who has heard that its token is revoked gets another, or tries it once more.
    /// `None` when its key has ended.
    pub(super) fn show_pass(&mut self, client: usize, link: LinkId) -> Option<Grant> {
        let expires_at_ms = self.let_through(client)?;
        let Some(pass) = &self.homes[client].pass else { return Some(grant()) };
        let (is_revoked, calm) = (self.sanctions.is_revoked(pass), self.homes[client].client.calm);
        let tries_again = !calm && is_revoked && self.random.chance(300);
        let issued_at_ms = EPOCH_MS + self.now_ms;
        let pass = self.homes[client].pass.as_mut().expect("it has one");
        if is_revoked && pass.renews && !tries_again {
            pass.issued_at_ms = Some(issued_at_ms);
        }
        note(self.now_ms, format_args!("client {client} comes with {pass:?}"));
        self.sanctions.passes.insert(link, pass.clone());
        Some(Grant { expires_at_ms, ..pass.grant() })
    }

    /// Before a client is told something: what it may be refused.
    pub(super) fn note_barred(&mut self, client: usize) {
        let Some(pass) = &self.homes[client].pass else { return };
        let calm = self.homes[client].client.calm;
        let shown = self.homes[client].link.and_then(|link| self.sanctions.passes.get(&link)).unwrap_or(pass);
        let may_be = |channel| {
            self.sanctions.is_banned(&pass.name, channel, |ends_ms| !calm || self.now_ms < ends_ms + HEARD_MS)
        };
        let barred = Barred {
            token: self.sanctions.is_revoked(shown) || self.is_ending(shown),
            app: may_be(None),
            channels: (0..self.channels).map(|channel| may_be(Some(channel))).collect(),
        };
        self.homes[client].client.may_be_barred(barred);
    }

    /// What keeps a client out now, for good.
    pub fn barred(&self, client: usize) -> Barred {
        let Some(pass) = &self.homes[client].pass else { return Barred::default() };
        let is = |channel| self.sanctions.is_banned(&pass.name, channel, |ends_ms| self.now_ms < ends_ms);
        Barred {
            token: (self.sanctions.is_revoked(pass) || self.is_ending(pass)) && !pass.renews,
            app: is(None),
            channels: (0..self.channels).map(|channel| is(Some(channel))).collect(),
        }
    }

    /// Something comes to an object: what it is told by the app, or what its clients publish.
    pub(super) fn note_input(&mut self, host: usize, input: &Input) {
        if !self.sanctions.operates {
            return;
        }
        match input {
            Input::Object(object::Input::Notice { caller, notice }) => {
                self.sanctions.noticing.insert(*caller, (host, notice.clone()));
                // What is lifted holds no longer, stored or not.
                if let (News::Changed(changes), Some(known)) = (&notice.news, self.sanctions.known.get_mut(&host)) {
                    changes.bans.iter().for_each(|ban| known.lift(ban));
                }
            }
            Input::Frame { link, bytes, format } => {
                let Some(pass) = self.sanctions.passes.get(link) else { return };
                let frame = frames::read_value(bytes, *format);
                let channel = self.channel_of(frame["channel"].as_str().unwrap_or_default());
                let is_out = self.is_out(host, pass) || channel.is_some_and(|at| self.is_off(host, pass, at));
                self.note_publish(&frame, is_out);
            }
            _ => {}
        }
    }

    /// Of publishes that came from who may not publish nothing may be in a log.
    pub(super) fn note_publish(&mut self, frame: &Value, is_out: bool) {
        let Some(text) = frame["messages"][0]["data"].as_str().filter(|_| self.sanctions.operates) else { return };
        let tag = text.split_once('/').map_or(text, |(tag, _)| tag).to_owned();
        if !is_out {
            self.ledger.forbidden.remove(&tag);
            self.sanctions.admitted.insert(tag);
        } else if !self.sanctions.admitted.contains(&tag) {
            self.ledger.forbidden.insert(tag);
        }
    }

    /// What the app answered is known to an object once it is stored there, if nothing failed meanwhile.
    pub(super) fn note_watch(&mut self, host: usize, watching: Watching, stored_at_ms: u64) {
        let known = self.sanctions.known.entry(host).or_default();
        if known.ticket <= watching.watched.ticket {
            (known.revoked, known.bans, known.keys) = (Vec::new(), Vec::new(), None);
            let crashes = self.hosts[host].crashes;
            self.at(stored_at_ms + 1, Event::Watches { host, crashes, watching: Box::new(watching) });
        }
    }

    pub(super) fn watches(&mut self, host: usize, crashes: u64, Watching { watched, bans }: Watching) {
        let Watched { ticket, revocations, config } = watched;
        let keys = config.as_deref().map(ended_keys::ends);
        let known = self.sanctions.known.entry(host).or_default();
        if crashes == self.hosts[host].crashes && known.ticket < ticket {
            let early = std::mem::take(&mut known.early);
            *known = Known { ticket, told: known.told, revoked: revocations, bans, keys, ..Known::default() };
            early.into_iter().filter(|(by, _)| *by == ticket).for_each(|(_, changes)| known.change(changes));
        }
    }

    /// A frame leaves an object: nobody is told anything whom that object keeps out.
    pub(super) fn judge_frame(&self, host: usize, link: LinkId, frame: &Encoded) {
        let Some(pass) = self.sanctions.passes.get(&link) else { return };
        let knows_none = |known: &Known| known.revoked.is_empty() && known.bans.is_empty() && known.keys.is_none();
        if self.sanctions.known.get(&host).is_none_or(knows_none) {
            return;
        }
        let frame = Frame::read(frame);
        // One notice may ask for another token and end the connection.
        let is_farewell = matches!(frame.action, action::AUTH | action::ERROR | action::DISCONNECTED | action::CLOSED);
        assert!(is_farewell || !self.is_out(host, pass), "{link} is told {frame:?}, which {pass:?} no longer allows");
        let channel = frame.channel.as_deref().and_then(|name| self.channel_of(name));
        let is_farewell = is_farewell || frame.action == action::DETACHED;
        let is_off = channel.is_some_and(|channel| self.is_off(host, pass, channel));
        assert!(is_farewell || !is_off, "{link} is told {frame:?}, and {} is banned there", pass.name);
    }

    /// Whether an object knows surely that it must keep someone out.
    fn is_out(&self, host: usize, pass: &Pass) -> bool {
        let Some(known) = self.sanctions.known.get(&host) else { return false };
        let is_over = |revocation: &Revocation| match revocation.applies_at_ms > revocation.issued_before_ms {
            true => revocation.applies_at_ms + LATE_MS < EPOCH_MS + self.now_ms,
            false => true,
        };
        // A clock that was set back brings back the time before.
        let is_steady = self.weather_at_first.step_clock == 0;
        let is_revoked = known.revoked.iter().any(|one| pass.is_revoked_by(one) && is_over(one));
        let has_ended = known.keys.as_ref().is_some_and(|keys| self.is_over(pass, keys));
        is_steady && is_revoked
            || has_ended
            || known.bans.iter().any(|ban| is_for_good(ban, pass) && ban.channels.is_none())
    }

    fn is_off(&self, host: usize, pass: &Pass, channel: usize) -> bool {
        let resource = self.resource(Some(channel));
        let known = self.sanctions.known.get(&host);
        known.is_some_and(|known| known.bans.iter().any(|ban| is_for_good(ban, pass) && ban.channels == resource))
    }

    pub(super) fn channel_of(&self, name: &str) -> Option<usize> {
        let plain = name.rsplit_once(']').map_or(name, |(_, plain)| plain);
        (0..self.channels).find(|channel| self.resource(Some(*channel)).as_deref() == Some(plain))
    }

    /// Nobody is left who was sent away. Gives how many are out.
    pub fn check_sanctions(&self) -> usize {
        self.check_keys();
        let mut out = 0;
        for (index, home) in self.homes.iter().enumerate() {
            let barred = self.barred(index);
            let is_out = barred.token || barred.app;
            let is_here = home
                .link
                .and_then(|link| self.links.get(&link))
                .is_some_and(|link| matches!(link.owner, Owner::Client(_)) && home.client.is_connected());
            assert!(!is_out || !is_here, "client {index} is still here: {barred:?}, {:?}", home.pass);
            let is_off = |channel: usize| barred.channels.get(channel).is_some_and(|is_off| *is_off);
            let left = home.client.subscriptions.iter().find(|at| is_off(at.channel) && at.is_attached());
            assert!(left.is_none(), "client {index} is still on a channel: {left:?}, {:?}", home.pass);
            out += usize::from(is_out || barred.channels.contains(&true));
        }
        note(self.now_ms, format_args!("{out} clients are kept out"));
        out
    }
}

fn is_for_good(ban: &Ban, pass: &Pass) -> bool {
    ban.client_id == pass.name && ban.until_ms.is_none()
}

impl Sanctions {
    /// An object says what became of what it was told.
    pub fn note_noticed(&mut self, caller: CallerId, noticed: Option<Noticed>) {
        let told = self.noticing.remove(&caller);
        self.learnt.extend(told.into_iter().filter_map(|(host, notice)| Some((host, noticed?, notice))));
    }

    /// ... which holds for what it says later: nobody knows the order of what it said in the same turn.
    pub fn learn(&mut self) {
        for (host, noticed, notice) in self.learnt.drain(..) {
            let known = self.known.entry(host).or_default();
            match (noticed, notice.news) {
                // A call that was given up came behind later ones.
                (Noticed::Taken, _) if known.told.0 == notice.ticket && known.told.1 >= notice.through => {}
                (Noticed::Taken, News::Changed(changes)) => {
                    known.change((*changes).clone());
                    known.told = (notice.ticket, notice.through);
                    known.early.extend((known.ticket < notice.ticket).then_some((notice.ticket, *changes)));
                }
                // A watch that began in the same turn is over, too.
                (Noticed::Unwatched, _) => {
                    *known = Known { ticket: known.ticket.max(notice.ticket), ..Known::default() };
                }
                _ => {}
            }
        }
    }

    fn is_revoked(&self, pass: &Pass) -> bool {
        self.revoked.iter().any(|revocation| pass.is_revoked_by(revocation))
    }

    /// Whether a ban is of a client there, or of all the app, that may hold though it ends then.
    fn is_banned(&self, name: &str, channel: Option<usize>, may_hold: impl Fn(u64) -> bool) -> bool {
        let holds = |of: Option<usize>| {
            self.bans.get(&(name.to_owned(), of)).is_some_and(|ends_ms| ends_ms.is_none_or(&may_hold))
        };
        holds(None) || channel.is_some_and(|channel| holds(Some(channel)))
    }
}

/// What the app answers a relay that begins to watch it.
pub(super) fn watching(input: &Input) -> Option<Watching> {
    match input {
        Input::Object(object::Input::AppAnswered { answer: Ok(AppResponse::Watching(watching)), .. }) => {
            Some((**watching).clone())
        }
        _ => None,
    }
}
