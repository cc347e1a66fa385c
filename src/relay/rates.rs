//! How fast clients publish, over all the connections that a relay holds of each: a connection more buys no second
//! share. What exceeds it is refused and the connection goes on, as it does at its own rate.

use super::{Relay, SocketId};
use crate::base::maps::HashMap;
use crate::base::rate::{Debt, Flow};
use crate::error::{Code, ErrorInfo};
use crate::limits::CLIENTS_COUNTED_MAX;
use crate::model::name::ChannelName;

/// What clients said lately: everywhere, and in each namespace that has a bound. A namespace's id stands before a
/// clientId, with a line break between them, which neither holds.
#[derive(Debug, Default)]
pub struct Said(HashMap<String, (Debt, Flow)>);

impl Said {
    /// Fails with 42911 when it would be more than the flow allows.
    fn take(&mut self, key: String, messages: usize, flow: Flow, now_ms: u64) -> Result<(), ErrorInfo> {
        if self.0.len() >= CLIENTS_COUNTED_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, (debt, flow)| debt.left(*flow, now_ms) > 0);
            // So many at once are slower than any of them may be.
            if self.0.len() >= CLIENTS_COUNTED_MAX {
                return Ok(());
            }
        }
        let (debt, _) = self.0.entry(key).or_insert((Debt::default(), flow));
        if debt.left(flow, now_ms) >= flow.burst {
            let bound = format!("a client publishes at most {} messages a second here", flow.per_second);
            return Err(Code::PublishRateLimited.because(bound));
        }
        debt.add(messages, flow, now_ms);
        Ok(())
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
        let Some(session) = self.sessions.get(&socket) else { return Ok(()) };
        if session.grant.basic || session.repeats > 0 {
            return Ok(());
        }
        let name = session.grant.client_id.name();
        let in_namespace = self.app.rules(channel).client_messages_per_second.map(|rate| {
            let namespace = channel.plain().split(':').next().unwrap_or_default();
            let key = [namespace, name.unwrap_or(session.connection_id())].join("\n");
            (key, Flow { burst: rate.max(1), per_second: rate })
        });
        let anywhere = name.map(|name| (name.to_owned(), self.bounds.messages));
        let shares = in_namespace.into_iter().chain(anywhere);
        shares.into_iter().try_for_each(|(key, flow)| self.said.take(key, messages, flow, self.now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: Flow = Flow { burst: 2, per_second: 2 };

    #[test]
    fn each_client_has_a_share_of_its_own() {
        let mut said = Said::default();
        let mut take = |name: &str, now_ms| said.take(name.to_owned(), 1, FLOW, now_ms).map_err(|error| error.code);
        assert_eq!([take("ann", 0), take("ann", 0), take("ann", 0)], [Ok(()), Ok(()), Err(42911)]);
        assert_eq!(take("ben", 0), Ok(()));
        assert_eq!([take("ann", 499), take("ann", 500), take("ann", 500)], [Err(42911), Ok(()), Err(42911)]);
    }

    #[test]
    fn so_many_clients_are_counted_and_those_who_are_silent_are_forgotten() {
        let mut said = Said::default();
        for client in 0..CLIENTS_COUNTED_MAX + 10 {
            said.take(client.to_string(), 1, FLOW, 0).unwrap();
        }
        assert_eq!(said.0.len(), CLIENTS_COUNTED_MAX);
        said.take("another".to_owned(), 1, FLOW, 10_000).unwrap();
        assert_eq!(said.0.len(), 1);
    }
}
