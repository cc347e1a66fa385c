//! The objects of the world: what each calls, and what it forgets.

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

    /// The memory goes. What was stored stays, and so do the sockets with their records, and the alarm.
    pub fn forget(&mut self, object: Object) {
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

    pub fn publish(&mut self, number: u64) {
        let data = Data::Text(number.to_string());
        let publish = Publish {
            key: PublishKey::Request(format!("message{number}")),
            connection_id: None,
            by: courtside::auth::Source::SERVER,
            content: Submission::Messages(vec![Message { data, ..Message::default() }]),
        };
        self.order.push(number.to_string());
        self.last_call += 1;
        let (caller, rules) = (CallerId(self.last_call), Rules::on(&self.app, &self.address.channel));
        let call = ChannelCall { to: self.address.clone(), rules, request: Request::Publish(vec![publish]) };
        self.turn(CHANNEL, Input::Object(object::Input::Call { caller, call }));
    }
}
