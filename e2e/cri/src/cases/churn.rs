//! Many pods. What they leave is looked for after every case; here there is more to find.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use super::passed;
use crate::node::Node;
use crate::report::Outcome;

/// How many pods are worked on at once.
const AT_ONCE: u32 = 4;

pub(super) fn twenty_pods_leave_nothing(node: &Node) -> Result<Outcome> {
    churn(node, 20)
}

pub(super) fn two_hundred_pods_leave_nothing(node: &Node) -> Result<Outcome> {
    churn(node, 200)
}

fn churn(node: &Node, pods: u32) -> Result<Outcome> {
    let next = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= pods {
                            return Ok(());
                        }
                        one(node, number).with_context(|| format!("pod {number} of {pods}"))?;
                    }
                })
            })
            .collect();
        let mut results = hands.into_iter().map(|hand| {
            hand.join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
        });
        results.try_for_each(|result: Result<()>| result)
    })?;
    passed()
}

/// One pod's life, of several kinds.
fn one(node: &Node, number: u32) -> Result<()> {
    let pod = node.pod()?;
    match number % 4 {
        0 => {
            pod.run("job.wasm", &["--exit", "2"])?.ends_with(2)?;
        }
        1 => {
            pod.run("trap.wasm", &[])?.ends_with(134)?;
            pod.create_with("job.wasm", &[], |_| {})?;
        }
        2 => {
            let container = pod.run("ticker.wasm", &[])?;
            container.says("tick 1")?;
            container.stop(5)?;
            container.remove()?;
        }
        _ => {
            pod.run("spin.wasm", &[])?.says("spinning")?;
        }
    }
    pod.remove()
}
