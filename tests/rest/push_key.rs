//! The key by which browsers know an app, and whom push services may write to.

use courtside::rpc::{AppRequest, PushRequest};

use crate::push::subscriber;
use crate::world::{Asked, World, get};

#[test]
fn the_key_of_an_app_is_bare_text_and_stays() {
    let mut world = World::new();
    let reply = world.send(subscriber(get("/push/publicVapidKey")));
    assert_eq!((reply.status, reply.header("Content-Type")), (200, Some("text/plain")));
    let key = String::from_utf8(reply.body).unwrap();
    assert!(key.len() == 87 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{key}");
    assert_eq!(world.send(get("/push/publicVapidKey")).body, key.into_bytes());
}

/// Whoever asks chooses the host, and what push services are told of an app is told of all its clients.
#[test]
fn a_host_becomes_the_contact_of_an_app_by_who_may_administer_push_alone() {
    let mut world = World::new();
    let at = |host: &str, is_secure, mut asked: Asked| {
        (asked.request.host, asked.request.is_secure) = (host.to_owned(), is_secure);
        asked
    };
    for (asked, expected) in [
        (at("evil.example", true, subscriber(get("/push/publicVapidKey"))), ""),
        (at("localhost:8787", true, get("/push/publicVapidKey")), ""),
        (at("relay.example.com", false, get("/push/publicVapidKey")), ""),
        (at("Relay.example.com", true, get("/push/publicVapidKey")), "https://relay.example.com"),
    ] {
        assert_eq!(world.send(asked).status, 200);
        let last = world.app_calls.last().map(|call| call.request.clone());
        let Some(AppRequest::Push(request)) = last else { panic!("{last:?}") };
        assert_eq!(*request, PushRequest::Key { contact: expected.to_owned() });
    }
}
