//! One channel's or relay's object: hands inputs to the cores in its memory, and what these decide to the platform.
//!
//! A relay object has a relay core; a channel object has a channel core, and a relay core for the sockets that named
//! this channel. What they tell each other stays here.

use std::collections::VecDeque;
use std::rc::Rc;

use super::alarm::Alarm;
use super::entrance::Entrant;
use super::rules::Unconfirmed;
use super::store::{RelayStore, Watch};
use super::timers::Timers;
use super::{CallerId, Class, Input, Output, Question, Reply, Settings};
use crate::app;
use crate::auth::{App, Apps};
use crate::base::maps::HashMap;
use crate::channel::store::{Store, StoreError};
use crate::channel::{self, Channel};
use crate::error::{Code, ErrorInfo};
use crate::model::name::AppId;
use crate::model::serial::Position;
use crate::relay::{self, Relay, SocketId};
use crate::rpc::Ticket;
use crate::rpc::placement::Shard;
use crate::rpc::{
    Address, Answer, AppCall, AppRequest, AppResponse, Follow, HookReport, Notice, PushRequest, RelayName, Response,
    Rules, taken,
};
use crate::stats::{Counter, Reporter};
use crate::transport::{self, Links};

pub struct Host<S> {
    pub(super) class: Class,
    pub(super) settings: Settings,
    pub(super) store: S,
    /// Set once per input.
    pub(super) now_ms: u64,
    pub(super) fresh_epoch: String,
    /// Whether the receivers of webhooks may be at private addresses, and without TLS.
    pub(super) private_receivers: bool,
    /// The connections that are no WebSockets.
    pub(super) links: Links,
    pub(super) relay: Option<Relay>,
    pub(super) channel: Option<Channel>,
    /// It could not be read when it was due: when to try again.
    pub(super) read_at_ms: Option<u64>,
    /// The app has not told this relay whom it keeps out: when to ask it again.
    pub(super) watch_at_ms: Option<u64>,
    /// Those who wait for the app need perhaps not wait any more.
    pub(super) has_news_of_app: bool,
    /// The relays that it fed are known again. Before, it can't say whether anybody listens.
    pub(super) leads: bool,
    /// Whether the sessions that are stored were found.
    pub(super) has_kept: bool,
    /// Whether the connections that webhooks know of were.
    pub(super) has_lives: bool,
    /// Some of all this could not be read: when to try again.
    pub(super) find_at_ms: Option<u64>,
    /// Who waits for the channel.
    pub(super) waiting: HashMap<Ticket, Waiting>,
    /// Who is to be answered once the app knows that this metachannel is read.
    pub(super) unlisted: Vec<(Waiting, Answer<Response>)>,
    /// What it asked the app for.
    pub(super) asked: HashMap<Ticket, Asked>,
    pub(super) unconfirmed: Unconfirmed,
    /// What the app told of a watch that it may be answering: the answer comes first.
    pub(super) untaken: Option<(CallerId, Notice)>,
    last_ticket: u64,
    last_socket: u32,
    pub(super) timers: Timers,
    pub(super) alarm: Alarm,
    pub(super) reporter: Reporter,
    pub(super) work: VecDeque<Work>,
    pub(super) outputs: Vec<Output>,
}

pub(super) enum Waiting {
    /// The relay core beside it.
    Beside(Ticket),
    /// Another object's call, or the router's.
    Caller(CallerId),
}

/// What is to happen once the app has answered.
pub(super) enum Asked {
    /// Those who came meanwhile wait for the same answer.
    Enter(Vec<Entrant>),
    Follow(CallerId, Follow),
    /// Clients are here already.
    Watch,
    /// The channel is listed as this.
    List {
        active: bool,
    },
    /// The app has the channel's pushes up to here.
    Push {
        through: (Position, usize),
    },
    /// It knows this of the channel's webhooks.
    Hooks(Box<HookReport>),
    /// Whether these rules, which the channel has, are the app's for all that was published up to there.
    Rules(Box<Rules>, Position),
    /// It takes note of what was counted in this minute.
    Report {
        minute: u64,
    },
}

pub(super) enum Work {
    Relay(relay::Effect),
    Channel(channel::Effect),
    Link(transport::Effect),
    Answer(CallerId, Reply),
}

impl<S: Store + RelayStore> Host<S> {
    /// An empty memory, to be woken by [`Input::Wake`].
    pub fn new(class: Class, settings: Settings, store: S) -> Host<S> {
        Host {
            class,
            settings,
            store,
            now_ms: 0,
            fresh_epoch: String::new(),
            private_receivers: false,
            links: Links::default(),
            relay: None,
            channel: None,
            read_at_ms: None,
            watch_at_ms: None,
            has_news_of_app: false,
            leads: class == Class::Channel,
            has_kept: false,
            has_lives: false,
            find_at_ms: None,
            waiting: HashMap::default(),
            unlisted: Vec::new(),
            asked: HashMap::default(),
            unconfirmed: Unconfirmed::default(),
            untaken: None,
            last_ticket: 0,
            last_socket: 0,
            timers: Timers::default(),
            alarm: Alarm::default(),
            reporter: Reporter::default(),
            work: VecDeque::new(),
            outputs: Vec::new(),
        }
    }

    /// With what the deployment says of webhooks.
    pub fn with_private_receivers(mut self, private: bool) -> Host<S> {
        self.private_receivers = private;
        self
    }

    pub fn store(&self) -> &S {
        &self.store
    }

    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// Only the memory goes.
    pub fn into_store(self) -> S {
        self.store
    }

    /// How many connections it holds that are no WebSockets.
    pub fn links(&self) -> usize {
        self.links.count()
    }

    /// One turn of the event loop.
    pub fn turn(&mut self, input: Input, now_ms: u64) -> Vec<Output> {
        let was_set_back = now_ms < self.now_ms;
        self.now_ms = now_ms;
        if was_set_back {
            self.look();
        }
        let goes_on = matches!(self.take(input), Turn::Goes);
        if goes_on || was_set_back {
            self.finish();
        }
        std::mem::take(&mut self.outputs)
    }

    fn take(&mut self, input: Input) -> Turn {
        if !matches!(input, Input::Wake { .. }) {
            self.lead();
        }
        match input {
            Input::Wake { sockets, fresh_epoch } => self.wake(sockets, fresh_epoch),
            Input::Connect { caller, entrance } => self.connect(caller, entrance),
            #[cfg(feature = "socketio")]
            Input::Frame { socket, bytes, .. } if self.links.contains(socket) => self.tried(socket, &bytes),
            Input::Frame { socket, bytes, format } => {
                self.reporter.note(Counter::FramesIn, 1);
                self.relay_does(|relay, now_ms| relay.frame(socket, &bytes, format, now_ms));
            }
            #[cfg(feature = "socketio")]
            Input::Lost { socket } if self.links.contains(socket) => self.links.forget_socket(socket),
            Input::Lost { socket } => self.lost(socket),
            Input::Comet { caller, verb, claim, body } => self.comet(caller, verb, &claim, &body),
            Input::Written { response, went_well } => self.written(response, went_well),
            Input::Call { caller, call } => self.call(call, Waiting::Caller(caller)),
            Input::Follow { caller, follow } => self.follow(caller, follow),
            Input::Deliver { caller, delivery } => return self.pass_on(caller, &delivery),
            Input::Probe { caller, probe } => {
                let answer = self.probe(&probe);
                self.reply(caller, Reply::Probed(answer));
            }
            Input::Identify { caller, key } => self.identify(caller, &key),
            Input::Inspect { caller, inspection } => self.inspect(caller, inspection),
            Input::Notice { caller, notice } => self.notice(caller, notice),
            Input::Answered { ticket, answer } => return self.answered(ticket, answer),
            Input::Delivered { channel, relay, attempt, answer } => self.delivered(&channel, &relay, attempt, answer),
            Input::Probed { relay, attempt, answer } => self.probed(&relay, attempt, answer),
            Input::AppAnswered { ticket, answer } => self.app_answered(ticket, answer),
            Input::Posted { hook, attempt, outcome } => self.posted(&hook, attempt, outcome),
            Input::SendAway { one_in } => self.relay_does(|relay, now_ms| relay.send_away(one_in, now_ms)),
            Input::Report => self.report_all(),
            Input::Reconfigure { apps, before } => {
                self.settings.apps = apps;
                self.has_news_of_app = true;
                self.send_back_entrants(before.as_deref());
                self.reconfigure(before.as_deref());
                self.refresh_rules();
            }
            Input::Rang(timer) => return self.rang(timer),
            Input::Alarm => return self.due(),
            Input::AlarmKnown { at_ms } => self.alarm.learned(at_ms),
            Input::AlarmRefused { at_ms } => return self.alarm_refused(at_ms),
        }
        Turn::Goes
    }

    /// Sees that the app knows whether the channel is in use.
    pub(super) fn keep_listed(&mut self) {
        let Some(channel) = &mut self.channel else { return };
        let Some((active, number)) = channel.listing(&mut self.store, self.now_ms) else { return };
        let Address { app, channel } = channel.address().clone();
        let request = AppRequest::ListChannel { channel, active, number };
        self.ask_app(Asked::List { active }, AppCall { app, request });
    }

    /// An app tells on a metachannel what happens once it knows that somebody reads it: who begins to is answered then.
    /// If the app cannot be reached, it is answered all the same.
    pub(super) fn tell_listed(&mut self) {
        if self.unlisted.is_empty() || self.asked.values().any(|asked| matches!(asked, Asked::List { .. })) {
            return;
        }
        for (waiting, answer) in std::mem::take(&mut self.unlisted) {
            self.tell(waiting, answer);
        }
        self.perform_all();
    }

    /// Sees that the app gets what the channel's messages push.
    pub(super) fn keep_pushed(&mut self) {
        let Some(channel) = &mut self.channel else { return };
        let Some((through, said)) = channel.take_pushes(&mut self.store, self.now_ms) else { return };
        let (app, request) = (channel.address().app.clone(), AppRequest::Push(Box::new(PushRequest::Said(said))));
        self.ask_app(Asked::Push { through }, AppCall { app, request });
    }

    pub(super) fn ask_app(&mut self, asked: Asked, call: AppCall) {
        let ticket = self.next_ticket();
        self.asked.insert(ticket, asked);
        self.ask(Question::App { ticket, call });
    }

    fn app_answered(&mut self, ticket: Ticket, answer: Answer<AppResponse>) {
        match self.asked.remove(&ticket) {
            Some(Asked::List { active }) => {
                if let Some(channel) = &mut self.channel {
                    channel.tally_mut().add(Counter::ChannelsOpened, u64::from(active && answer.is_ok()));
                    channel.listed(&mut self.store, active, answer.is_ok(), self.now_ms);
                }
            }
            Some(Asked::Push { through }) => {
                if let Some(channel) = &mut self.channel {
                    channel.pushed(&mut self.store, through, answer.is_ok());
                }
            }
            Some(Asked::Hooks(report)) => self.hooks_told(&report, &answer),
            Some(Asked::Report { minute }) => self.reporter.answered(minute, taken(&answer)),
            Some(Asked::Rules(before, through)) => self.rules_answered(&before, through, answer),
            Some(Asked::Watch) => self.watch_answered(answer),
            Some(Asked::Enter(entrants)) => self.enter_watched(entrants, answer),
            Some(Asked::Follow(caller, follow)) => {
                let answer = self.begin_watch(answer).and_then(|()| self.followed(&follow));
                self.reply(caller, Reply::Response(answer));
            }
            None => {}
        }
        self.take_notice();
    }

    /// The relay core; begun when the first socket comes, since only that says whose app it is.
    pub(super) fn relay_for(
        &mut self,
        app: &AppId,
        shard: Shard,
        channel: Option<&Address>,
    ) -> Result<&mut Relay, ErrorInfo> {
        if self.relay.is_none() {
            let secret = self.store.secret().map_err(failed)?;
            let watch = self.store.watch().map_err(failed)?;
            let config = self.app_config(app, watch.as_ref())?;
            let mut relay = Relay::new(relay_name(app, shard, channel), shard.0, config, secret);
            relay.set_bounds(self.settings.bounds);
            relay.set_operators(self.settings.apps.as_ref().ok().and_then(|apps| apps.operators().cloned()));
            relay.found_lives(self.store.lives().map_err(failed)?, self.now_ms);
            if let Some(watch) = watch {
                let (revocations, bans) =
                    (self.store.revocations().map_err(failed)?, self.store.bans().map_err(failed)?);
                relay.watch(revocations, bans, self.now_ms);
                if watch.ticket.is_none() {
                    relay.doubt_watch();
                }
            }
            self.relay = Some(relay);
        }
        Ok(self.relay.as_mut().expect("set above"))
    }

    /// The connections of an app that is gone are told so where they come back to.
    fn reconfigure(&mut self, before: Option<&Apps>) {
        let Some(id) = self.relay.as_ref().map(|relay| relay.app_id().clone()) else { return };
        let watch = self.store.watch().ok().flatten();
        match self.app_config(&id, watch.as_ref()) {
            Ok(app) => {
                let before = before.and_then(|apps| apps.get(&id)).map(|app| &**app);
                self.relay_does(|relay, now_ms| relay.reconfigure(before, app, now_ms));
            }
            Err(_) => self.relay_does(|relay, now_ms| relay.send_away(1, now_ms)),
        }
    }

    /// The configuration of an app: the deployment's, or what the app itself said when its watch began.
    pub(super) fn app_config(&self, app: &AppId, watch: Option<&Watch>) -> Result<Rc<App>, ErrorInfo> {
        if let Some(app) = self.settings.apps.as_ref().map_err(Clone::clone)?.get(app) {
            return Ok(app.clone());
        }
        match watch.and_then(|watch| watch.config.as_deref()) {
            Some(text) => app::configuration(text).map(Rc::new),
            None => Err(Code::BadCredentials.into()),
        }
    }

    pub(super) fn channel_for(
        &mut self,
        call: Option<(&Address, &Rules)>,
    ) -> Result<Option<(&mut Channel, &mut S)>, StoreError> {
        let is_new = self.channel.is_none();
        if is_new {
            self.channel = Channel::wake(&mut self.store, call, &self.fresh_epoch, self.now_ms)?;
            if self.own_address().is_some_and(|address| self.minds_rules(address)) {
                self.channel.iter_mut().for_each(Channel::mind_rules);
            }
            self.read_at_ms = None;
        }
        if let Some((address, rules)) = call
            && (is_new || self.channel.as_ref().is_some_and(|channel| channel.rules() != rules))
        {
            self.hear_rules(address, rules)?;
        }
        Ok(self.channel.as_mut().map(|channel| (channel, &mut self.store)))
    }

    pub(super) fn own_address(&self) -> Option<&Address> {
        self.channel.as_ref().map(Channel::address)
    }

    pub(super) fn is_own(&self, relay: &RelayName) -> bool {
        self.own_address().is_some_and(|address| RelayName::of_channel(address) == *relay)
    }

    pub(super) fn relay_does(&mut self, act: impl FnOnce(&mut Relay, u64) -> Vec<relay::Effect>) {
        if let Some(relay) = &mut self.relay {
            let effects = act(relay, self.now_ms);
            self.relay_effects(effects);
        }
    }

    pub(super) fn channel_does(&mut self, act: impl FnOnce(&mut Channel, &mut S, u64) -> Vec<channel::Effect>) {
        if let Some(channel) = &mut self.channel {
            let effects = act(channel, &mut self.store, self.now_ms);
            self.channel_effects(effects);
        }
    }

    pub(super) fn relay_effects(&mut self, effects: Vec<relay::Effect>) {
        self.work.extend(effects.into_iter().map(Work::Relay));
    }

    pub(super) fn channel_effects(&mut self, effects: Vec<channel::Effect>) {
        self.work.extend(effects.into_iter().map(Work::Channel));
    }

    pub(super) fn link_effects(&mut self, effects: Vec<transport::Effect>) {
        self.work.extend(effects.into_iter().map(Work::Link));
    }

    pub(super) fn ask(&mut self, question: Question) {
        self.outputs.push(Output::Ask(question));
    }

    pub(super) fn reply(&mut self, caller: CallerId, reply: Reply) {
        self.outputs.push(Output::Answer { caller, reply });
    }

    pub(super) fn next_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// A number that no connection of this object has.
    pub(super) fn next_socket(&mut self) -> SocketId {
        self.last_socket += 1;
        SocketId(self.last_socket)
    }

    /// Such a number is in use.
    pub(super) fn skip_socket(&mut self, socket: SocketId) {
        self.last_socket = self.last_socket.max(socket.0);
    }
}

/// What becomes of a turn once its input is taken.
pub(super) enum Turn {
    /// What follows from it is done, and what comes next is planned.
    Goes,
    Ends,
}

/// What channels and the app call the relay core of an object.
pub(super) fn relay_name(app: &AppId, shard: Shard, channel: Option<&Address>) -> RelayName {
    channel.map_or_else(|| RelayName::shard(app, shard.0), RelayName::of_channel)
}

pub(super) fn failed(error: StoreError) -> ErrorInfo {
    Code::InternalChannel.because(format!("{}; try again", error.0))
}
