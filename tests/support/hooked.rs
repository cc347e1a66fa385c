//! What a channel with a webhook stores.

use courtside::auth::App;
use courtside::base::pinned;
use courtside::channel::Channel;
use courtside::channel::hooks::row::{Failing, HookRow, Life};
use courtside::error::{Code, ErrorInfo};
use courtside::rpc::{DeadEvents, Publish, Rules};
use serde_json::json;

use super::bench::{EPOCH, NOW_MS, address, publish, rules};
use super::memory_store::MemoryStore;

/// Rules with a webhook.
fn hooked() -> Rules {
    let app = json!({"id": "demo", "keys": [], "namespaces": [], "webhooks": [{
        "id": "log", "url": "https://example.com/hook", "secret": "a-secret", "events": ["channel.message"],
    }]});
    let app: App = serde_json::from_value(app).expect("an app");
    Rules { hooks: app.hooks(&address().channel), ..rules() }
}

/// A channel's storage with a webhook, which has got nothing yet.
pub fn hooked_store(sent: Publish) -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut channel =
        Channel::wake(&mut store, Some((&address(), &hooked())), EPOCH, NOW_MS).expect("it works").expect("a channel");
    publish(&mut channel, &mut store, vec![sent]);
    store
}

/// How far a webhook is that fails, with all that such a row holds.
pub fn hook_row(sent: Publish) -> HookRow {
    let mut row: HookRow = pinned::decode(&hooked_store(sent).hooks.expect("a row")).expect("readable");
    let error: ErrorInfo = Code::WebhookFailed.into();
    let (due_ms, pause_ms) = (NOW_MS + 4_000, 4_000);
    let failing = Failing { since_ms: NOW_MS, tries: 3, tries_of_next: 2, due_ms, error: error.clone(), pause_ms };
    row.cursors[0].failing = Some(failing);
    row.happened(Life::Opened, NOW_MS);
    let (first, last) = ("first".to_owned(), "last".to_owned());
    let dead = DeadEvents { number: 0, hook: "log".into(), at_ms: NOW_MS, count: 5, first, last, error };
    row.gave_up(dead, r#"[{"id":"first"}]"#.to_owned());
    row
}
