//! Credentials that may do everything, as the tests' clients have.

use courtside::auth::{Capability, Grant, Identity, KeyName};

pub fn grant() -> Grant {
    Grant {
        key_name: KeyName::parse("demo.key").expect("a name"),
        capability: Capability::full(),
        client_id: Identity::Anonymous,
        basic: true,
        issued_at_ms: None,
        expires_at_ms: None,
        revocation_key: None,
        user_claims: None,
    }
}
