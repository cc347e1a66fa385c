//! Whom push services may write to.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use courtside::app::push::{self, Outcome, To};
use courtside::base::pinned;
use courtside::limits::PUSH_DELAY_MS;
use courtside::object::AppHost;
use courtside::rpc::{PushRequest, PushTarget};
use serde_json::Value;

use crate::support::app_store::AppMemory;
use crate::{Scene, settings};

impl Scene {
    fn asked_for_its_key(&mut self, contact: &str) {
        self.ask(PushRequest::Key { contact: contact.to_owned() }).unwrap();
    }

    /// As the statement of a push says it.
    fn contact(&mut self, key: &str) -> Option<String> {
        self.publish(key, PushTarget::Device("d1".into())).unwrap();
        self.wait_for(PUSH_DELAY_MS);
        let attempt = self.attempts.remove(0);
        self.tried(attempt.clone(), Outcome::Status { status: 201, retry_after_s: None });
        let To::Web(push) = attempt.to else { panic!("to a browser") };
        let claims = BASE64URL.decode(push.statement.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        claims.get("sub").map(|sub| sub.as_str().unwrap().to_owned())
    }
}

#[test]
fn the_first_that_is_known_stays() {
    let mut scene = Scene::without_keys();
    scene.asked_for_its_key("");
    scene.device("d1", None);
    assert_eq!(scene.contact("1"), None, "nobody is named");
    scene.asked_for_its_key("https://relay.example.com");
    scene.asked_for_its_key("https://elsewhere.example.com");
    scene.asked_for_its_key("");
    assert_eq!(scene.contact("2").as_deref(), Some("https://relay.example.com"));
}

/// An earlier build stored the host of whoever asked first.
#[test]
fn what_the_deployment_says_comes_before_what_is_stored() {
    let mut scene = Scene::without_keys();
    scene.asked_for_its_key("https://evil.example");
    scene.device("d1", None);
    assert_eq!(scene.contact("1").as_deref(), Some("https://evil.example"), "where it says nothing");
    let of = |contact: Option<&str>, errors_url| push::Settings::new(false, contact.map(str::to_owned), errors_url);
    let here = Some("https://relay.example.com/errors#");
    for (told, expected) in [
        (of(None, here), "https://relay.example.com"),
        (of(Some("mailto:ops@example.com"), here), "mailto:ops@example.com"),
        (of(None, Some("http://127.0.0.1:8787/errors#")), "https://evil.example"),
        (of(None, Some("http://relay.example.com/errors#")), "https://evil.example"),
    ] {
        let store: AppMemory = scene.host.take().unwrap().into_store();
        scene.host = Some(AppHost::new(settings(), store).with_push(told));
        assert_eq!(scene.contact(expected).as_deref(), Some(expected));
    }
    let vapid = scene.store().push.vapid.clone().unwrap();
    let kept: push::web::VapidKeys = pinned::decode(&vapid).unwrap();
    assert_eq!(kept.contact, "https://evil.example", "it is read as it was");
}
