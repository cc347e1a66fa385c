//! How fast clients publish, attach, and come and go, over all the connections that a relay holds of each: a connection
//! more buys no second share. What exceeds a rate is refused and the connection goes on; what one rate refuses is
//! charged to none. Who goes on all the same, long and fast, is sent away, and kept out for a while.

use super::{Relay, SocketId};
use crate::base::maps::HashMap;
use crate::base::pause;
use crate::base::rate::{Debt, Flow};
use crate::error::{Code, ErrorInfo};
use crate::limits::{CLIENTS_COUNTED_MAX, KEPT_OUT_FIRST_MS, KEPT_OUT_MAX_MS, REFUSED_FLOW};
use crate::model::name::ChannelName;

/// What clients said lately: everywhere, and in each namespace that has a bound. A namespace's id stands before a
/// clientId, with what is counted and line breaks between them, which neither holds.
#[derive(Debug, Default)]
pub struct Said {
    counted: HashMap<String, (Debt, Flow)>,
    /// Until when those must wait who said something in slow mode, by channel and client.
    turns: HashMap<String, u64>,
    /// What was refused of connections that were too fast.
    refused: HashMap<SocketId, Debt>,
    /// Clients that were sent away for that, until when, and how often.
    kept_out: HashMap<String, (u64, u32)>,
}

/// A share that something takes of, and what is said when there is none left.
struct Share {
    key: String,
    flow: Flow,
    code: Code,
    what: &'static str,
}

impl Said {
    /// Takes so much of all shares, or nothing of any. Fails as the first that has no room.
    fn take(&mut self, shares: Vec<Share>, units: usize, now_ms: u64) -> Result<(), ErrorInfo> {
        for Share { key, flow, code, what } in &shares {
            let wait_ms = self.counted.get(key).map_or(0, |(debt, _)| debt.wait_ms(*flow, now_ms));
            if wait_ms > 0 {
                let text =
                    format!("a client {what} at most {} a second here; try again in {wait_ms} ms", flow.per_second);
                return Err(code.because(text));
            }
        }
        shares.into_iter().for_each(|share| self.count(share, units, now_ms));
        Ok(())
    }

    fn count(&mut self, Share { key, flow, .. }: Share, units: usize, now_ms: u64) {
        if self.counted.len() >= CLIENTS_COUNTED_MAX && !self.counted.contains_key(&key) {
            self.counted.retain(|_, (debt, flow)| debt.left(*flow, now_ms) > 0);
            // So many at once are slower than any of them may be.
            if self.counted.len() >= CLIENTS_COUNTED_MAX {
                return;
            }
        }
        self.counted.entry(key).or_insert((Debt::default(), flow)).0.add(units, flow, now_ms);
    }

    /// Takes a client's turn on a channel in slow mode. Fails with 42911 while its last is not long enough ago, and for
    /// more than one message.
    pub(super) fn take_turn(
        &mut self,
        name: &str,
        channel: &ChannelName,
        messages: usize,
        interval_ms: u32,
        now_ms: u64,
    ) -> Result<(), ErrorInfo> {
        let key = [channel.plain(), "\n", name].concat();
        let waits = |until_ms: &&u64| !pause::is_over(**until_ms, interval_ms.into(), now_ms);
        let wait_ms = self.turns.get(&key).filter(waits).map_or(0, |until_ms| until_ms - now_ms);
        let mode = format!("slow mode: a client says one message in {interval_ms} ms here");
        match (wait_ms, messages) {
            (0, 0 | 1) => {}
            (0, _) => return Err(Code::PublishRateLimited.because(mode)),
            _ => return Err(Code::PublishRateLimited.because(format!("{mode}; try again in {wait_ms} ms"))),
        }
        if self.turns.len() >= CLIENTS_COUNTED_MAX {
            self.turns.retain(|_, until_ms| *until_ms > now_ms);
        }
        // So many at once are slow enough.
        if self.turns.len() < CLIENTS_COUNTED_MAX || self.turns.contains_key(&key) {
            self.turns.insert(key, now_ms + u64::from(interval_ms));
        }
        Ok(())
    }

    fn give_back(&mut self, shares: Vec<Share>, units: usize) {
        for Share { key, .. } in shares {
            if let Some((debt, _)) = self.counted.get_mut(&key) {
                debt.give_back(units);
            }
        }
    }

    /// Counts a refusal. Gives whether its connection has had too many.
    fn refuse(&mut self, socket: SocketId, now_ms: u64) -> bool {
        let debt = self.refused.entry(socket).or_default();
        debt.add(1, REFUSED_FLOW, now_ms);
        debt.left(REFUSED_FLOW, now_ms) >= REFUSED_FLOW.burst
    }

    pub(super) fn forget(&mut self, socket: SocketId) {
        self.refused.remove(&socket);
    }

    /// Each time twice as long as before, while it is remembered.
    fn keep_out(&mut self, name: &str, now_ms: u64) {
        if self.kept_out.len() >= CLIENTS_COUNTED_MAX {
            self.kept_out.retain(|_, (until_ms, _)| *until_ms + KEPT_OUT_MAX_MS > now_ms);
        }
        if self.kept_out.len() < CLIENTS_COUNTED_MAX || self.kept_out.contains_key(name) {
            let (until_ms, times) = self.kept_out.entry(name.to_owned()).or_default();
            let is_remembered = *until_ms > 0 && *until_ms + KEPT_OUT_MAX_MS > now_ms;
            *times = if is_remembered { (*times + 1).min(16) } else { 0 };
            *until_ms = now_ms + (KEPT_OUT_FIRST_MS << *times).min(KEPT_OUT_MAX_MS);
        }
    }

    /// Whether a client may come in. Fails with 42910 when it was sent away a moment ago.
    pub(super) fn admit(&self, name: Option<&str>, now_ms: u64) -> Result<(), ErrorInfo> {
        let is_kept_out = |(until_ms, _): &&(u64, u32)| !pause::is_over(*until_ms, KEPT_OUT_MAX_MS, now_ms);
        let kept_out = name.and_then(|name| self.kept_out.get(name)).filter(is_kept_out);
        match kept_out.map_or(0, |(until_ms, _)| until_ms - now_ms).div_ceil(1_000) {
            0 => Ok(()),
            wait_s => {
                let text = format!("this client was sent away for being too fast; try again in {wait_s} s");
                Err(Code::RateLimited.because(text))
            }
        }
    }
}

impl Relay {
    /// Counts what a client publishes. A key is the app's own and has no such bound; nor has what is said again after a
    /// resume. An anonymous client is known by its connection. Fails with 42911.
    pub(super) fn admit_client(
        &mut self,
        socket: SocketId,
        channel: &ChannelName,
        messages: usize,
    ) -> Result<(), ErrorInfo> {
        self.said.take(self.shares_of_messages(socket, channel), messages, self.now_ms)
    }

    fn shares_of_messages(&self, socket: SocketId, channel: &ChannelName) -> Vec<Share> {
        let rate = self.app.rules(channel).client_messages_per_second;
        let in_namespace = self.share(socket, channel, rate, Code::PublishRateLimited, "publishes");
        let Some(session) = self.sessions.get(&socket).filter(|session| !session.grant.basic) else {
            return Vec::new();
        };
        let anywhere = session.name().filter(|_| session.repeats == 0).map(|name| Share {
            key: name.to_owned(),
            flow: self.bounds.messages,
            code: Code::PublishRateLimited,
            what: "publishes",
        });
        in_namespace.into_iter().chain(anywhere).collect()
    }

    /// The same of presence events; who leaves may do so at any time. Fails with 42911.
    pub(super) fn admit_events(
        &mut self,
        socket: SocketId,
        channel: &ChannelName,
        events: usize,
    ) -> Result<(), ErrorInfo> {
        let rate = self.app.rules(channel).client_presence_per_second.filter(|_| events > 0);
        let share = self.share(socket, channel, rate, Code::PublishRateLimited, "enters and updates");
        self.said.take(share.into_iter().collect(), events, self.now_ms)
    }

    /// The same of attaches. Fails with 42910.
    pub(super) fn admit_attach(&mut self, socket: SocketId, channel: &ChannelName) -> Result<(), ErrorInfo> {
        let rate = self.app.rules(channel).client_attaches_per_second;
        let share = self.share(socket, channel, rate, Code::RateLimited, "attaches");
        self.said.take(share.into_iter().collect(), 1, self.now_ms)
    }

    /// The share of a client in a namespace that has such a rate.
    fn share(
        &self,
        socket: SocketId,
        channel: &ChannelName,
        rate: Option<u64>,
        code: Code,
        what: &'static str,
    ) -> Option<Share> {
        let session = self.sessions.get(&socket).filter(|session| !session.grant.basic && session.repeats == 0)?;
        let rate = rate?;
        let namespace = channel.plain().split(':').next().unwrap_or_default();
        let name = session.name().unwrap_or(session.connection_id());
        let key = [namespace, what, name].join("\n");
        Some(Share { key, flow: Flow { burst: rate.max(1), per_second: rate }, code, what })
    }

    /// The channel refused a publish for its own rate: it is charged to nobody.
    pub(super) fn give_back(&mut self, socket: SocketId, channel: &ChannelName, messages: usize) {
        let shares = self.shares_of_messages(socket, channel);
        self.said.give_back(shares, messages);
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.said.give_back(messages);
        }
    }

    /// A connection was refused something for its rate. Gives what it ends with, if it was so too often.
    pub(super) fn strike(&mut self, socket: SocketId) -> Option<ErrorInfo> {
        if !self.said.refuse(socket, self.now_ms) {
            return None;
        }
        let session = self.sessions.get(&socket)?;
        if !session.grant.basic {
            session.names().for_each(|name| self.said.keep_out(name, self.now_ms));
        }
        Some(Code::PublishAbuse.because("the connection went on publishing far above its rate"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(key: &str, per_second: u64) -> Share {
        let flow = Flow { burst: per_second, per_second };
        Share { key: key.to_owned(), flow, code: Code::PublishRateLimited, what: "publishes" }
    }

    #[test]
    fn each_client_has_a_share_of_its_own() {
        let mut said = Said::default();
        let mut take = |name: &str, now_ms| said.take(vec![share(name, 2)], 1, now_ms).map_err(|error| error.code);
        assert_eq!([take("ann", 0), take("ann", 0), take("ann", 0)], [Ok(()), Ok(()), Err(42911)]);
        assert_eq!(take("ben", 0), Ok(()));
        assert_eq!([take("ann", 499), take("ann", 500), take("ann", 500)], [Err(42911), Ok(()), Err(42911)]);
    }

    #[test]
    fn what_one_rate_refuses_is_charged_to_none_and_says_when_to_try_again() {
        let mut said = Said::default();
        let mut both = || said.take(vec![share("wide", 100), share("narrow", 1)], 1, 0).map_err(|error| error.message);
        assert_eq!(both(), Ok(()));
        let refusal = "a client publishes at most 1 a second here; try again in 1000 ms".to_owned();
        assert_eq!([both(), both()], [Err(refusal.clone()), Err(refusal)]);
        let left = |said: &Said, key: &str| said.counted[key].0.left(share(key, 100).flow, 0);
        assert_eq!((left(&said, "wide"), left(&said, "narrow")), (1, 1));
        said.give_back(vec![share("wide", 100)], 1);
        assert_eq!(left(&said, "wide"), 0);
    }

    #[test]
    fn in_slow_mode_each_waits_for_a_turn_on_each_channel() {
        let mut said = Said::default();
        let take = |said: &mut Said, name: &str, channel: &str, messages, now_ms| {
            said.take_turn(name, &ChannelName::parse(channel).unwrap(), messages, 1_000, now_ms)
                .map_err(|error| error.message)
        };
        take(&mut said, "ann", "chat", 1, 0).unwrap();
        let refusal = take(&mut said, "ann", "chat", 1, 999).unwrap_err();
        assert_eq!(refusal, "slow mode: a client says one message in 1000 ms here; try again in 1 ms");
        take(&mut said, "ann", "[?rewind=1]chat", 1, 999).unwrap_err();
        take(&mut said, "ben", "chat", 1, 0).unwrap();
        take(&mut said, "ann", "room", 1, 0).unwrap();
        take(&mut said, "ann", "chat", 1, 1_000).unwrap();
        take(&mut said, "ann", "chat", 2, 2_000).unwrap_err();
        for client in 0..CLIENTS_COUNTED_MAX + 10 {
            take(&mut said, &client.to_string(), "chat", 1, 3_000).unwrap();
        }
        assert_eq!(said.turns.len(), CLIENTS_COUNTED_MAX);
    }

    #[test]
    fn so_many_clients_are_counted_and_those_who_are_silent_are_forgotten() {
        let mut said = Said::default();
        for client in 0..CLIENTS_COUNTED_MAX + 10 {
            said.take(vec![share(&client.to_string(), 2)], 1, 0).unwrap();
        }
        assert_eq!(said.counted.len(), CLIENTS_COUNTED_MAX);
        said.take(vec![share("another", 2)], 1, 10_000).unwrap();
        assert_eq!(said.counted.len(), 1);
    }

    #[test]
    fn who_is_refused_for_long_is_sent_away_and_kept_out_longer_each_time() {
        let mut said = Said::default();
        let often = REFUSED_FLOW.burst;
        assert!((1..often).all(|_| !said.refuse(SocketId(1), 0)) && said.refuse(SocketId(1), 0));
        assert!(!said.refuse(SocketId(2), 0), "others are not");
        let waits = |said: &mut Said, now_ms: u64| {
            said.keep_out("ann", now_ms);
            (0..).step_by(1_000).find(|ms| said.admit(Some("ann"), now_ms + ms).is_ok()).unwrap()
        };
        assert_eq!(waits(&mut said, 0), KEPT_OUT_FIRST_MS);
        assert_eq!(waits(&mut said, 100_000), 2 * KEPT_OUT_FIRST_MS);
        assert_eq!(waits(&mut said, 200_000), 4 * KEPT_OUT_FIRST_MS);
        assert!(said.admit(Some("ben"), 200_000).is_ok() && said.admit(None, 200_000).is_ok());
        assert!(said.admit(Some("ann"), 200_000).unwrap_err().message.ends_with("try again in 40 s"));
        let long_after = 200_000 + 10 * KEPT_OUT_MAX_MS;
        assert_eq!(waits(&mut said, long_after), KEPT_OUT_FIRST_MS, "forgotten by then");
    }
}
