//! Credentials that may do everything, as the tests' clients have.

use courtside::auth::{Capability, Grant, Identity, KeyName};

pub fn grant() -> Grant {
    let grant = Grant::of_key(KeyName::parse("demo.key").expect("a name"), Capability::full());
    Grant { client_id: Identity::Anonymous, ..grant }
}
