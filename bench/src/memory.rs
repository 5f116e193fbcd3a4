//! What pods take while they are kept and have nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::processes::{self, Size};
use crate::rounds::hands;
use crate::session::Session;
use crate::subject::{KEPT, PAUSELESS_PYTHON, PYTHON_COMMAND, PYTHONS, Subject};
use crate::{life, say};

/// Between two looks that should agree.
const SETTLE: Duration = Duration::from_millis(500);

/// Pods of one kind that are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The kind.
    pub(crate) subject: String,
    /// How many.
    pub(crate) pods: u32,
    /// What all processes of a pod take, in KiB.
    pub(crate) pod: Size,
    /// What it consists of.
    pub(crate) processes: Vec<Group>,
    /// What the kernel charges the cgroup above all pods, for each of them, in KiB.
    pub(crate) charged: Option<f64>,
    /// The part of it that is the kernel's own.
    pub(crate) charged_kernel: Option<f64>,
}

/// Processes of one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// The name.
    pub(crate) name: String,
    /// How many a pod has.
    pub(crate) a_pod: f64,
    /// What each takes, in KiB.
    pub(crate) each: Size,
}

/// Keeps pods of each kind, looks, and removes them again.
///
/// # Errors
/// When a pod fails.
pub(crate) fn measure(session: &Session) -> Result<Vec<Kept>> {
    let mut all = Vec::new();
    let pythons = session.there(&[PYTHON_COMMAND, PAUSELESS_PYTHON]);
    let kinds = session
        .there(KEPT)
        .into_iter()
        .map(|subject| (subject, session.args.pods.clone()));
    let kinds = kinds.chain(pythons.into_iter().map(|subject| (subject, vec![PYTHONS])));
    for (number, (subject, counts)) in kinds.enumerate() {
        let kept = keep(session, &subject, number, &counts)
            .with_context(|| format!("keeping pods of {}", subject.name))?;
        for kept in &kept {
            say(&format!(
                "    {:>4} x {:<18} PSS {:.0} KiB, USS {:.0} KiB a pod",
                kept.pods, kept.subject, kept.pod.pss, kept.pod.uss
            ));
        }
        all.extend(kept);
    }
    Ok(all)
}

fn keep(session: &Session, subject: &Subject, number: usize, counts: &[u32]) -> Result<Vec<Kept>> {
    let systemd = session.node.driver == slipway_e2e_cri::args::Driver::Systemd;
    let parent = if systemd {
        format!("slipwaybench{number}.slice")
    } else {
        format!("/slipwaybench{number}")
    };
    let before = processes::all();
    let mut sandboxes = Vec::new();
    let mut kept = Vec::new();
    for &count in counts {
        let missing = count.saturating_sub(u32::try_from(sandboxes.len())?);
        sandboxes.extend(hands(session, missing, |connection, _| {
            let begun = life::begin(
                &session.node,
                connection,
                subject,
                subject.stay,
                Some(&parent),
            )?;
            Ok(begun.sandbox)
        })?);
        let processes = settled(&before);
        let (pod, groups) = by_name(&processes, count);
        let charge =
            |file| charge(parent.trim_start_matches('/'), file).map(|kib| kib / f64::from(count));
        kept.push(Kept {
            subject: subject.name.to_owned(),
            pods: count,
            pod,
            processes: groups,
            charged: charge(["memory.usage_in_bytes", "memory.current"]),
            charged_kernel: charge(["memory.kmem.usage_in_bytes", "memory.stat"]),
        });
    }
    let many = u32::try_from(sandboxes.len())?;
    hands(session, many, |connection, number| {
        life::end(connection, &sandboxes[number as usize])
    })?;
    Ok(kept)
}

/// The processes that were not there before, once two looks agree within half a per cent.
fn settled(before: &BTreeSet<u32>) -> Vec<(String, Size)> {
    let look = || -> Vec<(String, Size)> {
        let now = processes::all();
        now.difference(before)
            .filter_map(|pid| processes::look(*pid))
            .collect()
    };
    let total = |all: &[(String, Size)]| all.iter().map(|(_, size)| size.pss).sum::<f64>();
    let mut last = look();
    // What never settles is told as it is.
    for _ in 0..20 {
        std::thread::sleep(SETTLE);
        let now = look();
        let agree =
            now.len() == last.len() && (total(&now) - total(&last)).abs() <= total(&now) / 200.0;
        last = now;
        if agree {
            break;
        }
    }
    last
}

/// What a pod takes, and what that is.
fn by_name(processes: &[(String, Size)], pods: u32) -> (Size, Vec<Group>) {
    let mut sums: BTreeMap<&str, (u32, Size)> = BTreeMap::new();
    let mut total = Size::default();
    for (name, size) in processes {
        let (count, sum) = sums.entry(name).or_default();
        *count += 1;
        *sum += *size;
        total += *size;
    }
    let groups = sums.into_iter().map(|(name, (count, sum))| Group {
        name: name.to_owned(),
        a_pod: f64::from(count) / f64::from(pods.max(1)),
        each: sum.each(count),
    });
    (total.each(pods), groups.collect())
}

/// A figure of a cgroup's memory in KiB, by the names of its file in cgroup v1 and v2.
fn charge(cgroup: &str, [v1, v2]: [&str; 2]) -> Option<f64> {
    let root = Path::new("/sys/fs/cgroup");
    let file: PathBuf = if root.join("memory").exists() {
        root.join("memory").join(cgroup).join(v1)
    } else {
        root.join(cgroup).join(v2)
    };
    let text = std::fs::read_to_string(file).ok()?;
    // Either a number, or a table with a line for the kernel's.
    let kernel = text.lines().find_map(|line| line.strip_prefix("kernel "));
    let bytes: f64 = kernel.unwrap_or(&text).trim().parse().ok()?;
    Some(bytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_by_their_names() {
        let size = |pss| Size {
            pss,
            uss: pss / 2.0,
        };
        let processes = [
            ("shim".to_owned(), size(100.0)),
            ("worker".to_owned(), size(30.0)),
            ("shim".to_owned(), size(200.0)),
            ("worker".to_owned(), size(50.0)),
        ];
        let (pod, groups) = by_name(&processes, 2);
        assert_eq!((pod.pss, pod.uss), (190.0, 95.0));
        let flat: Vec<_> = groups
            .iter()
            .map(|group| (group.name.as_str(), group.a_pod, group.each.pss))
            .collect();
        assert_eq!(flat, [("shim", 1.0, 150.0), ("worker", 1.0, 40.0)]);
    }
}
