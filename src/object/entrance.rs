//! How clients come in, over WebSockets and over HTTP, and what those over HTTP say and ask for.

use super::host::{Asked, Host, failed, relay_name};
use super::store::RelayStore;
use super::{CallerId, Entrance, Output, Reply};
use crate::auth::{Apps, Grant};
use crate::channel::store::Store;
use crate::error::{Code, ErrorInfo};
use crate::http;
use crate::http::uploads::Bound;
#[cfg(feature = "socketio")]
use crate::limits::ENGINE_PAYLOAD_MAX_BYTES;
use crate::limits::{COMET_BODY_MAX_BYTES, LINKS_MAX};
use crate::model::Format;
use crate::relay::session::Opening;
use crate::relay::{Relay, SocketId};
use crate::rpc::{Answer, AppCall, AppRequest, AppResponse, Refusal};
use crate::transport::comet::{self, Claim, Verb};
#[cfg(feature = "socketio")]
use crate::transport::engine::Ask;
use crate::transport::{Mode, ResponseId, events};

/// A client on its way in, and the request that is to be answered.
pub(super) struct Entrant {
    pub(super) caller: CallerId,
    pub(super) entrance: Box<Entrance>,
}

impl<S: Store + RelayStore> Host<S> {
    /// Whether a client may come in, and sees that it can be sent away again.
    pub(super) fn connect(&mut self, caller: CallerId, entrance: Box<Entrance>) {
        match self.knock(&entrance) {
            Ok(None) => {
                self.enter_before();
                self.enter(Entrant { caller, entrance });
            }
            Ok(Some(call)) => self.enter_later(Entrant { caller, entrance }, call),
            Err(refusal) => self.reply(caller, Reply::Refused(refusal)),
        }
    }

    /// What the app is to be asked first.
    fn knock(&mut self, entrance: &Entrance) -> Result<Option<AppCall>, Refusal> {
        let Entrance { opening, shard, channel, .. } = entrance;
        if !self.has_kept && opening.has_session() {
            let why = "the sessions of this relay cannot be read; try again";
            return Err(Code::InternalChannel.because(why).into());
        }
        if let Some(relay) = &self.relay {
            relay.has_room(opening, self.now_ms)?;
        }
        let app = opening.grant.app();
        let goes_unwatched = self.is_watch_delayed() && self.may_go_unwatched(opening);
        if (!self.needs_watch(app, true)? || goes_unwatched) && !self.lacks_key(&opening.grant)? {
            return Ok(None);
        }
        let relay = relay_name(app, *shard, channel.as_ref().map(|(address, _)| address));
        Ok(Some(AppCall { request: AppRequest::Watch(relay), app: app.clone() }))
    }

    /// Once the app has answered, which is asked once for all who come meanwhile: as many as may come in together then.
    fn enter_later(&mut self, entrant: Entrant, call: AppCall) {
        let room = self.settings.bounds.connects_per_second as usize;
        match self.entrants() {
            Some(entrants) if entrants.len() >= room => {
                self.reply(entrant.caller, Reply::Refused(Refusal::Busy { for_ms: 1_000 }));
            }
            Some(entrants) => entrants.push(entrant),
            None => self.ask_app(Asked::Enter(vec![entrant]), call),
        }
    }

    /// Those who wait for the app and need not wait any more come in before who came later: of the connections that
    /// a client begins, the last to come in is the one that stays. What each waits for is looked at once, until there
    /// is news of it.
    fn enter_before(&mut self) {
        if !std::mem::take(&mut self.has_news_of_app) {
            return;
        }
        for entrant in self.entrants().map(std::mem::take).unwrap_or_default() {
            let must_wait = !matches!(self.knock(&entrant.entrance), Ok(None));
            match self.entrants().filter(|_| must_wait) {
                Some(entrants) => entrants.push(entrant),
                None => self.enter(entrant),
            }
        }
    }

    /// Those who wait for the app come to the front door again if their key is not what it was `before`, as do those
    /// who are here: they were let through by what it was.
    pub(super) fn send_back_entrants(&mut self, before: Option<&Apps>) {
        let apps = self.settings.apps.clone().ok();
        let Some(entrants) = self.entrants() else { return };
        let is_changed = |entrant: &mut Entrant| {
            let grant = &entrant.entrance.opening.grant;
            let key = |apps: &Apps| apps.get(grant.app()).and_then(|app| app.key(&grant.key_name)).cloned();
            before.and_then(key) != apps.as_deref().and_then(key)
        };
        let changed: Vec<Entrant> = entrants.extract_if(.., is_changed).collect();
        for entrant in changed {
            let error = Code::Disconnected.because("the key was configured anew; reconnect");
            self.reply(entrant.caller, Reply::Refused(error.into()));
        }
    }

    fn entrants(&mut self) -> Option<&mut Vec<Entrant>> {
        self.asked.values_mut().find_map(|asked| match asked {
            Asked::Enter(entrants) => Some(entrants),
            _ => None,
        })
    }

    pub(super) fn enter_watched(&mut self, entrants: Vec<Entrant>, answer: Answer<AppResponse>) {
        let is_crowded = answer.as_ref().is_err_and(|error| error.is(Code::RateLimited));
        // An answer that cannot be stored is no reason to do without it: it may be that somebody is banned.
        let is_unreachable = answer.as_ref().is_err_and(|error| error.status_code >= 500);
        let begun = self.begin_watch(answer);
        for entrant in entrants {
            match &begun {
                Ok(()) => self.enter(entrant),
                Err(_) if is_unreachable && self.may_go_unwatched(&entrant.entrance.opening) => {
                    self.watch_later();
                    self.enter(entrant);
                }
                // There are few relays, and more channels than an app could tell: a relay takes the client in.
                Err(_) if is_crowded && entrant.entrance.channel.is_some() => {
                    self.reply(entrant.caller, Reply::Refused(Refusal::Full));
                }
                Err(error) => self.reply(entrant.caller, Reply::Refused(error.clone().into())),
            }
        }
    }

    fn enter(&mut self, Entrant { caller, mut entrance }: Entrant) {
        let mode = entrance.mode;
        let entered = self.admit(&mut entrance).and_then(|()| match mode {
            None => {
                self.open_socket(caller, *entrance);
                Ok(())
            }
            Some(mode) => self.open_link(caller, mode, *entrance),
        });
        if let Err(refusal) = entered {
            self.reply(caller, Reply::Refused(refusal));
        }
    }

    /// Whether a client was let through by a key that the app had not when it told this relay of its keys: the key may
    /// be new, or have ended since whoever let the client through heard of the app. The app is asked which.
    fn lacks_key(&mut self, grant: &Grant) -> Result<bool, ErrorInfo> {
        let app = grant.app();
        if self.settings.apps.as_ref().map_err(Clone::clone)?.get(app).is_some() {
            return Ok(false);
        }
        let known = match &self.relay {
            Some(relay) => Ok(relay.app()),
            None => {
                let watch = self.store.watch().map_err(failed)?;
                self.app_config(app, watch.as_ref())
            }
        };
        Ok(known.is_ok_and(|known| grant.clone().within(&known, self.now_ms).is_err()))
    }

    fn admit(&mut self, entrance: &mut Entrance) -> Result<(), Refusal> {
        let Entrance { opening, shard, channel, .. } = entrance;
        if let Some((address, rules)) = channel
            && let Some((channel, store)) = self.channel_for(Some((address, rules))).map_err(failed)?
        {
            // A socket may outlive this memory, and the next one knows the channel by what is stored.
            channel.begin(store).map_err(failed)?;
        }
        let (address, now_ms) = (channel.as_ref().map(|(address, _)| address), self.now_ms);
        let relay = self.relay_for(opening.grant.app(), *shard, address)?;
        relay.has_room(opening, now_ms)?;
        relay.admit_upgrade(opening)?;
        relay.admit(&opening.grant, now_ms)?;
        opening.grant = opening.grant.clone().within(&relay.app(), now_ms)?;
        Ok(())
    }

    fn open_socket(&mut self, caller: CallerId, Entrance { opening, fresh_id, .. }: Entrance) {
        let socket = self.next_socket();
        self.outputs.push(Output::Accept { caller, socket });
        self.begin(socket, opening, fresh_id);
    }

    /// The connection over HTTP. Its first response takes its first frames.
    fn open_link(&mut self, caller: CallerId, mode: Mode, entrance: Entrance) -> Result<(), Refusal> {
        if self.links.count() >= LINKS_MAX {
            return Err(Refusal::Full);
        }
        let Entrance { mut opening, fresh_id, .. } = entrance;
        opening.spoken = Some(mode.dialect());
        let socket = self.next_socket();
        let places = events::places(&opening.attach);
        self.begin(socket, opening, fresh_id);
        let key = self.relay.as_ref().and_then(|relay| relay.key(socket)).unwrap_or_default();
        self.links.open(socket, mode, key, self.now_ms);
        self.links.follow(socket, places);
        let response = self.read(socket).ok_or_else(|| ErrorInfo::from(Code::Disconnected))?;
        self.respond(caller, response);
        Ok(())
    }

    fn begin(&mut self, socket: SocketId, opening: Opening, fresh_id: String) {
        self.relay_does(|relay, now_ms| relay.open(socket, opening, fresh_id, now_ms));
    }

    /// A connection has lost its transport.
    pub(super) fn lost(&mut self, socket: SocketId) {
        self.relay_does(|relay, now_ms| relay.lost(socket, now_ms));
    }

    /// How much is read of the body of a request that belongs to a connection over HTTP, or why it is refused unread.
    pub fn comet_bound(&self, verb: Verb, claim: &Claim) -> Result<Bound, http::Reply> {
        match verb {
            Verb::Send => match self.find(verb, claim) {
                Ok(_) => Ok(Bound::proven(COMET_BODY_MAX_BYTES)),
                Err(error) => Err(comet::refused(&error)),
            },
            #[cfg(feature = "socketio")]
            Verb::Engine(Ask::Post) => match self.find(verb, claim) {
                Ok(socket) => {
                    let is_proven = self.relay.as_ref().is_some_and(|relay| !relay.is_of_nobody(socket));
                    Ok(Bound { max_bytes: ENGINE_PAYLOAD_MAX_BYTES, is_proven })
                }
                Err(error) => Err(verb.refuse(&error)),
            },
            _ => Ok(Bound::NOTHING),
        }
    }

    /// A request that belongs to a connection over HTTP.
    pub(super) fn comet(&mut self, caller: CallerId, verb: Verb, claim: &Claim, body: &[u8]) {
        let done = match verb {
            Verb::Recv => match self.recv(verb, claim) {
                Ok(response) => return self.respond(caller, response),
                Err(error) => Err(error),
            },
            Verb::Send => comet::frames(body).and_then(|frames| self.take_texts(verb, claim, &frames)),
            Verb::Close => self.take_texts(verb, claim, &[comet::CLOSE]),
            Verb::Connect | Verb::Disconnect => self.take_texts(verb, claim, &[comet::DISCONNECT]),
            #[cfg(feature = "socketio")]
            Verb::Engine(ask) => return self.engine(caller, ask, claim, body),
        };
        let reply = done.map_or_else(|error| comet::refused(&error), |()| http::Reply::empty());
        self.reply(caller, Reply::Http(reply));
    }

    /// The response that takes what the connection with this key is told from now on. Fails as [`Host::find`] does, but
    /// for one that has ended and has something left to say.
    fn recv(&mut self, verb: Verb, claim: &Claim) -> Answer<ResponseId> {
        let socket = self.find_to_read(verb, claim)?;
        self.read(socket).ok_or_else(|| Code::Disconnected.into())
    }

    fn take_texts(&mut self, verb: Verb, claim: &Claim, frames: &[&[u8]]) -> Answer<()> {
        self.take_frames(verb, claim, frames.iter().map(|frame| (*frame, Format::Json)))
    }

    /// What the client of the connection with this key says. What each frame brings about is done before the next, so
    /// that it does not pile up. Fails as [`Host::find`] does.
    pub(super) fn take_frames<'a>(
        &mut self,
        verb: Verb,
        claim: &Claim,
        frames: impl Iterator<Item = (&'a [u8], Format)>,
    ) -> Answer<()> {
        let socket = self.find(verb, claim)?;
        for (frame, format) in frames {
            if !self.relay.as_ref().is_some_and(|relay| relay.holds(socket)) {
                break;
            }
            self.relay_does(|relay, now_ms| relay.frame(socket, frame, format, now_ms));
            self.perform_all();
        }
        Ok(())
    }

    /// Fails as [`Relay::find`](crate::relay::Relay::find) does, and with 40006 for the key of a connection by a
    /// WebSocket, or by another protocol.
    pub(super) fn find(&self, verb: Verb, claim: &Claim) -> Answer<SocketId> {
        let Some(relay) = &self.relay else { return Err(Code::Disconnected.into()) };
        let socket = relay.find(&claim.key, claim.by.as_ref())?;
        let why = "the connection with this key is not over HTTP, or came by another protocol";
        Some(socket).filter(|socket| self.is_of(verb, *socket)).ok_or_else(|| Code::BadConnectionKey.because(why))
    }

    /// The same, or the connection that has ended and has something left to say.
    pub(super) fn find_to_read(&self, verb: Verb, claim: &Claim) -> Answer<SocketId> {
        let proves = |relay: &Relay| relay.proves(&claim.key, claim.by.as_ref());
        let may_read = |socket: &SocketId| self.is_of(verb, *socket) && self.relay.as_ref().is_some_and(proves);
        let ended = || self.links.ended(&claim.key).filter(may_read);
        self.find(verb, claim).or_else(|error| ended().ok_or(error))
    }

    fn is_of(&self, verb: Verb, socket: SocketId) -> bool {
        self.links.mode(socket).is_some_and(|mode| verb.is_of(mode))
    }

    /// A response that takes what the connection is told from now on.
    pub(super) fn read(&mut self, socket: SocketId) -> Option<ResponseId> {
        let (response, effects) = self.links.read(socket, self.now_ms);
        self.link_effects(effects);
        response
    }

    pub(super) fn written(&mut self, response: ResponseId, went_well: bool) {
        let effects = self.links.written(response, went_well, self.now_ms);
        self.link_effects(effects);
    }

    pub(super) fn respond(&mut self, caller: CallerId, response: ResponseId) {
        let head = self.links.head(response);
        self.outputs.push(Output::Respond { caller, response, head });
    }
}
