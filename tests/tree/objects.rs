//! The objects of the world: what each does, what it calls, and what it forgets.

use std::rc::Rc;

use crate::*;

impl World {
    /// The memory goes. What was stored stays, and so do the sockets with their records, and the alarm.
    pub fn forget(&mut self, object: Object) {
        self.nodes[object].life += 1;
        self.nodes[object].relay = None;
        if object == CHANNEL {
            self.channel = None;
        }
    }

    pub fn alarm(&mut self, object: Object) {
        if self.nodes[object].alarm_ms.is_none_or(|at_ms| at_ms > self.now_ms) {
            return;
        }
        self.nodes[object].alarm_ms = None;
        match object {
            CHANNEL => self.channel_does(|channel, store, now_ms| channel.tick(store, now_ms)),
            relay => {
                self.wake_relay(relay);
                self.relay_does(relay, |relay, now_ms| relay.tick(now_ms));
            }
        }
    }

    /// Never moves an alarm back: what asked for it may be forgotten.
    pub fn keep_alarm(&mut self, object: Object) {
        let due_ms = match object {
            CHANNEL => self.channel.as_ref().and_then(Channel::deadline),
            relay => self.nodes[relay].relay.as_ref().and_then(Relay::deadline),
        };
        let Some(due_ms) = due_ms else { return };
        if self.nodes[object].alarm_ms.is_none_or(|at_ms| at_ms > due_ms) {
            self.nodes[object].alarm_ms = Some(due_ms);
            self.after(due_ms.saturating_sub(self.now_ms), Event::Alarm { object });
        }
    }

    // The channel.

    pub fn channel_does(&mut self, act: impl FnOnce(&mut Channel, &mut MemoryStore, u64) -> Vec<channel::Effect>) {
        if self.channel.is_none() {
            let rules = Rules { retention_ms: 120_000, max_members: 20_000, interval_ms: 0, conflation_key: None };
            let call = Some((&self.address, &rules));
            self.channel = Channel::wake(&mut self.store, call, "life", self.now_ms).expect("the store works");
        }
        let channel = self.channel.as_mut().expect("woken");
        for effect in act(channel, &mut self.store, self.now_ms) {
            if let channel::Effect::Deliver { relay, attempt, delivery } = effect {
                self.direct.insert(relay.clone());
                self.deliver(CHANNEL, &relay, attempt, delivery);
            }
        }
        self.keep_alarm(CHANNEL);
    }

    pub fn publish(&mut self, number: u64) {
        let data = Data::Text(number.to_string());
        let publish = Publish {
            key: PublishKey::Request(format!("message{number}")),
            connection_id: None,
            content: Submission::Messages(vec![Message { data, ..Message::default() }]),
        };
        self.order.push(number.to_string());
        self.channel_does(|channel, store, now_ms| {
            channel.publish(Ticket(number), vec![publish]).expect("there is room");
            channel.commit(store, now_ms)
        });
    }

    pub fn called(&mut self, to: Object, caller: Caller, ticket: Ticket, what: Asked) {
        let mut answer = None;
        match what {
            Asked::Follow(follow) => {
                self.wake_relay(to);
                self.nodes[to].followers.insert((follow.channel.clone(), follow.relay.clone()));
                self.relay_does(to, |relay, now_ms| {
                    let (said, effects) = relay.follow(&follow, now_ms);
                    answer = Some(said);
                    effects
                });
            }
            Asked::Channel(call) => self.channel_does(|channel, store, now_ms| {
                answer = Some(match call.request {
                    Request::Subscribe(relay, census) => {
                        channel.subscribe(store, relay, census).map(Response::Subscribed)
                    }
                    Request::Read(from) => channel.read(store, &from, now_ms).map(Response::Backlog),
                    Request::Next(cursor) => channel.next(store, cursor, now_ms).map(Response::Delivery),
                    other => panic!("nobody asks for this: {other:?}"),
                });
                Vec::new()
            }),
        }
        let answer = answer.filter(|_| !self.random.chance(self.weather.answer_lost));
        let delay_ms = self.delay_ms();
        self.after(delay_ms, Event::Answer { caller, ticket, answer });
    }

    // Between objects.

    pub fn call(&mut self, from: Object, to: Object, ticket: Ticket, what: Asked) {
        let (caller, delay_ms) = (self.caller(from), self.delay_ms());
        if self.random.chance(self.weather.lost) {
            return self.after(delay_ms, Event::Answer { caller, ticket, answer: None });
        }
        self.after(delay_ms, Event::Call { to, caller, ticket, what });
    }

    pub fn deliver(&mut self, from: Object, relay: &RelayName, attempt: u64, delivery: Delivery) {
        let (caller, to, delivery) = (self.caller(from), self.object(relay), Rc::new(delivery));
        if self.random.chance(self.weather.lost) {
            return self.answer_delivery(to, caller, attempt, None);
        }
        let answered = !self.random.chance(self.weather.answer_lost);
        let deliver = Event::Deliver { to, caller, attempt, delivery, answered };
        if self.random.chance(self.weather.repeated) {
            let delay_ms = self.delay_ms();
            self.after(delay_ms, deliver.clone());
        }
        let delay_ms = self.delay_ms();
        self.after(delay_ms, deliver);
    }

    pub fn answer_delivery(&mut self, from: Object, caller: Caller, attempt: u64, answer: Option<Delivered>) {
        let delay_ms = self.delay_ms();
        self.after(delay_ms, Event::Delivered { from, caller, attempt, answer });
    }

    pub fn delivered(&mut self, from: Object, to: Object, attempt: u64, answer: Option<Delivered>) {
        let (relay, name) = (self.name(from), self.address.channel.clone());
        match to {
            CHANNEL => {
                self.channel_does(|channel, store, now_ms| channel.delivered(store, &relay, attempt, answer, now_ms));
            }
            to => self.relay_does(to, |above, now_ms| above.delivered(&name, &relay, attempt, answer, now_ms)),
        }
    }

    // Relays and their sessions.

    pub fn wake_relay(&mut self, object: Object) {
        if self.nodes[object].relay.is_some() {
            return;
        }
        let shard = object as u16 - 1;
        let mut relay = Relay::new(self.name(object), shard, self.app.clone(), b"secret".to_vec());
        let (mut effects, now_ms) = (Vec::new(), self.now_ms);
        let node = &mut self.nodes[object];
        for (socket, (record, _)) in &node.sockets {
            effects.extend(relay.restore(*socket, record, now_ms));
        }
        effects.extend(relay.restored(now_ms));
        effects.extend(relay.lead(node.followers.iter().cloned().collect(), now_ms));
        node.relay = Some(relay);
        self.perform(object, effects);
    }

    pub fn relay_does(&mut self, object: Object, act: impl FnOnce(&mut Relay, u64) -> Vec<relay::Effect>) {
        let now_ms = self.now_ms;
        let Some(relay) = &mut self.nodes[object].relay else { return };
        let effects = act(relay, now_ms);
        self.perform(object, effects);
    }

    pub fn perform(&mut self, object: Object, effects: Vec<relay::Effect>) {
        for effect in effects {
            match effect {
                relay::Effect::Save { socket, record } => {
                    self.nodes[object].sockets.get_mut(&socket).expect("open").0 = record;
                }
                relay::Effect::Send { sockets, frame } => self.hear(object, &sockets, &frame),
                relay::Effect::Close { socket } => self.closed(object, socket),
                relay::Effect::Call { ticket, call } => self.call(object, CHANNEL, ticket, Asked::Channel(call)),
                relay::Effect::Follow { ticket, above, follow } => {
                    let above = self.object(&above);
                    self.call(object, above, ticket, Asked::Follow(follow));
                }
                relay::Effect::Deliver { relay, attempt, delivery } => {
                    self.passed_on += 1;
                    self.deliver(object, &relay, attempt, delivery);
                }
                relay::Effect::Rows(_) => unreachable!("nobody here uses more than one channel"),
                relay::Effect::Unfollowed { channel, relay } => {
                    self.nodes[object].followers.remove(&(channel, relay));
                }
            }
        }
        self.keep_alarm(object);
    }
}
