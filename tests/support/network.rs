//! What is under way between objects, and between them and the clients: late, lost, repeated, out of order.
//!
//! Calls know no order, frames of one transport keep theirs. A caller learns the answer, or that there is none, which
//! says nothing of what became of the call; or, now and then, nothing at all.

use std::rc::Rc;

use courtside::app::Tell;
use courtside::auth::{Capability, Grant, Identity, KeyName};
use courtside::error::Code;
use courtside::model::Format;
use courtside::model::name::ChannelName;
use courtside::object::{self, AppInput, CallerId};
use courtside::protocol::Encoded;
use courtside::relay::session::{Opening, Takeover};
use courtside::rpc::Ticket;
use courtside::rpc::connection_key::TakeoverKind;
use courtside::rpc::{Answer, AppResponse, Delivered, Noticed, Probed, RelayName, Response};
use courtside::transport::Mode;

use super::client::{PresenceUpdate, Transport};
use super::earlier_names;
use super::frames::{self, Frame};
use super::host::{Input, LinkId, Turned};
use super::trace::note;
use super::world::{Event, World};

#[derive(Debug)]
pub(super) struct Link {
    pub(super) owner: Owner,
    pub(super) host: usize,
    /// How its responses go, if it is over HTTP.
    pub(super) mode: Option<Mode>,
    /// By which the client's requests are known, once it is told.
    pub(super) key: Option<String>,
    pub(super) to_server_ms: u64,
    pub(super) to_client_ms: u64,
}

/// Whose transport it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Client(usize),
    Adversary(usize),
    Listener(usize),
    Guest(usize),
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) caller: usize,
    pub(super) life: u64,
    pub(super) reply: Reply,
    pub(super) callee: usize,
    pub(super) arrived: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Reply {
    Call(Ticket),
    Delivery(ChannelName, RelayName, u64),
    Probe(RelayName, u64),
    App(Ticket),
    /// To the app.
    Notice(Tell),
    /// To a router, for a listener's request.
    Page {
        ear: usize,
        at: usize,
        number: u64,
    },
}

/// What comes back of a call.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Nothing,
    Answer(Answer<Response>),
    Delivered(Delivered),
    Probed(Probed),
    App(Answer<AppResponse>),
    Noticed(Answer<Noticed>),
}

impl From<object::Reply> for Said {
    fn from(reply: object::Reply) -> Said {
        match reply {
            object::Reply::Response(answer) => Said::Answer(answer),
            object::Reply::Delivered(answer) => Said::Delivered(answer),
            object::Reply::Probed(answer) => Said::Probed(answer),
            object::Reply::Noticed(answer) => Said::Noticed(answer),
            other => unreachable!("no object asks for this: {other:?}"),
        }
    }
}

impl Reply {
    /// What becomes of an answer on its way to the memory that waits for it.
    fn event(self, host: usize, life: u64, said: Said) -> Event {
        use object::Input::{Answered, AppAnswered, Delivered, Probed};
        let input = match (self, said) {
            (Reply::Page { ear, at, number }, said) => return Event::Page { ear, at, number, said },
            (Reply::Notice(tell), Said::Noticed(Ok(noticed))) => {
                return Event::App { input: AppInput::Told { tell, answer: Some(noticed) }, by: None };
            }
            (Reply::Notice(tell), _) => return Event::App { input: AppInput::Told { tell, answer: None }, by: None },
            (Reply::Call(ticket), Said::Answer(answer)) => Answered { ticket, answer: Some(answer) },
            (Reply::Call(ticket), _) => Answered { ticket, answer: None },
            (Reply::Delivery(channel, relay, attempt), Said::Delivered(answer)) => {
                Delivered { channel, relay, attempt, answer: Some(answer) }
            }
            (Reply::Delivery(channel, relay, attempt), _) => Delivered { channel, relay, attempt, answer: None },
            (Reply::Probe(relay, attempt), Said::Probed(answer)) => Probed { relay, attempt, answer: Some(answer) },
            (Reply::Probe(relay, attempt), _) => Probed { relay, attempt, answer: None },
            (Reply::App(ticket), Said::App(answer)) => AppAnswered { ticket, answer },
            (Reply::App(ticket), _) => AppAnswered { ticket, answer: Err(Code::TimedOut.into()) },
        };
        let input = Input::Object(input);
        Event::Turn { host, life: Some(life), input }
    }
}

impl World {
    /// What a turn asks of the platform's clocks.
    pub(super) fn keep_time(&mut self, host: usize, Turned { started, asks_alarm, .. }: Turned) {
        let life = Some(self.hosts[host].life);
        for (timer, after_ms) in started {
            // The end of a turn comes when everything that had arrived by then was taken.
            let delay_ms = if after_ms == 0 { self.random.below(4) } else { after_ms };
            self.after(delay_ms, Event::Turn { host, life, input: Input::Object(object::Input::Rang(timer)) });
        }
        if asks_alarm {
            let input = Input::Object(object::Input::AlarmKnown { at_ms: self.hosts[host].disk().alarm_ms() });
            let delay_ms = self.random.below(self.weather.ask_alarm_ms + 1);
            self.after(delay_ms, Event::Turn { host, life, input });
        }
    }

    pub(super) fn delay_ms(&mut self) -> u64 {
        match self.random.chance(self.weather.slow_call) {
            true => self.random.between(100, 8_000),
            false => self.random.between(1, self.weather.latency_ms),
        }
    }

    pub(super) fn call(
        &mut self,
        (caller, life): (usize, u64),
        callee: usize,
        reply: Reply,
        input: impl Fn(CallerId) -> object::Input,
    ) {
        let input = |id| Input::Object(input(id));
        let id = CallerId(self.fresh());
        let is_delivery = matches!(reply, Reply::Delivery(..));
        let is_cut = is_delivery && self.cut == Some((caller, callee));
        if is_cut || self.random.chance(self.weather.lose_call) {
            return self.no_answer(caller, life, reply);
        }
        let delay_ms = self.delay_ms();
        self.after(delay_ms, Event::Turn { host: callee, life: None, input: input(id) });
        if is_delivery && self.random.chance(self.weather.repeat_delivery) {
            let delay_ms = self.delay_ms();
            let other = CallerId(self.fresh());
            self.after(delay_ms, Event::Turn { host: callee, life: None, input: input(other) });
        }
        if self.random.chance(self.weather.lose_answer) {
            return self.no_answer(caller, life, reply);
        }
        if !matches!(reply, Reply::Page { .. } | Reply::Notice(_)) && self.random.chance(self.weather.never_answer) {
            return note(self.now_ms, format_args!("object {caller} is never answered: {reply:?}"));
        }
        self.calls.insert(id, Call { caller, life, reply, callee, arrived: false });
    }

    /// The caller learns that its call failed: before the call arrives, or long after.
    pub(super) fn no_answer(&mut self, caller: usize, life: u64, reply: Reply) {
        let delay_ms = self.delay_ms();
        self.after(delay_ms, reply.event(caller, life, Said::Nothing));
    }

    pub(super) fn answer(&mut self, id: CallerId, said: Said) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.note_place(&call, &said);
        let delay_ms = self.delay_ms();
        self.after(delay_ms, call.reply.event(call.caller, call.life, said));
    }

    /// An object says where it is in a channel's deliveries, or is told where it begins. One that fell back behind what
    /// it said, for its memory was lost, says so with the next.
    fn note_place(&mut self, call: &Call, said: &Said) {
        let now_ms = self.now_ms;
        match (&call.reply, said) {
            (Reply::Delivery(channel, ..), Said::Delivered(delivered)) => {
                let Some(channel) = self.channel_of(channel.as_str()) else { return };
                match delivered {
                    Delivered::At(position) => _ = self.stands.insert((call.callee, channel), (*position, now_ms)),
                    Delivered::Unsubscribed => _ = self.stands.remove(&(call.callee, channel)),
                    Delivered::NotYet => {}
                }
            }
            (Reply::Call(_), Said::Answer(Ok(Response::Subscribed(subscribed)))) if call.callee < self.channels => {
                let (stands, told_ms) = self.stands.entry((call.caller, call.callee)).or_default();
                (*stands, *told_ms) = (subscribed.position.max(*stands), now_ms);
            }
            (Reply::Call(_), Said::Answer(Ok(Response::Backlog(backlog)))) if call.callee < self.channels => {
                let stands = self.stands.get_mut(&(call.caller, call.callee));
                if let Some((_, told_ms)) = stands.filter(|(stands, _)| *stands == backlog.through) {
                    *told_ms = now_ms;
                }
            }
            _ => {}
        }
    }

    pub fn perform(&mut self, client: usize, updates: Vec<PresenceUpdate>) {
        for mut update in updates {
            note(self.now_ms, format_args!("client {client}: {update}"));
            if let PresenceUpdate::Send(frame) = &mut update
                && earlier_names::has_them(client)
            {
                earlier_names::write(frame);
            }
            match update {
                PresenceUpdate::Connect { resume } => self.connect(client, resume),
                PresenceUpdate::Send(frame) if self.is_over_http(client) => {
                    self.note_publish(&frame, false);
                    self.post(client, &frame);
                }
                PresenceUpdate::Send(frame) => {
                    if self.homes[client].pass.is_none() {
                        self.note_publish(&frame, false);
                    }
                    let format = self.homes[client].format;
                    let bytes = frames::write(&frame, format);
                    self.send_to_server(client, |link| Input::Frame { link, bytes, format });
                }
                PresenceUpdate::HangUp => self.hang_up(client),
            }
        }
    }

    pub(super) fn connect(&mut self, client: usize, resume: Option<String>) {
        let link = LinkId(self.fresh());
        let fresh_id = format!("conn{}", self.fresh());
        let over_http = self.random.chance(self.weather.over_http);
        let mode = over_http.then(|| *self.random.pick(&[Mode::Poll, Mode::Stream]));
        let home = &mut self.homes[client];
        home.link = Some(link);
        let (host, now_ms) = (home.host, self.now_ms);
        self.links.insert(
            link,
            Link { owner: Owner::Client(client), host, mode, key: None, to_server_ms: now_ms, to_client_ms: now_ms },
        );
        let Some(grant) = self.show_pass(client, link) else {
            return self.after(100, Event::LinkDown { link });
        };
        let home = &self.homes[client];
        let format = if over_http { Format::Json } else { home.format };
        let opening = Opening {
            grant,
            format,
            earlier_objects: earlier_names::has_them(client),
            stays_attached: home.client.stays_attached,
            echo: home.client.echo,
            heartbeat_interval_ms: 15_000,
            grace_ms: home.client.grace_ms,
            bounces: false,
            takeover: resume.map(|key| Takeover { kind: TakeoverKind::Resume, key }),
            is_secure: true,
            is_kept: mode.is_none(),
            attach: Vec::new(),
            spoken: None,
            door: None,
        };
        self.send_to_server(client, |link| Input::Open { link, mode, opening, fresh_id });
    }

    pub fn is_over_http(&self, client: usize) -> bool {
        let link = self.homes[client].link.and_then(|link| self.links.get(&link));
        link.is_some_and(|link| link.mode.is_some())
    }

    /// Frames of one transport keep their order.
    pub(super) fn send_to_server(&mut self, client: usize, input: impl FnOnce(LinkId) -> Input) {
        if let Some(link) = self.homes[client].link {
            self.send_by(link, input);
        }
    }

    pub(super) fn send_by(&mut self, id: LinkId, input: impl FnOnce(LinkId) -> Input) {
        let delay_ms = self.random.between(1, self.weather.latency_ms);
        let Some(link) = self.links.get_mut(&id) else { return };
        link.to_server_ms = link.to_server_ms.max(self.now_ms + delay_ms);
        let (at_ms, host) = (link.to_server_ms, link.host);
        self.at(at_ms, Event::Turn { host, life: None, input: input(id) });
    }

    pub(super) fn send_to_client(&mut self, id: LinkId, frame: Rc<Encoded>) {
        let delay_ms = self.client_delay_ms();
        let Some(link) = self.links.get_mut(&id) else { return };
        link.to_client_ms = link.to_client_ms.max(self.now_ms + delay_ms);
        let at_ms = link.to_client_ms;
        self.at(at_ms, Event::ToClient { link: id, frame });
    }

    pub(super) fn client_delay_ms(&mut self) -> u64 {
        match self.random.chance(self.weather.stall) {
            true => self.random.between(500, 4_000),
            false => self.random.between(1, self.weather.latency_ms),
        }
    }

    pub(super) fn client_gets(&mut self, id: LinkId, frame: &Encoded) {
        let Some(link) = self.links.get(&id) else { return };
        let client = match link.owner {
            Owner::Client(client) => client,
            Owner::Adversary(index) => return self.adversary_gets(index, frame),
            Owner::Listener(ear) => return self.listener_gets(ear, id, frame),
            Owner::Guest(guest) => return self.guest_gets(guest, id, frame),
        };
        let mut frame = Frame::read(frame);
        if earlier_names::has_them(client) {
            earlier_names::read(&mut frame.state);
        }
        note(self.now_ms, format_args!("client {client} <- {frame}"));
        self.note_barred(client);
        let updates = self.homes[client].client.receive(&frame, self.now_ms, &mut self.ledger);
        self.perform(client, updates);
    }

    /// The client ends its transport, or loses it; the server learns of it later.
    pub(super) fn hang_up(&mut self, client: usize) {
        if let Some(link) = self.homes[client].link.take() {
            self.drop_link(link);
        }
    }

    pub(super) fn drop_link(&mut self, id: LinkId) {
        let Some(link) = self.links.remove(&id) else { return };
        if link.mode.is_some() {
            // Nobody says so: its responses are not read any more.
            return;
        }
        let half_open = self.random.chance(self.weather.half_open);
        let delay_ms = if half_open { self.random.between(1_000, 40_000) } else { self.random.between(1, 50) };
        let at_ms = link.to_server_ms.max(self.now_ms + delay_ms);
        self.at(at_ms, Event::Turn { host: link.host, life: None, input: Input::Lost { link: id } });
    }

    /// The server ended the transport, or was lost with it.
    pub(super) fn link_down(&mut self, id: LinkId) {
        let Some(link) = self.links.remove(&id) else { return };
        let client = match link.owner {
            Owner::Client(client) => client,
            Owner::Adversary(index) => return self.adversary_lost(index),
            Owner::Listener(ear) => return self.listener_lost(ear),
            Owner::Guest(guest) => return self.guest_lost(guest),
        };
        let home = &mut self.homes[client];
        home.link = None;
        note(self.now_ms, format_args!("client {client} loses its transport"));
        if home.client.transport != Transport::Down {
            home.client.disconnected(self.now_ms);
        }
    }
}

pub(super) fn grant() -> Grant {
    Grant {
        key_name: KeyName::parse("demo.key").expect("a name"),
        capability: Capability::parse(r#"{"[*]*":["*"]}"#).expect("a capability"),
        client_id: Identity::Wildcard,
        basic: true,
        issued_at_ms: None,
        expires_at_ms: None,
        also_revoked_by: None,
        user_claims: Default::default(),
    }
}
