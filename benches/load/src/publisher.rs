//! A publisher: sends whenever fewer than its share of messages are in flight, and minds its acknowledgements.

use std::rc::Rc;
use std::time::Duration;

use futures_util::SinkExt;
use tokio::sync::Semaphore;
use tokio::time::{Interval, interval};
use tokio_tungstenite::tungstenite::Message;

use crate::dialect::Control;
use crate::payload::Stamp;
use crate::run::{Run, add};
use crate::socket::{self, Socket};

/// Publishes until the run says to stop, then goes on listening. `rate` is messages per second at most, 0 for as many
/// as the window allows.
pub async fn publish(run: Rc<Run>, index: usize, bytes: usize, rate: f64, socket: Socket) {
    let ticks = (rate > 0.0).then(|| interval(Duration::from_secs_f64(1.0 / rate)));
    let mut publisher = Publisher { run: run.clone(), index, bytes, ticks, socket };
    if let Err(why) = publisher.work().await {
        run.violation(format!("publisher {index}: {why}"));
    }
}

struct Publisher {
    run: Rc<Run>,
    index: usize,
    bytes: usize,
    ticks: Option<Interval>,
    socket: Socket,
}

impl Publisher {
    async fn work(&mut self) -> Result<(), String> {
        let run = self.run.clone();
        loop {
            tokio::select! {
                () = turn(&run.windows[self.index], &mut self.ticks), if run.publishing.get() => self.burst().await?,
                frame = socket::next(&mut self.socket) => self.mind(&frame?).await?,
            }
        }
    }

    /// One message, and all others that may go now, in one write. None when the run has stopped meanwhile.
    async fn burst(&mut self) -> Result<(), String> {
        let run = self.run.clone();
        if !run.publishing.get() {
            return Ok(());
        }
        self.feed().await?;
        while self.ticks.is_none() && run.publishing.get() {
            let Ok(permit) = run.windows[self.index].try_acquire() else {
                break;
            };
            permit.forget();
            self.feed().await?;
        }
        self.socket.flush().await.map_err(|error| error.to_string())
    }

    async fn feed(&mut self) -> Result<(), String> {
        let Run { published, dialect, target, .. } = &*self.run;
        let sequence = published[self.index].get();
        let stamp = Stamp { publisher: self.index as u32, sequence, sent_ns: self.run.now_ns() };
        add(&published[self.index], 1);
        let frame = dialect.publish(target, sequence, stamp.fill(self.bytes));
        self.socket.feed(frame).await.map_err(|error| error.to_string())
    }

    async fn mind(&mut self, frame: &Message) -> Result<(), String> {
        match self.run.dialect.control(frame)? {
            Control::Acknowledged(count) => add(&self.run.acknowledged[self.index], count),
            Control::Answer(answer) => socket::send(&mut self.socket, answer).await?,
            Control::Nothing => {}
        }
        Ok(())
    }
}

/// Waits until a message may be sent. Nothing is taken when the wait is given up.
async fn turn(window: &Semaphore, ticks: &mut Option<Interval>) {
    let permit = window.acquire().await.expect("a window is never closed");
    if let Some(ticks) = ticks {
        ticks.tick().await;
    }
    permit.forget();
}
