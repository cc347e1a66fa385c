//! What an app's namespaces come to on one channel.

use serde::{Deserialize, Serialize};

use crate::auth::{App, Hook, HookOfVersion1};
use crate::limits::{
    MEMBERS_MAX, OBJECTS_KEPT_MS, PACE_MAX_MS, RETENTION_MAX_HOURS, RETENTION_MS, RETENTION_PERSISTED_MS,
};
use crate::model::name::ChannelName;

/// What an app's namespaces say of a channel. Sent along with calls, so that no channel reads configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    pub retention_ms: u64,
    pub max_members: u32,
    /// Between two deliveries to a relay; 0 where each message goes out as it comes.
    pub interval_ms: u32,
    /// Of which messages only the latest in an interval goes out; see [`crate::model::conflation`].
    pub conflation_key: Option<String>,
    /// Whether messages can be updated, deleted and appended to.
    pub mutable: bool,
    /// Whether `extras.push` of its messages goes to devices.
    pub push: bool,
    /// Whether the last message can be read for a year.
    pub persist_last: bool,
    /// How many messages may be published on it a second, and how many of them by one source over REST; 0 without a
    /// bound.
    pub messages_per_second: u32,
    pub rest_messages_per_second: u32,
    /// Between two commits; 0 where each is as soon as it can be.
    pub commit_interval_ms: u32,
    /// Where its events go besides.
    pub hooks: Vec<Hook>,
    /// How long objects are kept after their last use.
    pub objects_kept_ms: u64,
}

/// Rules as version 1 of a call, and of a channel's own record, had them.
#[derive(Serialize, Deserialize)]
pub struct RulesOfVersion1 {
    retention_ms: u64,
    max_members: u32,
    interval_ms: u32,
    conflation_key: Option<String>,
}

impl From<RulesOfVersion1> for Rules {
    fn from(rules: RulesOfVersion1) -> Rules {
        let RulesOfVersion1 { retention_ms, max_members, interval_ms, conflation_key } = rules;
        Rules { retention_ms, max_members, interval_ms, conflation_key, ..Rules::of(crate::auth::Rules::NONE) }
    }
}

/// The same of version 2.
#[derive(Serialize, Deserialize)]
pub struct RulesOfVersion2 {
    rules: RulesOfVersion1,
    mutable: bool,
}

impl From<RulesOfVersion2> for Rules {
    fn from(rules: RulesOfVersion2) -> Rules {
        Rules { mutable: rules.mutable, ..rules.rules.into() }
    }
}

/// The same of version 3.
#[derive(Serialize, Deserialize)]
pub struct RulesOfVersion3 {
    rules: RulesOfVersion2,
    push: bool,
    persist_last: bool,
}

impl From<RulesOfVersion3> for Rules {
    fn from(earlier: RulesOfVersion3) -> Rules {
        let RulesOfVersion3 { rules, push, persist_last } = earlier;
        Rules { push, persist_last, ..rules.into() }
    }
}

/// The same of version 4.
#[derive(Serialize, Deserialize)]
pub struct RulesOfVersion4 {
    rules: RulesOfVersion3,
    messages_per_second: u32,
    rest_messages_per_second: u32,
    commit_interval_ms: u32,
    hooks: Vec<HookOfVersion1>,
}

impl From<RulesOfVersion4> for Rules {
    fn from(earlier: RulesOfVersion4) -> Rules {
        let RulesOfVersion4 { rules, messages_per_second, rest_messages_per_second, commit_interval_ms, hooks } =
            earlier;
        let hooks = hooks.into_iter().map(Hook::from).collect();
        Rules { messages_per_second, rest_messages_per_second, commit_interval_ms, hooks, ..rules.into() }
    }
}

/// The same of version 5.
#[derive(Serialize, Deserialize)]
pub struct RulesOfVersion5 {
    rules: RulesOfVersion4,
    objects_kept_ms: u64,
}

impl From<RulesOfVersion5> for Rules {
    fn from(earlier: RulesOfVersion5) -> Rules {
        Rules { objects_kept_ms: earlier.objects_kept_ms, ..earlier.rules.into() }
    }
}

impl Rules {
    /// What an app's rules come to on a channel. The messages of a chat room can be changed, whatever they say.
    pub fn on(app: &App, channel: &ChannelName) -> Rules {
        let mut rules = app.rules(channel).clone();
        rules.mutable_messages |= channel.room().is_some();
        Rules { hooks: app.hooks(channel), ..Rules::of(&rules) }
    }

    /// The same, but keeping all that others keep: messages and objects as long, the last message, and what is still
    /// to be sent to webhooks. Of two webhooks that are one, the newer stays.
    pub fn keeping_as_long_as(&self, others: &Rules) -> Rules {
        let is_other = |hook: &&Hook| others.hooks.iter().all(|other| other.id != hook.id);
        let newer = |other: &Hook| {
            let own = self.hooks.iter().find(|hook| hook.id == other.id && hook.changed_ms > other.changed_ms);
            own.unwrap_or(other).clone()
        };
        let hooks = match others.hooks.iter().all(|hook| self.hooks.contains(hook)) {
            true => self.hooks.clone(),
            false => others.hooks.iter().map(newer).chain(self.hooks.iter().filter(is_other).cloned()).collect(),
        };
        Rules {
            retention_ms: self.retention_ms.max(others.retention_ms),
            persist_last: self.persist_last || others.persist_last,
            objects_kept_ms: self.objects_kept_ms.max(others.objects_kept_ms),
            hooks,
            ..self.clone()
        }
    }

    /// The same without webhooks.
    pub fn of(rules: &crate::auth::Rules) -> Rules {
        let hours = rules.retention_hours.map(|hours| hours.min(RETENTION_MAX_HOURS) * 60 * 60 * 1_000);
        let retention_ms = match rules.persisted || rules.mutable_messages {
            true => hours.unwrap_or(RETENTION_PERSISTED_MS),
            false => RETENTION_MS,
        };
        let max_members = rules.max_members.unwrap_or(u64::MAX).min(MEMBERS_MAX as u64) as u32;
        let interval_ms = match (rules.batching_enabled, rules.conflation_enabled) {
            (false, false) => None,
            (true, _) => rules.batching_interval_ms,
            (false, true) => rules.conflation_interval_ms,
        };
        let interval_ms = interval_ms.unwrap_or(0).min(PACE_MAX_MS) as u32;
        let conflation_key = rules.conflation_key.clone().filter(|_| rules.conflation_enabled);
        // No greater one is configured.
        let rate = |rate: Option<u64>| rate.unwrap_or(0).min(u32::MAX.into()) as u32;
        Rules {
            retention_ms,
            max_members,
            interval_ms,
            conflation_key,
            mutable: rules.mutable_messages,
            push: rules.push_enabled,
            persist_last: rules.persist_last,
            messages_per_second: rate(rules.messages_per_second),
            rest_messages_per_second: rate(rules.rest_messages_per_second),
            commit_interval_ms: rules.commit_interval_ms.unwrap_or(0).min(PACE_MAX_MS) as u32,
            hooks: Vec::new(),
            objects_kept_ms: rules.objects_retention_days.map_or(OBJECTS_KEPT_MS, |days| days * 24 * 60 * 60 * 1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An app whose namespace has these rules.
    fn app_with(rules: &str) -> String {
        format!(r#"{{"id":"a","keys":[],"namespaces":[{{"id":"m"}},{{"id":"n",{rules}}}]}}"#)
    }

    #[test]
    fn batches_and_conflation_are_rules_where_they_are_enabled() {
        let read = |rules: &str| {
            let app: App = serde_json::from_str(&app_with(rules)).unwrap();
            let namespace = app.namespaces()[1].clone();
            let of = Rules::of(&namespace.rules);
            (of.interval_ms, of.conflation_key, namespace.not_effective().join(" "))
        };
        let key = Some("#{message.name}".to_owned());
        let conflation = r##""conflationInterval":200,"conflationKey":"#{message.name}""##;
        assert_eq!(read(r#""batchingEnabled":true,"batchingInterval":100"#), (100, None, "".into()));
        assert_eq!(read(&format!(r#""conflationEnabled":true,{conflation}"#)), (200, key, "".into()));
        assert_eq!(read(conflation), (0, None, "conflationInterval conflationKey".into()));
        let (interval_ms, key, idle) = read(&format!(r#""batchingEnabled":true,"batchingInterval":20,{conflation}"#));
        assert_eq!((interval_ms, key, idle.as_str()), (20, None, "conflationInterval conflationKey"));
    }

    #[test]
    fn the_pace_of_commits_is_a_rule() {
        let read = |ms: u64| {
            let app = serde_json::from_str::<App>(&app_with(&format!(r#""commitInterval":{ms}"#)));
            app.map_err(|error| error.to_string())
        };
        let pace = |ms| Rules::on(&read(ms).unwrap(), &ChannelName::parse("n:c").unwrap()).commit_interval_ms;
        assert_eq!((pace(20), pace(1_000)), (20, 1_000));
        for wrong in [0, 19, 1_001] {
            assert!(read(wrong).unwrap_err().contains("commitInterval must be from 20 to 1000 ms"));
        }
    }

    #[test]
    fn the_number_of_members_is_a_rule() {
        let read = |max: &str| {
            serde_json::from_str::<App>(&app_with(&format!(r#""maxMembers":{max}"#))).map_err(|error| error.to_string())
        };
        let most = |max: &str| Rules::on(&read(max).unwrap(), &ChannelName::parse("n:c").unwrap()).max_members;
        assert_eq!((most("250"), most("0"), most("null")), (250, 0, 20_000));
        assert_eq!(most("1000000"), 20_000, "no more than a channel can have");
        for wrong in ["-1", "1.5", "\"1\""] {
            assert!(read(wrong).unwrap_err().contains("maxMembers must be a whole number"));
        }
    }

    #[test]
    fn how_long_messages_are_kept_is_a_rule() {
        let of = |rules: &str| {
            let app: App = serde_json::from_str(&app_with(rules)).unwrap();
            Rules::of(&app.namespaces()[1].rules)
        };
        const HOUR_MS: u64 = 60 * 60 * 1_000;
        let kept_ms = |rules: &str| of(rules).retention_ms;
        assert_eq!(kept_ms(r#""persisted":true,"retentionHours":5"#), 5 * HOUR_MS);
        let objects_kept_ms = |rules: &str| of(rules).objects_kept_ms;
        assert_eq!(objects_kept_ms(r#""objectsRetentionDays":2"#), 48 * HOUR_MS);
        assert_eq!(objects_kept_ms(r#""persisted":true"#), OBJECTS_KEPT_MS);
        assert_eq!(kept_ms(r#""mutableMessages":true,"retentionHours":8760"#), 8_760 * HOUR_MS);
        assert_eq!((kept_ms(r#""persisted":true"#), kept_ms(r#""retentionHours":5"#)), (72 * HOUR_MS, 120_000));
        assert!(of(r#""persistLast":true"#).persist_last && !of(r#""persisted":true"#).persist_last);
        for wrong in ["0", "8761", "1.5", "-1", "\"1\""] {
            let rules = app_with(&format!(r#""persisted":true,"retentionHours":{wrong}"#));
            let refused = serde_json::from_str::<App>(&rules).unwrap_err().to_string();
            assert!(refused.contains("retentionHours must be "), "{wrong}: {refused}");
        }
    }
}
