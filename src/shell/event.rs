//! The event page at the edge: its pages, where the deployment has them, and the tokens of attendees.

use worker::{Env, Request, Response, Result};

use super::config;
use super::platform::{now_ms, random_bytes};
use super::router::{self, Arrival, read_body, refuse_unread, write_reply};
use crate::event;
use crate::http;
use crate::http::uploads::Bound;
use crate::limits::EVENT_BODY_MAX_BYTES;

pub async fn page(Arrival { raw, head }: Arrival, env: &Env) -> Result<Response> {
    let error = match (config::event_key(env), env.assets("ASSETS")) {
        (Err(error), _) => error,
        (Ok(_), Ok(assets)) => match assets.fetch_request(Request::from(raw)).await? {
            response if response.status_code() == 404 => event::no_page(),
            response => return Ok(response),
        },
        // A server of one's own gives its files itself: what comes here is none of them.
        (Ok(_), Err(_)) => event::no_page(),
    };
    write_reply(http::refuse(&head, &error))
}

pub async fn token(Arrival { raw, head: mut request }: Arrival, env: &Env) -> Result<Response> {
    let taken = router::with(|router| router.take(&request.address, now_ms()));
    let key = taken.and_then(|()| config::event_key(env));
    let body = match key {
        Ok(_) => read_body(&raw, Bound::unproven(EVENT_BODY_MAX_BYTES), &request.address).await?,
        Err(error) => return refuse_unread(&raw, http::refuse(&request, &error)).await,
    };
    let (bytes, _held) = match body {
        Ok(body) => body.split(),
        Err(error) => return write_reply(http::refuse(&request, &error)),
    };
    request.body = bytes;
    write_reply(event::answer(&request, key, now_ms(), random_bytes()))
}
