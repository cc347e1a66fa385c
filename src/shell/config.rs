//! The apps of this deployment, from its secret `APPS`.

use std::cell::RefCell;
use std::rc::Rc;

use worker::Env;

use crate::auth::Apps;
use crate::error::{Code, ErrorInfo};

thread_local! {
    /// Parsed once per isolate, and again when the text changes.
    static PARSED: RefCell<Option<(String, Rc<Apps>)>> = const { RefCell::new(None) };
}

/// Fails with 40100 and says what to set when the deployment has no apps, and with 40000 when they can't be read.
pub fn apps(env: &Env) -> Result<Rc<Apps>, ErrorInfo> {
    let text = env.var("APPS").map(|text| text.to_string()).unwrap_or_default();
    if text.is_empty() {
        let what =
            "this deployment has no apps: set its secret with `npx wrangler secret put APPS`, as the README says";
        return Err(Code::Unauthorized.because(what));
    }
    PARSED.with_borrow_mut(|parsed| match parsed {
        Some((known, apps)) if *known == text => Ok(apps.clone()),
        _ => {
            let apps = Rc::new(Apps::parse(&text)?);
            *parsed = Some((text, apps.clone()));
            Ok(apps)
        }
    })
}
