//! Whose turn it is: how many nodes may be changed at a time, workers before the control plane.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use slipway_crds::{NodeShim, Phase, conditions};

/// The reason in `Progressing` of a node that waits for its turn.
pub const WAITING: &str = "WaitingForTurn";

/// Another node, as far as turns go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Name of its `NodeShim`.
    pub name: String,
    /// It is being changed.
    pub busy: bool,
    /// It waits for its turn.
    pub waiting: bool,
    /// It carries the control plane.
    pub control_plane: bool,
}

impl Other {
    /// Reads a `NodeShim` from the cache.
    #[must_use]
    pub fn of(object: &NodeShim, control_plane: bool) -> Self {
        let status = object.status.as_ref();
        let fresh = status.is_none_or(|status| status.conditions.is_empty());
        Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            busy: status.is_some_and(|status| status.phase.is_busy()),
            waiting: fresh || is_waiting(object),
            control_plane,
        }
    }
}

/// Whether a `NodeShim` waits for its turn.
#[must_use]
pub fn is_waiting(object: &NodeShim) -> bool {
    object.status.as_ref().is_some_and(|status| {
        matches!(status.phase, Phase::Pending | Phase::Draining)
            && conditions::find(&status.conditions, conditions::PROGRESSING)
                .is_some_and(|condition| condition.reason == WAITING)
    })
}

/// Turns that were given. The cache lags behind what was just written, so those given here count
/// until the cache shows them; after a restart the cache alone knows, and it has been read in full.
#[derive(Debug)]
pub struct Turns {
    most: usize,
    given: Mutex<BTreeSet<String>>,
}

impl Turns {
    /// At most so many nodes at a time.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            given: Mutex::new(BTreeSet::new()),
        }
    }

    /// Whether this node could begin now.
    #[must_use]
    pub fn could_begin(&self, name: &str, control_plane: bool, others: &[Other]) -> bool {
        may_begin(name, control_plane, others, &self.lock(), self.most)
    }

    /// Gives this node its turn, if it may begin now.
    #[must_use]
    pub fn take(&self, name: &str, control_plane: bool, others: &[Other]) -> bool {
        let mut given = self.lock();
        let may = may_begin(name, control_plane, others, &given, self.most);
        if may {
            given.insert(name.to_owned());
        }
        may
    }

    /// This node's turn is over.
    pub fn end(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn may_begin(
    name: &str,
    control_plane: bool,
    others: &[Other],
    given: &BTreeSet<String>,
    most: usize,
) -> bool {
    if given.contains(name) {
        return true;
    }
    let mut holders: BTreeSet<&str> = given.iter().map(String::as_str).collect();
    holders.extend(
        others
            .iter()
            .filter(|other| other.busy)
            .map(|other| other.name.as_str()),
    );
    holders.remove(name);
    if holders.len() >= most {
        return false;
    }
    // A broken configuration must meet a worker first: the control plane may be one node.
    let worker_waits = others
        .iter()
        .any(|other| other.name != name && other.waiting && !other.control_plane);
    !(control_plane && worker_waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(name: &str, busy: bool, waiting: bool, control_plane: bool) -> Other {
        Other {
            name: name.into(),
            busy,
            waiting,
            control_plane,
        }
    }

    #[test]
    fn one_at_a_time_by_default() {
        let turns = Turns::new(1);
        assert!(turns.take("a", false, &[]));
        assert!(turns.take("a", false, &[]), "again is the same turn");
        assert!(
            !turns.take("b", false, &[]),
            "the cache does not show a yet"
        );
        assert!(!turns.take("b", false, &[other("a", true, false, false)]));
        turns.end("a");
        assert!(
            !turns.take("b", false, &[other("a", true, false, false)]),
            "the cache still does"
        );
        assert!(turns.take("b", false, &[other("a", false, false, false)]));
    }

    #[test]
    fn more_at_a_time_if_asked_for() {
        let turns = Turns::new(2);
        assert!(turns.take("a", false, &[]) && turns.take("b", false, &[]));
        assert!(!turns.take("c", false, &[]));
    }

    #[test]
    fn after_a_restart_the_cache_counts() {
        let turns = Turns::new(1);
        let others = [other("a", true, false, false)];
        assert!(!turns.could_begin("b", false, &others));
        assert!(turns.could_begin("a", false, &others), "its own turn");
    }

    #[test]
    fn the_control_plane_comes_after_the_workers() {
        let turns = Turns::new(1);
        let waiting = [other("w", false, true, false)];
        assert!(!turns.could_begin("cp", true, &waiting));
        assert!(turns.could_begin("w2", false, &waiting));
        let other_control_plane = [other("cp2", false, true, true)];
        assert!(turns.could_begin("cp", true, &other_control_plane));
    }
}
