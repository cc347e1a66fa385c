//! Whom a relay lets in: as many connections as it may hold, at a pace that leaves those who are there undisturbed.
//!
//! The router is told of each refusal, and knows where else there may be room; see [`crate::rpc::placement`].

use super::Relay;
use super::bounds::Bounds;
use super::session::{Opening, Takeover};
use crate::auth::Operators;
use crate::error::Code;
use crate::limits::{NOBODYS_MAX, POLLER_CONNECTS, RETURNING_PART};
use crate::rpc::Refusal;
use crate::rpc::connection_key::ConnectionKey;

/// What came in during a second of the relay's clock.
#[derive(Debug, Default)]
pub struct Pace {
    second: u64,
    taken: u32,
}

/// A bound, and the places behind it that are kept for those who come back.
pub(super) fn with_reserve(most: usize) -> usize {
    most + most.div_ceil(RETURNING_PART)
}

impl Relay {
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Lets operators renew their tokens here, by this signer.
    pub fn set_operators(&mut self, operators: Option<Operators>) {
        self.operators = operators;
    }

    /// Whether a connection may come in now. One that proves that it was here before may, when others are sent
    /// elsewhere: only here can it go on without sending again what it doesn't know to be published.
    pub fn has_room(&self, opening: &Opening, now_ms: u64) -> Result<(), Refusal> {
        let Bounds { connections, attachments, connects_per_second, .. } = self.bounds;
        let held = self.sessions.len();
        let is_full = held >= connections || self.attached >= attachments;
        if held >= with_reserve(connections) || is_full && !self.was_here(opening) {
            return Err(Refusal::Full);
        }
        if self.lives.is_full() && self.app.tells_of_connections() {
            return Err(Refusal::Full);
        }
        #[cfg(feature = "mqtt")]
        if opening.has_session() && !self.mqtt.has_room() {
            return Err(Refusal::Full);
        }
        let (second, passed_ms) = (now_ms / 1_000, now_ms % 1_000);
        if self.pace.second == second && self.pace.taken >= connects_per_second {
            return Err(Refusal::Busy { for_ms: 1_000 - passed_ms });
        }
        Ok(())
    }

    /// Of the clients that have yet to say who they are, the one that waits longest gives way to the next. One that
    /// needs a round trip or two is done by then, and a crowd that says nothing keeps nobody out.
    pub(super) fn make_room(&mut self, opening: &Opening) {
        if !opening.grant.is_of_nobody() {
            return;
        }
        if self.known.nobodys.len() >= NOBODYS_MAX
            && let Some(longest) = self.known.nobodys.first().copied()
        {
            let why = "many clients have yet to say who they are, and this one waits longest; try again";
            self.disconnect(longest, &Code::RateLimited.because(why));
        }
    }

    fn was_here(&self, opening: &Opening) -> bool {
        let client_id = opening.grant.client_id.as_str();
        let proves = |takeover: &Takeover| ConnectionKey::verify(&takeover.key, &self.secret, client_id).is_some();
        opening.takeover.as_ref().is_some_and(proves)
    }

    /// Who comes over HTTP and has yet to ask for its channels makes as much work as several others.
    pub(super) fn count_in(&mut self, opening: &Opening) {
        let second = self.now_ms / 1_000;
        if self.pace.second != second {
            self.pace = Pace { second, taken: 0 };
        }
        self.pace.taken += if opening.is_kept || !opening.attach.is_empty() { 1 } else { POLLER_CONNECTS };
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use serde_json::{Value, json};

    use super::*;
    use crate::auth::{App, Capability, Grant, Identity, KeyName};
    use crate::limits::CONNECTION_STATE_TTL_MIN_MS;
    use crate::model::Format;
    use crate::protocol::Encoded;
    use crate::relay::session::Attach;
    use crate::relay::{Effect, SocketId};
    use crate::rpc::RelayName;

    fn relay(connections: usize, connects_per_second: u32) -> Relay {
        let app: App = serde_json::from_str(r#"{"id":"demo","keys":[],"namespaces":[]}"#).unwrap();
        let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, Rc::new(app), b"secret".to_vec());
        relay.set_bounds(Bounds { connections, connects_per_second, ..Bounds::default() });
        relay
    }

    fn opening(resume: Option<&str>) -> Opening {
        let grant = Grant::of_key(KeyName::parse("demo.key").unwrap(), Capability::full());
        let grant = Grant { client_id: Identity::Anonymous, ..grant };
        let query: Vec<_> = resume.iter().map(|key| ("resume".to_owned(), key.to_string())).collect();
        Opening::from_query(grant, &query, true)
    }

    /// Comes in if it may. Gives the connection's key.
    fn enter(relay: &mut Relay, socket: u32, resume: Option<&str>, now_ms: u64) -> Result<String, Refusal> {
        relay.has_room(&opening(resume), now_ms)?;
        let effects = relay.open(SocketId(socket), opening(resume), format!("connection{socket}"), now_ms);
        let keys: Vec<String> = effects.iter().filter_map(key).collect();
        Ok(keys[0].clone())
    }

    fn key(effect: &Effect) -> Option<String> {
        frame(effect)?["connectionDetails"]["connectionKey"].as_str().map(str::to_owned)
    }

    fn frame(effect: &Effect) -> Option<Value> {
        let Effect::Send { frame: Encoded::Text(text), .. } = effect else { return None };
        serde_json::from_str(text).ok()
    }

    #[test]
    fn a_relay_is_full_at_its_bound_and_has_room_again_when_someone_left() {
        let mut relay = relay(2, 100);
        enter(&mut relay, 1, None, 0).unwrap();
        enter(&mut relay, 2, None, 0).unwrap();
        assert_eq!(enter(&mut relay, 3, None, 0), Err(Refusal::Full));
        relay.lost(SocketId(1), 0);
        enter(&mut relay, 3, None, 0).unwrap();
    }

    #[test]
    fn a_relay_is_full_of_attachments_and_has_room_again_when_some_are_gone() {
        let mut relay = relay(10, 100);
        relay.set_bounds(Bounds { connections: 10, attachments: 4, ..Bounds::default() });
        let key = enter(&mut relay, 1, None, 0).unwrap();
        let say = |relay: &mut Relay, action: u8, channel: &str| -> Option<u64> {
            let text = json!({"action": action, "channel": channel}).to_string();
            let effects = relay.frame(SocketId(1), text.as_bytes(), Format::Json, 0);
            effects.iter().filter_map(frame).find_map(|frame| frame["error"]["code"].as_u64())
        };
        for channel in ["a", "b", "c", "d"] {
            assert_eq!(say(&mut relay, 10, channel), None);
        }
        assert_eq!(enter(&mut relay, 2, None, 0), Err(Refusal::Full), "who comes new goes elsewhere");
        assert_eq!(say(&mut relay, 10, "e"), None, "who is there has some more");
        assert_eq!(say(&mut relay, 10, "f"), Some(50320));
        assert_eq!(say(&mut relay, 10, "e"), None, "and attaches again to what it has");
        assert_eq!(enter(&mut relay, 3, None, 0), Err(Refusal::Full));
        say(&mut relay, 12, "e");
        say(&mut relay, 12, "d");
        enter(&mut relay, 3, None, 0).unwrap();
        say(&mut relay, 10, "d");
        enter(&mut relay, 2, Some(&key), 0).expect("who comes back");
        relay.lost(SocketId(2), 0);
        relay.lost(SocketId(1), 0);
        enter(&mut relay, 4, None, 0).unwrap();
    }

    #[test]
    fn who_was_here_finds_a_place_though_it_is_full_and_nobody_else_does() {
        let mut relay = relay(4, 100);
        let keys: Vec<String> = (0..4).map(|socket| enter(&mut relay, socket, None, 0).unwrap()).collect();
        relay.lost(SocketId(0), 0);
        relay.lost(SocketId(1), 0);
        enter(&mut relay, 4, None, 0).unwrap();
        enter(&mut relay, 5, None, 0).unwrap();
        for forged in ["connection0!0-0-AAAAAAAAAAAAAAAAAAAAAA", "nonsense"] {
            assert_eq!(enter(&mut relay, 6, Some(forged), 0), Err(Refusal::Full), "{forged}");
        }
        enter(&mut relay, 6, Some(&keys[0]), 0).unwrap();
        assert_eq!(enter(&mut relay, 7, Some(&keys[1]), 0), Err(Refusal::Full), "the reserve has an end too");
    }

    #[test]
    fn a_connection_is_told_how_long_it_may_come_back_and_then_cannot() {
        let mut relay = relay(10, 10);
        let resume_ms = CONNECTION_STATE_TTL_MIN_MS;
        relay.set_bounds(Bounds { resume_ms, ..Bounds::default() });
        let connected = |effects: Vec<Effect>| effects.iter().find_map(frame).expect("CONNECTED");
        let mut key = enter(&mut relay, 1, None, 0).unwrap();
        for (socket, away_ms, code) in [(2, resume_ms - 1, json!(null)), (3, resume_ms, json!(80008))] {
            let now_ms = u64::from(socket) * 100_000;
            relay.lost(SocketId(socket - 1), now_ms);
            let said = relay.open(SocketId(socket), opening(Some(&key)), format!("c{socket}"), now_ms + away_ms);
            let frame = connected(said);
            assert_eq!(frame["connectionDetails"]["connectionStateTtl"], json!(resume_ms));
            assert_eq!(frame["error"]["code"], code, "away for {away_ms} ms");
            key = frame["connectionDetails"]["connectionKey"].as_str().expect("a key").to_owned();
        }
    }

    #[test]
    fn so_many_come_in_each_second() {
        let mut relay = relay(1_000, 3);
        for socket in 0..3 {
            enter(&mut relay, socket, None, 10_400).unwrap();
        }
        assert_eq!(enter(&mut relay, 3, None, 10_900), Err(Refusal::Busy { for_ms: 100 }));
        for socket in 3..6 {
            enter(&mut relay, socket, None, 11_000).unwrap();
        }
        assert_eq!(enter(&mut relay, 6, None, 11_000), Err(Refusal::Busy { for_ms: 1_000 }));
    }

    #[test]
    fn of_those_who_never_say_who_they_are_the_first_makes_room_and_others_come_in() {
        let mut relay = relay(10_000, 10_000);
        enter(&mut relay, 0, None, 0).unwrap();
        let nobody = Grant::of_nobody(relay.app.id(), 45_000);
        let mut comes = |socket: usize| {
            let opening = Opening::from_query(nobody.clone(), &[], true);
            assert_eq!(relay.has_room(&opening, 0), Ok(()));
            relay.open(SocketId(socket as u32), opening, format!("connection{socket}"), 0)
        };
        let closed = |effects: &[Effect], socket| effects.contains(&Effect::Close { socket: SocketId(socket) });
        let told = |effects: &[Effect]| effects.iter().filter_map(frame).any(|frame| frame["error"]["code"] == 42910);
        assert!((1..=NOBODYS_MAX).all(|socket| !told(&comes(socket))));
        let effects = comes(NOBODYS_MAX + 1);
        assert!(closed(&effects, 1) && told(&effects), "{effects:?}");
        assert!(closed(&comes(NOBODYS_MAX + 2), 2));
        assert_eq!(relay.connection_count(), NOBODYS_MAX + 1, "the one with credentials stays");
        enter(&mut relay, NOBODYS_MAX as u32 + 3, None, 0).unwrap();
    }

    #[test]
    fn who_has_said_who_it_is_or_has_left_is_none_of_those_who_have_not() {
        let mut relay = relay(10_000, 10_000);
        let nobody = Grant::of_nobody(relay.app.id(), 45_000);
        let comes = |relay: &mut Relay, socket: usize| {
            let opening = Opening::from_query(nobody.clone(), &[], true);
            let effects = relay.open(SocketId(socket as u32), opening, format!("connection{socket}"), 0);
            effects.iter().find_map(|effect| match effect {
                Effect::Close { socket } => Some(socket.0),
                _ => None,
            })
        };
        assert!((1..=NOBODYS_MAX).all(|socket| comes(&mut relay, socket).is_none()));
        relay.go_on(SocketId(1), opening(None).grant);
        relay.lost(SocketId(3), 0);
        let closed = (1..=4).map(|next| comes(&mut relay, NOBODYS_MAX + next));
        assert_eq!(closed.collect::<Vec<_>>(), [None, None, Some(2), Some(4)]);
    }

    #[test]
    fn who_polls_counts_as_several_and_who_only_listens_does_not() {
        let mut relay = relay(1_000, POLLER_CONNECTS + 1);
        let mut comes = |socket, channel: Option<&str>| {
            let mut opening = opening(None);
            opening.is_kept = false;
            opening.attach = channel.iter().map(|name| Attach::from_query(name, None, &[])).collect();
            relay
                .has_room(&opening, 5_000)
                .map(|()| relay.open(SocketId(socket), opening, format!("c{socket}"), 5_000).len())
        };
        assert!(comes(0, None).is_ok());
        assert!(comes(1, Some("room")).is_ok());
        assert_eq!(comes(2, None), Err(Refusal::Busy { for_ms: 1_000 }));
        assert_eq!(comes(3, Some("room")), Err(Refusal::Busy { for_ms: 1_000 }));
    }
}
