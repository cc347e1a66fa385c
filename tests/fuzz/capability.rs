//! Capabilities: their text, and what two of them have in common.

use courtside::auth::{Capability, Operations};
use courtside::model::name::ChannelName;

use crate::input::Input;

const GOOD: &[&str] = &[
    r#"{"*":["*"]}"#,
    r#"{"[*]*":["*"]}"#,
    r#"{"chat:*":["publish","subscribe"],"scores":["subscribe"]}"#,
    r#"{"a:*:c":["presence"],"a:b:*":["publish"],"*:b:c":["history"],"[meta]*":["subscribe"]}"#,
    r#"{"foo*":["stats"],"[filter]x":["subscribe"],"[queue]*":["*"],"a":["channel-metadata","history"]}"#,
    r#"{"":["*"]}"#,
];

/// Of all kinds that patterns tell apart.
const CHANNELS: &[&str] =
    &["a", "scores", "chat:room", "chat:a:b", "a:b:c", "a:x:c", "a:b", "foo*", "foobar", "[?rewind=1]chat:x", "x"];

pub fn text(input: &mut Input) {
    let text = input.text("capability", GOOD);
    if let Ok(capability) = Capability::parse(&text) {
        let canonical = capability.text();
        let again = Capability::parse(canonical).expect("the canonical text is one");
        assert_eq!((again.text(), &again), (canonical, &capability));
    }
}

pub fn intersection(input: &mut Input) {
    let (one, other) = (input.text("one", GOOD), input.text("other", GOOD));
    let (Ok(one), Ok(other)) = (Capability::parse(&one), Capability::parse(&other)) else { return };
    let allowed = |capability: &Capability, name: &str| capability.operations(&ChannelName::parse(name).unwrap());
    let both = one.intersect(&other);
    assert_eq!(both, other.intersect(&one), "it is commutative");
    for name in CHANNELS {
        let expected = allowed(&one, name) & allowed(&other, name);
        match &both {
            Ok(both) => assert_eq!(allowed(both, name), expected, "on {name}"),
            Err(error) if error.code == 40160 => assert_eq!(expected, Operations::NONE, "on {name}"),
            Err(_) => {}
        }
    }
    if let Ok(both) = both {
        assert_eq!(both.intersect(&one).as_ref(), Ok(&both), "it is idempotent");
        assert_eq!(Capability::parse(both.text()), Ok(both));
    }
}
