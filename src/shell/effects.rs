//! What the cores of an object have decided is done here, and what they wait for is planned: commits, timers, the alarm.

use std::time::Duration;

use wasm_bindgen_futures::spawn_local;
use worker::Delay;

use super::alarm::keep_alarm;
use super::host::{Host, HostRef, Waiting, Work};
use super::platform::now_ms;
use super::{calls, relay_storage, responses};
use crate::call::{Address, AppCall, AppRequest, ChannelCall, Delivery, Follow, RelayName, Response};
use crate::channel::{self, Channel, Ticket};
use crate::relay::{self, Relay};

/// Performs effects until there are none, then sees to the commit and the alarm.
pub fn drive(host: &HostRef) {
    perform_all(host);
    if schedule_commit(host) {
        perform_all(host);
    }
    keep_listed(host);
    schedule_timers(host);
    keep_alarm(host);
}

pub fn perform_all(host: &HostRef) {
    loop {
        let next = host.borrow_mut().work.pop_front();
        match next {
            Some(Work::Relay(effect)) => perform_relay(host, effect),
            Some(Work::Channel(effect)) => perform_channel(host, effect),
            Some(Work::Link(effect)) => responses::perform(host, effect),
            None => break,
        }
    }
}

fn perform_relay(host: &HostRef, effect: relay::Effect) {
    match effect {
        relay::Effect::Send { sockets, frame } => {
            let host = &mut *host.borrow_mut();
            host.sockets.send(&sockets, &frame);
            let effects = host.links.send(&sockets, frame, now_ms());
            host.link_effects(effects);
        }
        relay::Effect::Rows(rows) => {
            // A socket whose row is missing when the object is built again is closed, and its client resumes.
            let _ = relay_storage::change_rows(host.borrow().store.database(), &rows);
        }
        relay::Effect::Save { socket, record } => host.borrow().sockets.save(socket, &record),
        relay::Effect::Close { socket } => {
            let host = &mut *host.borrow_mut();
            host.sockets.close(socket);
            let effects = host.links.close(socket, now_ms());
            host.link_effects(effects);
        }
        relay::Effect::Call { ticket, call } if host.borrow().own_address() == Some(&call.to) => {
            let host = &mut *host.borrow_mut();
            if let Some((_, answer)) = host.call(call, Waiting::Beside(ticket)) {
                host.answer_relay(ticket, Some(answer));
            }
        }
        relay::Effect::Follow { ticket, above, follow } => ask(host, ticket, Question::Follow(above, follow)),
        relay::Effect::Deliver { relay, attempt, delivery } => deliver_to(host, relay, attempt, delivery),
        relay::Effect::Unfollowed { channel, relay } => {
            // If it stays stored, it says again that nobody listens when it is next fed.
            let _ = relay_storage::remove_follower(host.borrow().store.database(), &channel, &relay);
        }
        relay::Effect::Call { ticket, call } => ask(host, ticket, Question::Call(call)),
    }
}

/// What a relay asks another object.
enum Question {
    Call(ChannelCall),
    Follow(RelayName, Follow),
}

fn ask(host: &HostRef, ticket: Ticket, question: Question) {
    let (host, env) = (host.clone(), host.borrow().env.clone());
    spawn_local(async move {
        let answer = match &question {
            Question::Call(call) => calls::call_channel(&env, call).await,
            Question::Follow(above, follow) => calls::follow(&env, above, follow).await,
        };
        host.borrow_mut().answer_relay(ticket, answer);
        drive(&host);
    });
}

fn deliver_to(host: &HostRef, relay: RelayName, attempt: u64, delivery: Delivery) {
    let (host, env) = (host.clone(), host.borrow().env.clone());
    spawn_local(async move {
        let answer = calls::deliver(&env, &relay, &delivery).await;
        host.borrow_mut().delivered(&delivery.channel, &relay, attempt, answer);
        drive(&host);
    });
}

fn perform_channel(host: &HostRef, effect: channel::Effect) {
    match effect {
        channel::Effect::Reply(ticket, answer) => {
            host.borrow_mut().answer(ticket, answer);
        }
        channel::Effect::Page(ticket, answer) => host.borrow_mut().answer(ticket, answer.map(Response::History)),
        channel::Effect::Deliver { relay, attempt, delivery } if host.borrow().is_own(&relay) => {
            let host = &mut *host.borrow_mut();
            let answer = host.take_delivery(&delivery);
            host.delivered(&delivery.channel, &relay, attempt, Some(answer));
        }
        channel::Effect::Roll { relay, attempt, roll } if host.borrow().is_own(&relay) => {
            let host = &mut *host.borrow_mut();
            let answer = host.roll(&roll);
            host.rolled(&relay, attempt, Some(answer));
        }
        channel::Effect::Roll { relay, attempt, roll } => {
            let (host, env) = (host.clone(), host.borrow().env.clone());
            spawn_local(async move {
                let answer = calls::roll(&env, &relay, &roll).await;
                host.borrow_mut().rolled(&relay, attempt, answer);
                drive(&host);
            });
        }
        channel::Effect::Deliver { relay, attempt, delivery } => deliver_to(host, relay, attempt, delivery),
    }
}

/// Sees that the app knows whether the channel is in use.
fn keep_listed(host: &HostRef) {
    let call = {
        let Host { channel, store, .. } = &mut *host.borrow_mut();
        let Some(channel) = channel else { return };
        let Some(active) = channel.listing(store, now_ms()) else { return };
        let Address { app, channel } = channel.address().clone();
        AppCall { app, request: AppRequest::List { channel, active } }
    };
    let (host, env) = (host.clone(), host.borrow().env.clone());
    spawn_local(async move {
        let told = calls::ask_app(&env, &call).await.is_ok();
        host.borrow_mut().listed(&call.request, told);
        drive(&host);
    });
}

/// Group commit: what is published to a quiet channel is written at once, and whatever comes in the same turn of the event
/// loop at its end, together. Gives whether something was written.
fn schedule_commit(host: &HostRef) -> bool {
    let at_once = {
        let host = &mut *host.borrow_mut();
        if !has_pending(host) || std::mem::replace(&mut host.commit_scheduled, true) {
            return false;
        }
        !host.channel.as_ref().is_some_and(|channel| channel.awaits_more(host.is_awaited_beside()))
    };
    if at_once {
        commit(host);
    }
    let host = host.clone();
    spawn_local(async move {
        Delay::from(Duration::ZERO).await;
        host.borrow_mut().commit_scheduled = false;
        if has_pending(&host.borrow()) {
            commit(&host);
            drive(&host);
        }
    });
    at_once
}

fn has_pending(host: &Host) -> bool {
    host.channel.as_ref().is_some_and(Channel::has_pending)
}

/// For the moment that a relay collects publishes, and for the interval between a channel's deliveries, there are timers;
/// see [`Relay::collects_until_ms`] and [`Channel::paces_until_ms`].
fn schedule_timers(host: &HostRef) {
    let collects = host.borrow().relay.as_ref().and_then(Relay::collects_until_ms);
    let paces = host.borrow().channel.as_ref().and_then(Channel::paces_until_ms);
    for (timer, until_ms) in [collects, paces].into_iter().enumerate() {
        let Some(until_ms) = until_ms else { continue };
        if !std::mem::replace(&mut host.borrow_mut().timers[timer], true) {
            spawn_local(ring(host.clone(), timer, Duration::from_millis(until_ms.saturating_sub(now_ms()))));
        }
    }
}

async fn ring(host: HostRef, timer: usize, pause: Duration) {
    Delay::from(pause).await;
    {
        let host = &mut *host.borrow_mut();
        host.timers[timer] = false;
        match (timer, &mut host.relay, &mut host.channel) {
            (0, Some(relay), _) => {
                let effects = relay.collected(now_ms());
                host.relay_effects(effects);
            }
            (_, _, Some(channel)) => {
                let effects = channel.follow_up(&mut host.store, now_ms());
                host.channel_effects(effects);
            }
            _ => {}
        }
    }
    drive(&host);
}

fn commit(host: &HostRef) {
    let host = &mut *host.borrow_mut();
    if let Some(channel) = &mut host.channel {
        let effects = channel.commit(&mut host.store, now_ms());
        host.channel_effects(effects);
    }
}

/// Performs the deliveries with which the work begins; gives whether there were any.
pub fn pass_on(host: &HostRef) -> bool {
    let is_delivery = |work: &mut Work| matches!(work, Work::Relay(relay::Effect::Deliver { .. }));
    let mut any = false;
    loop {
        let next = host.borrow_mut().work.pop_front_if(is_delivery);
        let Some(Work::Relay(effect)) = next else { return any };
        perform_relay(host, effect);
        any = true;
    }
}
