//! The shell: the only code that knows the platform. It performs and never decides.

use worker::{Context, DurableObject, Env, Request, Response, Result, State, durable_object, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    if request.headers().get("upgrade")?.is_some() || request.path() != "/" {
        return Response::error("Not here yet", 404);
    }
    env.assets("ASSETS")?.fetch_request(request).await
}

#[durable_object]
pub struct Channel;

impl DurableObject for Channel {
    fn new(_state: State, _env: Env) -> Self {
        Self
    }

    async fn fetch(&self, _request: Request) -> Result<Response> {
        Response::ok("channel")
    }
}

#[durable_object]
pub struct Relay;

impl DurableObject for Relay {
    fn new(_state: State, _env: Env) -> Self {
        Self
    }

    async fn fetch(&self, _request: Request) -> Result<Response> {
        Response::ok("relay")
    }
}
