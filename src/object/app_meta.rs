//! An app's object publishes on its metachannels: it makes one call at a time to each, in order, with all that waits. A
//! message that could not be brought there is lost: whoever reads may ask for what there is.

use std::collections::{BTreeMap, VecDeque};

use super::app::{AppHost, AppOutput};
use crate::app::store::Store;
use crate::app::{Told, push};
use crate::auth::{Rules as NamespaceRules, Source};
use crate::limits::META_WAITING_MAX;
use crate::model::data::Data;
use crate::model::message::Message;
use crate::model::name::{AppId, ChannelName};
use crate::rpc::{Address, ChannelCall, Publish, PublishKey, Request, Rules, Submission};

#[derive(Default)]
pub(super) struct Outlets {
    /// Whose metachannels.
    pub app: Option<AppId>,
    of: BTreeMap<&'static str, Outlet>,
    /// Numbers messages, so that a call that is made again says nothing twice.
    last: u64,
}

#[derive(Default)]
struct Outlet {
    waiting: VecDeque<Publish>,
    is_calling: bool,
}

impl<S: Store + push::Store> AppHost<S> {
    pub(super) fn pursue_meta(&mut self, now_ms: u64) {
        let Some(app) = self.outlets.app.clone() else { return };
        let told = self.act(now_ms, |registrar, store| registrar.meta.take(store, &app, now_ms));
        for told in told.unwrap_or_default() {
            self.outlets.add(told, now_ms);
        }
        let calls = self.outlets.calls(&app);
        self.outputs.extend(calls.into_iter().map(AppOutput::Publish));
    }

    /// When [`AppHost::pursue_meta`] is next needed, and can do anything.
    pub(super) fn meta_deadline(&self) -> Option<u64> {
        self.outlets.app.as_ref().and(self.registrar.as_ref()).and_then(|registrar| registrar.meta.deadline())
    }
}

impl Outlets {
    fn add(&mut self, Told { metachannel, name, data }: Told, now_ms: u64) {
        self.last += 1;
        let (data, encoding) = (Data::Text(data.to_string()), Some("json".to_owned()));
        let message = Message { name: Some(name), data, encoding, ..Message::default() };
        let waiting = &mut self.of.entry(metachannel).or_default().waiting;
        waiting.push_back(Publish {
            key: PublishKey::Request(format!("{now_ms}-{}", self.last)),
            connection_id: None,
            by: Source::SERVER,
            content: Submission::Messages(vec![message]),
        });
        if waiting.len() > META_WAITING_MAX {
            waiting.pop_front();
        }
    }

    /// The calls that publish what waits.
    fn calls(&mut self, app: &AppId) -> Vec<ChannelCall> {
        let mut calls = Vec::new();
        for (metachannel, outlet) in &mut self.of {
            let Ok(channel) = ChannelName::parse(metachannel) else { continue };
            if outlet.is_calling || outlet.waiting.is_empty() {
                continue;
            }
            outlet.is_calling = true;
            let request = Request::Publish(outlet.waiting.drain(..).collect());
            let to = Address { app: app.clone(), channel };
            calls.push(ChannelCall { to, rules: Rules::of(NamespaceRules::NONE), request });
        }
        calls
    }

    /// A call is over, however it went.
    pub(super) fn published(&mut self, channel: &ChannelName) {
        if let Some(outlet) = self.of.get_mut(channel.as_str()) {
            outlet.is_calling = false;
        }
    }
}
