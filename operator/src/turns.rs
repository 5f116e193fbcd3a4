//! Whose turn it is: how many nodes may be changed at a time, one shim of a node after the other, workers
//! before the control plane.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use slipway_crds::{NodeShim, Phase, conditions};

use crate::rollout::STOPPED;

/// The reason in `Progressing` of a node that waits for its turn.
pub const WAITING: &str = "WaitingForTurn";

/// A shim on a node, as far as turns go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Name of its `NodeShim`.
    pub name: String,
    /// The node.
    pub node: String,
    /// The shim.
    pub shim: String,
    /// It is being changed.
    pub busy: bool,
    /// It waits for its turn.
    pub waiting: bool,
    /// Its node carries the control plane.
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
            node: object.spec.node_name.clone(),
            shim: object.spec.shim.clone(),
            busy: status.is_some_and(|status| status.phase.is_busy()),
            waiting: fresh || waits_for(object, WAITING),
            control_plane,
        }
    }
}

/// Who asks for a turn.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Name of its `NodeShim`.
    pub name: &'a str,
    /// The node.
    pub node: &'a str,
    /// The shim.
    pub shim: &'a str,
    /// Its node carries the control plane.
    pub control_plane: bool,
    /// How many nodes of this shim may be changed at a time; none: as many as of all shims together.
    pub at_a_time: Option<usize>,
}

/// Whether a `NodeShim` waits for others.
#[must_use]
pub fn is_waiting(object: &NodeShim) -> bool {
    waits_for(object, WAITING) || waits_for(object, STOPPED)
}

fn waits_for(object: &NodeShim, reason: &str) -> bool {
    object.status.as_ref().is_some_and(|status| {
        matches!(status.phase, Phase::Pending | Phase::Draining)
            && conditions::find(&status.conditions, conditions::PROGRESSING)
                .is_some_and(|condition| condition.reason == reason)
    })
}

/// Turns that were given. The cache lags behind what was just written, so those given here count
/// until the cache shows them; after a restart the cache alone knows, and it has been read in full.
#[derive(Debug)]
pub struct Turns {
    most: usize,
    /// Node and shim, by the name of the `NodeShim`.
    given: Mutex<Given>,
}

type Given = BTreeMap<String, (String, String)>;

impl Turns {
    /// At most so many nodes at a time, of all shims together.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            given: Mutex::new(BTreeMap::new()),
        }
    }

    /// Whether it could begin now.
    #[must_use]
    pub fn could_begin(&self, asker: &Asker<'_>, others: &[Other]) -> bool {
        may_begin(asker, others, &self.lock(), self.most)
    }

    /// Gives it its turn, if it may begin now.
    #[must_use]
    pub fn take(&self, asker: &Asker<'_>, others: &[Other]) -> bool {
        let mut given = self.lock();
        let may = may_begin(asker, others, &given, self.most);
        if may {
            let whose = (asker.node.to_owned(), asker.shim.to_owned());
            given.insert(asker.name.to_owned(), whose);
        }
        may
    }

    /// Ends the turns of those that are no more: an object whose finalizer somebody has taken off goes without a word.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| is_there(name));
    }

    /// Its turn is over.
    pub fn end(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn may_begin(asker: &Asker<'_>, others: &[Other], given: &Given, most: usize) -> bool {
    if given.contains_key(asker.name) {
        return true;
    }
    let mut holders: BTreeMap<&str, (&str, &str)> = given
        .iter()
        .map(|(name, (node, shim))| (&**name, (&**node, &**shim)))
        .collect();
    let busy = others.iter().filter(|other| other.busy);
    holders.extend(busy.map(|other| (&*other.name, (&*other.node, &*other.shim))));
    holders.remove(asker.name);
    if holders.values().any(|(node, _)| *node == asker.node) {
        return false;
    }
    let of_shim = holders.values().filter(|(_, shim)| *shim == asker.shim);
    if holders.len() >= most
        || asker
            .at_a_time
            .is_some_and(|limit| of_shim.count() >= limit)
    {
        return false;
    }
    // A broken configuration must meet a worker first: the control plane may be one node.
    let worker_waits = others.iter().any(|other| {
        other.name != asker.name
            && other.shim == asker.shim
            && other.waiting
            && !other.control_plane
    });
    !(asker.control_plane && worker_waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(node: &str, shim: &str, state: &str, control_plane: bool) -> Other {
        Other {
            name: format!("{node}.{shim}"),
            node: node.into(),
            shim: shim.into(),
            busy: state == "busy",
            waiting: state == "waits",
            control_plane,
        }
    }

    /// A worker that asks for the shim `s`.
    struct Node(&'static str, Option<usize>);

    impl Node {
        fn ask<T>(&self, of: impl FnOnce(&Asker<'_>) -> T) -> T {
            of(&Asker {
                name: &format!("{}.s", self.0),
                node: self.0,
                shim: "s",
                control_plane: self.0.starts_with("cp"),
                at_a_time: self.1,
            })
        }

        fn takes(&self, turns: &Turns, others: &[Other]) -> bool {
            self.ask(|asker| turns.take(asker, others))
        }

        fn could(&self, turns: &Turns, others: &[Other]) -> bool {
            self.ask(|asker| turns.could_begin(asker, others))
        }
    }

    #[test]
    fn one_at_a_time_as_a_shim_says() {
        let turns = Turns::new(10);
        let (a, b) = (Node("a", Some(1)), Node("b", Some(1)));
        assert!(a.takes(&turns, &[]));
        assert!(a.takes(&turns, &[]), "again is the same turn");
        assert!(!b.takes(&turns, &[]), "the cache does not show a yet");
        assert!(!b.takes(&turns, &[other("a", "s", "busy", false)]));
        turns.end("a.s");
        let still = [other("a", "s", "busy", false)];
        assert!(!b.takes(&turns, &still), "the cache still shows a");
        assert!(b.takes(&turns, &[other("a", "s", "", false)]));
    }

    #[test]
    fn a_turn_ends_with_its_object() {
        let turns = Turns::new(1);
        assert!(Node("a", None).takes(&turns, &[]));
        turns.keep(|name| name == "a.s");
        assert!(!Node("b", None).takes(&turns, &[]));
        turns.keep(|_| false);
        assert!(Node("b", None).takes(&turns, &[]));
    }

    #[test]
    fn shims_have_turns_of_their_own_up_to_the_operators_limit() {
        let busy = [other("a", "t", "busy", false)];
        assert!(Node("b", Some(1)).could(&Turns::new(10), &busy));
        assert!(!Node("b", Some(1)).could(&Turns::new(1), &busy));
        let two = [
            other("a", "s", "busy", false),
            other("b", "s", "busy", false),
        ];
        assert!(!Node("c", Some(2)).could(&Turns::new(10), &two));
        assert!(Node("c", Some(3)).could(&Turns::new(10), &two));
        assert!(Node("c", None).could(&Turns::new(3), &two));
        assert!(!Node("c", None).could(&Turns::new(2), &two));
    }

    #[test]
    fn a_node_with_two_shims_is_changed_by_one_at_a_time() {
        let turns = Turns::new(10);
        let busy = [other("a", "t", "busy", false)];
        assert!(!Node("a", None).could(&turns, &busy));
        assert!(Node("a", None).takes(&turns, &[]));
        let second = Asker {
            name: "a.t",
            node: "a",
            shim: "t",
            control_plane: false,
            at_a_time: None,
        };
        assert!(
            !turns.take(&second, &[]),
            "the cache does not show the first yet"
        );
        turns.end("a.s");
        assert!(turns.take(&second, &[]));
    }

    #[test]
    fn after_a_restart_the_cache_counts() {
        let turns = Turns::new(10);
        let others = [other("a", "s", "busy", false)];
        assert!(!Node("b", Some(1)).could(&turns, &others));
        assert!(Node("a", Some(1)).could(&turns, &others), "its own turn");
    }

    #[test]
    fn the_control_plane_comes_after_the_workers_of_its_shim() {
        let turns = Turns::new(10);
        let waiting = [other("w", "s", "waits", false)];
        assert!(!Node("cp", None).could(&turns, &waiting));
        assert!(Node("w2", None).could(&turns, &waiting));
        assert!(Node("cp", None).could(&turns, &[other("cp2", "s", "waits", true)]));
        assert!(Node("cp", None).could(&turns, &[other("w", "t", "waits", false)]));
    }
}
