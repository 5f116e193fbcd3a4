//! How long to wait before a failed operation is tried again.

use std::time::Duration;

use slipway_crds::names;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something went wrong and may go right next time.
    Failed,
    /// The installer said no; that stands until someone changes the node.
    Refused,
}

/// The wait after this many failures in a row, longer by up to a fifth for some `key`s than for
/// others so that nodes that failed together do not come back together.
pub(crate) fn delay(kind: Kind, failures: u32, key: &str) -> Duration {
    let (base, cap) = match kind {
        Kind::Failed => (10, 600),
        Kind::Refused => (300, 3600),
    };
    let doubled = 2_u64
        .saturating_pow(failures.saturating_sub(1))
        .saturating_mul(base);
    let seconds = doubled.min(cap);
    let share = u64::from_str_radix(&names::hash(&[key], 2), 16).unwrap_or(0);
    Duration::from_secs(seconds + seconds * share / 255 / 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap() {
        let seconds = |kind, failures| delay(kind, failures, "n").as_secs();
        for (kind, failures, least, most) in [
            (Kind::Failed, 1, 10, 12),
            (Kind::Failed, 2, 20, 24),
            (Kind::Failed, 4, 80, 96),
            (Kind::Failed, u32::MAX, 600, 720),
            (Kind::Refused, 1, 300, 360),
            (Kind::Refused, 30, 3600, 4320),
        ] {
            let found = seconds(kind, failures);
            assert!(
                (least..=most).contains(&found),
                "{kind:?} {failures}: {found}"
            );
        }
    }

    #[test]
    fn nodes_do_not_come_back_together() {
        let delays: std::collections::BTreeSet<_> = (0..20)
            .map(|n| delay(Kind::Failed, 9, &format!("node-{n}")))
            .collect();
        assert!(delays.len() > 10);
    }
}
