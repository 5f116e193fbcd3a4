//! Whose turn it is on a node: tests that only run pods go first, a few together; then those that reconfigure it, each
//! alone. So the node is made ready once for all that want it so.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many tests run pods on a node at the same time.
const TOGETHER: usize = 4;

static NODES: LazyLock<Nodes> = LazyLock::new(Nodes::default);

/// The right to use one node or several, until dropped.
#[derive(Debug)]
pub struct Turn {
    nodes: Vec<String>,
    is_alone: bool,
}

/// Who is on each node.
#[derive(Debug, Default)]
struct Nodes {
    states: Mutex<BTreeMap<String, State>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    together: usize,
    /// Tests that wait to run pods.
    waiting: usize,
    alone: bool,
}

impl Turn {
    /// Waits until no test reconfigures the node, and not too many run pods there.
    pub async fn shared(node: &str) -> Self {
        let waiting = Waiting::on(node);
        let free = |state: &State| !state.alone && state.together < TOGETHER;
        NODES.take(&[node], free, |state| state.together += 1).await;
        drop(waiting);
        Self {
            nodes: vec![node.to_owned()],
            is_alone: false,
        }
    }

    /// Waits until no other test is on any of the nodes, nor waits to run pods there. Who waits for one of them does not
    /// hold another.
    pub async fn alone(nodes: &[&str]) -> Self {
        let free = |state: &State| !state.alone && state.together == 0 && state.waiting == 0;
        NODES.take(nodes, free, |state| state.alone = true).await;
        Self {
            nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
            is_alone: true,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        for node in &self.nodes {
            NODES.change(node, |state| {
                if self.is_alone {
                    state.alone = false;
                } else {
                    state.together -= 1;
                }
            });
        }
    }
}

/// One that waits to run pods, however its wait ends.
struct Waiting<'a>(&'a str);

impl<'a> Waiting<'a> {
    fn on(node: &'a str) -> Self {
        NODES.change(node, |state| state.waiting += 1);
        Self(node)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        NODES.change(self.0, |state| state.waiting -= 1);
    }
}

impl Nodes {
    /// Waits until all of `nodes` are `free`, and then has them at once.
    async fn take(&self, nodes: &[&str], free: fn(&State) -> bool, have: fn(&mut State)) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look, or a change right after it would go unheard.
            changed.as_mut().enable();
            {
                let mut states = self.lock();
                if nodes.iter().all(|&node| states.get(node).is_none_or(free)) {
                    for &node in nodes {
                        have(states.entry(node.to_owned()).or_default());
                    }
                    return;
                }
            }
            changed.await;
        }
    }

    fn change(&self, node: &str, change: impl FnOnce(&mut State)) {
        change(self.lock().entry(node.to_owned()).or_default());
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn those_that_run_pods_go_first_and_a_few_together() {
        let first = Turn::alone(&["a-node"]).await;
        let mut second = Box::pin(Turn::alone(&["a-node"]));
        assert!(poll!(&mut second).is_pending());
        let mut shared: Vec<_> = (0..=TOGETHER)
            .map(|_| Box::pin(Turn::shared("a-node")))
            .collect();
        for turn in &mut shared {
            assert!(poll!(turn).is_pending());
        }
        drop(first);
        let mut last = shared.pop().unwrap();
        let turns: Vec<_> = shared
            .into_iter()
            .map(|turn| turn.now_or_never().unwrap())
            .collect();
        assert!(poll!(&mut last).is_pending());
        assert!(poll!(&mut second).is_pending());
        drop(turns);
        assert!(poll!(&mut second).is_pending(), "one still waits");
        let last = last.now_or_never().unwrap();
        assert!(poll!(&mut second).is_pending());
        drop(last);
        let second = second.now_or_never().unwrap();
        let mut given_up = Box::pin(Turn::shared("a-node"));
        assert!(poll!(&mut given_up).is_pending());
        drop((given_up, second));
        Turn::alone(&["a-node"]).now_or_never().unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_one_node_does_not_hold_another() {
        let one = Turn::alone(&["one"]).await;
        let mut both = Box::pin(Turn::alone(&["one", "two"]));
        assert!(poll!(&mut both).is_pending());
        let two = Turn::alone(&["two"]).now_or_never().unwrap();
        drop(one);
        assert!(poll!(&mut both).is_pending());
        drop(two);
        let both = both.now_or_never().unwrap();
        assert!(Turn::shared("two").now_or_never().is_none());
        drop(both);
    }
}
