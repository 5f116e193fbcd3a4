//! Whose turn it is on a node: tests that only run pods go first, a few together; then those that reconfigure it, each
//! alone. So the node is made ready once for all that want it so.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many tests run pods on a node at the same time.
const TOGETHER: usize = 4;

static NODES: LazyLock<Mutex<HashMap<String, Arc<Node>>>> = LazyLock::new(Mutex::default);

/// The right to use a node, until dropped.
#[derive(Debug)]
pub struct Turn {
    node: Arc<Node>,
    is_alone: bool,
}

#[derive(Debug, Default)]
struct Node {
    state: Mutex<State>,
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
        let node = find(node);
        node.lock().waiting += 1;
        let wait = Waiting(&node);
        node.take(|state| {
            let free = !state.alone && state.together < TOGETHER;
            state.together += usize::from(free);
            free
        })
        .await;
        drop(wait);
        Self {
            node,
            is_alone: false,
        }
    }

    /// Waits until no other test is on the node, nor waits to run pods there.
    pub async fn alone(node: &str) -> Self {
        let node = find(node);
        node.take(|state| {
            let free = !state.alone && state.together == 0 && state.waiting == 0;
            state.alone |= free;
            free
        })
        .await;
        Self {
            node,
            is_alone: true,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.node.lock();
        if self.is_alone {
            state.alone = false;
        } else {
            state.together -= 1;
        }
        drop(state);
        self.node.changed.notify_waiters();
    }
}

/// One that waits to run pods, however its wait ends.
struct Waiting<'a>(&'a Node);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
        self.0.changed.notify_waiters();
    }
}

impl Node {
    async fn take(&self, mut free: impl FnMut(&mut State) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look, or a change right after it would go unheard.
            changed.as_mut().enable();
            if free(&mut self.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(node: &str) -> Arc<Node> {
    let mut nodes = NODES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(nodes.entry(node.to_owned()).or_default())
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn those_that_run_pods_go_first_and_a_few_together() {
        let first = Turn::alone("a-node").await;
        let mut second = Box::pin(Turn::alone("a-node"));
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
        Turn::alone("a-node").now_or_never().unwrap();
    }
}
