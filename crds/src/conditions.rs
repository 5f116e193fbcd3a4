//! meta/v1 conditions: the types that Slipway objects carry, and how a list of them is renewed.
//!
//! `Ready`, `Progressing` and `Degraded` are for people and always there. `Reconciling` and `Stalled` are for what
//! reads kstatus (Flux, Argo CD, `helm --wait`): each is there while it is true, never both.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The object does what it was asked for.
pub const READY: &str = "Ready";
/// The operator is at work on it, or about to be.
pub const PROGRESSING: &str = "Progressing";
/// Something needs a look, be it ready or not.
pub const DEGRADED: &str = "Degraded";

/// kstatus: not as asked for yet, and on the way.
pub const RECONCILING: &str = "Reconciling";
/// kstatus: not as asked for, and not getting there as things are, though it may be tried again.
pub const STALLED: &str = "Stalled";

/// One condition to be set, before times are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// One of the types of this module.
    pub type_: &'static str,
    /// True or False; Unknown is not used, the operator always knows.
    pub status: bool,
    /// `CamelCase`; part of the API.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// `settings` as conditions: the transition time of `old` stays where the status did not change.
#[must_use]
pub fn renew(
    old: &[Condition],
    settings: &[Setting],
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    settings
        .iter()
        .map(|setting| {
            let status = if setting.status { "True" } else { "False" };
            let since = old
                .iter()
                .find(|c| c.type_ == setting.type_ && c.status == status)
                .map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
            Condition {
                type_: setting.type_.to_owned(),
                status: status.to_owned(),
                reason: setting.reason.clone(),
                message: setting.message.clone(),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

/// Whether there is a condition of this type, and it is true.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// The condition of this type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn ready(status: bool, reason: &str) -> Setting {
        Setting {
            type_: READY,
            status,
            reason: reason.into(),
            message: String::new(),
        }
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let first = renew(&[], &[ready(false, "Installing")], Some(1), &at(10));
        let second = renew(&first, &[ready(false, "Verifying")], Some(2), &at(20));
        assert_eq!(second[0].last_transition_time, at(10));
        assert_eq!(second[0].reason, "Verifying");
        assert_eq!(second[0].observed_generation, Some(2));
        let third = renew(&second, &[ready(true, "Verified")], Some(2), &at(30));
        assert_eq!(third[0].last_transition_time, at(30));
        assert_eq!(find(&third, READY).unwrap().status, "True");
    }
}
