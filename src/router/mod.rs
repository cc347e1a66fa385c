//! The router of one isolate as plain values: where a request leads, who is let in and by which object, how others are
//! told. It says what is to be done, step by step, and the shell does it, as it does what the drivers in
//! [`object`](crate::object) say: what the platform runs is what tests run.
//!
//! `route` tells requests apart, `entering` lets in a `client`, `refusal` tells one that is not let in, and `directory`
//! finds apps, as far as the `deployment` has any or lets them be made. `exchange` is a request to the REST API,
//! `named` bounds the channels that such requests ask, and `reports` tell apps what was counted.

mod client;
mod deployment;
mod directory;
mod entering;
mod exchange;
mod named;
mod refusal;
mod reports;
mod route;

pub use client::Client;
pub use deployment::{Deployment, Room};
pub use entering::{Destination, Handover, Journey, Knock, Step, read_header};
pub use exchange::{Asking, Exchange, Next};
pub use refusal::Refusal;
pub use route::{Route, Way};

use crate::app::Unbanned;
use crate::auth::Attempts;
use crate::base::rate::Buckets;
use crate::error::ErrorInfo;
use crate::http::addresses::Addresses;
use crate::http::answers::Answers;
use crate::limits::{REFUSED_SOCKETS, WRONG_SECRETS_MAX_KEYS};
use crate::rpc::placement::LoadMap;
use directory::Directory;
use named::NamedChannels;
use reports::Reports;

/// What a router remembers.
pub struct Router {
    directory: Directory,
    /// Wrong secrets, as this isolate saw them. An address usually comes to the same one.
    attempts: Attempts,
    pub reports: Reports,
    addresses: Addresses,
    named: NamedChannels,
    answers: Answers,
    /// Addresses whose clients were told by a WebSocket why they are not let in.
    told: Buckets<String>,
    /// Objects that refused a connection lately.
    load_map: LoadMap,
    unbanned: Unbanned,
}

/// When something happens, and what the deployment says then.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    pub deployment: &'a Deployment,
    pub now_ms: u64,
}

impl Router {
    /// `life` is a new one's name, among all that there ever were.
    pub fn new(life: String) -> Router {
        Router {
            directory: Directory::default(),
            attempts: Attempts::default(),
            reports: Reports::of(life),
            addresses: Addresses::default(),
            named: NamedChannels::default(),
            answers: Answers::default(),
            told: Buckets::new(REFUSED_SOCKETS, WRONG_SECRETS_MAX_KEYS),
            load_map: LoadMap::default(),
            unbanned: Unbanned::default(),
        }
    }

    /// Fails as [`Addresses::take`] does.
    pub fn take(&mut self, address: &str, now_ms: u64) -> Result<(), ErrorInfo> {
        self.addresses.take(address, now_ms)
    }
}
