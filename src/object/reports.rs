//! What an object's cores counted, and its reports to the app.
//!
//! A report is a call between two objects that are awake: it is on the path of nothing, and what waits for its answer
//! is the next report alone.

use super::host::{Asked, Host};
use super::store::RelayStore;
use super::timers::Timer;
use crate::channel::Channel;
use crate::channel::store::Store;
use crate::limits::STATS_LOOK_MS;
use crate::model::name::{AppId, ChannelName};
use crate::model::serial::Position;
use crate::relay::Relay;
use crate::rpc::{AppCall, AppRequest};

impl<S: Store + RelayStore> Host<S> {
    /// Takes in what the cores counted in this turn.
    pub(super) fn count(&mut self) {
        let (now_ms, connections) = (self.now_ms, self.relay.as_ref().map_or(0, Relay::connection_count) as u64);
        let own = self.own_address().map(|address| &address.channel);
        let is_clients = own.is_some_and(ChannelName::is_of_clients);
        let is_metachannel = own.is_some_and(ChannelName::is_metachannel);
        let mut channel = self.channel.as_mut().map(Channel::tally_mut);
        // To tell what was counted is not counted: it would be told in turn, without end.
        if let Some(counted) = channel.take_if(|_| is_metachannel) {
            std::mem::take(counted);
        }
        if is_clients && channel.as_ref().is_some_and(|counted| !counted.is_empty()) {
            self.reporter.count_channel(now_ms);
        }
        let mut has_moved = self.relay.as_mut().is_some_and(Relay::take_moved);
        let counted = [self.relay.as_mut().map(Relay::tally_mut), channel];
        for counted in counted.into_iter().flatten() {
            self.reporter.take(counted, connections, std::mem::take(&mut has_moved), now_ms);
        }
        if self.reporter.has_news() {
            self.start(Timer::Report, STATS_LOOK_MS);
        }
    }

    pub(super) fn report(&mut self) {
        let Some(app) = self.app_id() else { return };
        let reports = self.reporter.look(self.now_ms);
        if !reports.is_empty() {
            self.doubt_rules(Position::LAST);
        }
        for report in reports {
            let asked = Asked::Report { minute: report.minute };
            let request = AppRequest::Report { reporter: self.fresh_epoch.clone(), report: report.into() };
            self.ask_app(asked, AppCall { app: app.clone(), request });
        }
    }

    pub(super) fn report_all(&mut self) {
        self.reporter.end();
        self.report();
    }

    /// Whether the app has yet to answer a report.
    pub fn is_reporting(&self) -> bool {
        self.reporter.is_telling()
    }

    fn app_id(&self) -> Option<AppId> {
        let of_channel = self.own_address().map(|address| address.app.clone());
        of_channel.or_else(|| self.relay.as_ref().map(|relay| relay.app_id().clone()))
    }
}
