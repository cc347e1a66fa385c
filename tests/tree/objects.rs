//! The objects of the world: what each calls, and what it forgets.

use courtside::model::annotation::{Annotation, AnnotationAction};
use courtside::model::objects::operation::{Action, Kind, ObjectMessage, Proposal, Target, Value};
use courtside::model::objects::{self, id};
use courtside::model::operation::{Operation, Patch, Reach};
use courtside::model::revision::Act;

use crate::support::submissions::operation;
use crate::*;

impl World {
    pub fn turn(&mut self, object: Object, input: Input) {
        let host = &mut self.hosts[object];
        let alarm_ms = host.disk().alarm_ms().filter(|_| !matches!(input, Input::Object(object::Input::Alarm)));
        let turned = host.turn(input, self.now_ms);
        if turned.wrote {
            host.disk_mut().sync();
            host.synced();
        }
        let (outputs, life, set_ms) = (host.release(), host.life, host.disk().alarm_ms());
        for (timer, after_ms) in turned.started {
            let input = Input::Object(object::Input::Rang(timer));
            self.after(after_ms, Event::Turn { object, life: Some(life), input });
        }
        if let Some(at_ms) = set_ms.filter(|_| set_ms != alarm_ms) {
            self.after(at_ms.saturating_sub(self.now_ms), Event::Alarm { object });
        }
        for (life, output) in outputs {
            self.leave(Caller { object, life }, output);
        }
    }

    /// The memory goes. What was stored stays, and so do the sockets with their records, and the alarm. Who was not let
    /// in yet tries again.
    pub fn forget(&mut self, object: Object) {
        let waits = |session: &&Session| session.relay == object && !session.connected;
        let links: Vec<LinkId> = self.sessions.iter().filter(waits).filter_map(|session| session.link).collect();
        links.into_iter().for_each(|link| self.closed(link));
        for id in self.hosts[object].forget() {
            if let Some((from, question)) = self.calls.remove(&id) {
                self.tell(from, question, None);
            }
        }
    }

    pub fn alarm(&mut self, object: Object) {
        if self.hosts[object].disk().alarm_ms().is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.turn(object, Input::Object(object::Input::Alarm));
        }
    }

    fn leave(&mut self, from: Caller, output: Output) {
        match output {
            Output::Frame { link, frame } => self.hear(link, &frame),
            Output::Close { link } => self.closed(link),
            Output::Ask(Question::App { ticket, call }) => self.ask_app(from, ticket, call),
            Output::Ask(question) => self.ask(from, question),
            Output::Answer { id, reply } => self.answer(id, reply),
            Output::Body(_) | Output::Refuse { .. } | Output::Post(_) => unreachable!("all are sockets"),
        }
    }

    fn ask(&mut self, from: Caller, question: Question) {
        self.note(&from, &question);
        let is_delivery = matches!(question, Question::Deliver { .. });
        if self.random.chance(self.weather.lost) {
            return self.tell(from, question, None);
        }
        if is_delivery && self.random.chance(self.weather.repeated) {
            self.call(&question);
        }
        let id = self.call(&question);
        self.calls.insert(id, (from, question));
    }

    fn note(&mut self, from: &Caller, question: &Question) {
        match question {
            Question::Deliver { relay, .. } if from.object == CHANNEL => drop(self.direct.insert(relay.clone())),
            Question::Deliver { .. } => self.passed_on += 1,
            _ => {}
        }
    }

    /// A call on its way.
    fn call(&mut self, question: &Question) -> CallerId {
        self.last_call += 1;
        let caller = CallerId(self.last_call);
        let (object, input) = match question.clone() {
            Question::Call { call, .. } => (CHANNEL, object::Input::Call { caller, call }),
            Question::Follow { above, follow, .. } => (self.object(&above), object::Input::Follow { caller, follow }),
            Question::Deliver { relay, delivery, .. } => {
                (self.object(&relay), object::Input::Deliver { caller, delivery })
            }
            Question::Probe { relay, probe, .. } => (self.object(&relay), object::Input::Probe { caller, probe }),
            Question::App { .. } => unreachable!("the app is asked otherwise"),
        };
        let delay_ms = self.delay_ms();
        self.after(delay_ms, Event::Turn { object, life: None, input: Input::Object(input) });
        caller
    }

    fn answer(&mut self, id: CallerId, reply: Reply) {
        let Some((from, question)) = self.calls.remove(&id) else { return };
        let reply = Some(reply).filter(|_| !self.random.chance(self.weather.answer_lost));
        self.tell(from, question, reply);
    }

    /// An answer, or that none came, on its way to the memory that waits for it.
    fn tell(&mut self, from: Caller, question: Question, reply: Option<Reply>) {
        let (delay_ms, input) = (self.delay_ms(), Input::Object(told(question, reply)));
        self.after(delay_ms, Event::Turn { object: from.object, life: Some(from.life), input });
    }

    fn ask_app(&mut self, from: Caller, ticket: Ticket, call: AppCall) {
        let answer = app_store::ask(&mut self.app_object, call, self.now_ms);
        let input = Input::Object(object::Input::AppAnswered { ticket, answer });
        let delay_ms = self.delay_ms();
        self.after(delay_ms, Event::Turn { object: from.object, life: Some(from.life), input });
    }

    /// A message, something that is done to one or said of the first, or an operation on objects.
    pub fn publish(&mut self, number: u64) {
        let published = self.published();
        let content = match (number % 8, published.first()) {
            (1, Some(first)) => operate(Act::Append, first.clone(), format!("and {number};")),
            (2, Some(first)) => reaction(first.clone(), AnnotationAction::Create, number),
            (3, Some(_)) => set(number),
            (5, Some(_)) => self.change(&published, Act::Update, number),
            (6, Some(_)) => self.increment(number),
            (7, Some(first)) if number.is_multiple_of(3) => reaction(first.clone(), AnnotationAction::Delete, number),
            (7, Some(_)) => self.change(&published, Act::Delete, number),
            _ => {
                self.order.push(number.to_string());
                let data = Data::Text(number.to_string());
                Submission::Messages(vec![Message { data, ..Message::default() }])
            }
        };
        let key = PublishKey::Request(format!("message{number}"));
        let publish = Publish { key, connection_id: None, by: courtside::auth::Source::SERVER, content };
        self.last_call += 1;
        let (caller, rules) = (CallerId(self.last_call), Rules::on(&self.app, &self.address.channel));
        let call = ChannelCall { to: self.address.clone(), rules, request: Request::Publish(vec![publish]) };
        self.turn(CHANNEL, Input::Object(object::Input::Call { caller, call }));
    }

    /// The serials of the messages, in their order, once somebody knows the channel's life.
    fn published(&self) -> Vec<String> {
        let mut serials = self.sessions.iter().filter_map(|session| session.serial.as_deref()?.split_once('@'));
        let Some((_, epoch)) = serials.next() else { return Vec::new() };
        self.truth().messages.keys().map(|at| at.position.message_serial(epoch, at.place)).collect()
    }

    /// Any message but the first, which nobody deletes.
    fn change(&mut self, published: &[String], act: Act, number: u64) -> Submission {
        let index = 1 + self.random.below(published.len() as u64 - 1) as usize;
        let Some(serial) = published.get(index) else { return set(number) };
        if act == Act::Delete {
            self.deleted.insert(self.order[index].clone());
        }
        operate(act, serial.clone(), format!("now {number};"))
    }

    /// Of the counter, which the first of these puts into the root.
    fn increment(&mut self, number: u64) -> Submission {
        let id = id::make(Kind::Counter, r#"{"count":0}"#, "a-nonce-of-the-score", EPOCH_MS);
        if std::mem::replace(&mut self.counts, true) {
            self.counted += number as f64;
            return Submission::Objects(vec![proposal(id, Action::CounterInc(number as f64))]);
        }
        let set = Action::MapSet { key: COUNTER.to_owned(), value: Value::Object(id.clone()) };
        let create = proposal(id, Action::CounterCreate(0.0));
        Submission::Objects(vec![create, proposal("root".to_owned(), set)])
    }
}

fn operate(act: Act, serial: String, text: String) -> Submission {
    let patch = Patch { data: Data::Text(text), ..Patch::default() };
    let (client_id, description, metadata, reach) = (None, None, None, Reach::Any);
    Submission::Operation(Operation { act, serial, patch, client_id, description, metadata, reach }.into())
}

fn reaction(message: String, action: AnnotationAction, number: u64) -> Submission {
    let annotation = Annotation {
        id: None,
        action,
        kind: "r:multiple.v1".into(),
        name: Some("clap".into()),
        count: Some(1 + number % 3),
        client_id: Some(format!("client{}", number % 7)),
        data: Data::Absent,
        encoding: None,
        extras: None,
    };
    Submission::Annotations { message, annotations: vec![annotation] }
}

fn set(number: u64) -> Submission {
    let value = Value::Number(number as f64);
    operation(number, Action::MapSet { key: format!("key{}", number % KEYS), value }).content
}

fn proposal(object_id: String, action: Action) -> Proposal {
    let operation = objects::operation::Operation { object_id, action };
    let message = ObjectMessage { id: None, client_id: None, extras: None, operation };
    Proposal { message, target: Target::Named }
}
