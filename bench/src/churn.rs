//! Pods that come and go, and what stays of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use slipway_e2e_cri::grpc::Connection;

use crate::cri::PATIENCE;
use crate::rounds::hands;
use crate::session::Session;
use crate::subject::{HELLO, HTTP, PAUSELESS_HELLO, PAUSELESS_HTTP, Shows};
use crate::{life, processes, say};

/// How long containerd and systemd may take to tidy up.
const TIDY: Duration = Duration::from_secs(60);

/// How often containerd's memory is looked at.
const LOOKS: u32 = 10;

/// What was there before and after.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Churn {
    /// Pods that came and went in between.
    pub(crate) pods: u32,
    /// And before, so that everything is there that is made once.
    pub(crate) before: u32,
    /// Pods a second.
    pub(crate) rate: f64,
    /// How many there are of each thing, before and after.
    pub(crate) things: BTreeMap<String, (u64, u64)>,
    /// What containerd has in memory along the way, in KiB.
    pub(crate) containerd: Vec<f64>,
}

impl Churn {
    /// The things of which there are more than before.
    pub(crate) fn grown(&self) -> Vec<&str> {
        let grown = self
            .things
            .iter()
            .filter(|(_, (before, after))| after > before);
        grown.map(|(name, _)| name.as_str()).collect()
    }
}

/// Lets pods come and go.
///
/// # Errors
/// When a pod fails.
pub(crate) fn measure(session: &Session) -> Result<Churn> {
    let pods = session.args.churn;
    let warm = (pods / 10).clamp(4, 50);
    hands(session, warm, |connection, number| {
        one(session, connection, number)
    })?;
    let before = settled(session, None)?;
    let mut containerd = vec![memory(session)?];
    let begun = Instant::now();
    let mut done = 0;
    for look in 1..=LOOKS {
        let until = pods * look / LOOKS;
        hands(session, until - done, |connection, number| {
            one(session, connection, done + number)
        })?;
        done = until;
        containerd.push(memory(session)?);
        say(&format!(
            "    {done} pods, containerd {:.1} MiB",
            memory(session)? / 1024.0
        ));
    }
    let rate = f64::from(pods) / begun.elapsed().as_secs_f64();
    let after = settled(session, Some(&before))?;
    let things = before.into_iter().map(|(name, count)| {
        let now = after.get(&name).copied().unwrap_or_default();
        (name, (count, now))
    });
    Ok(Churn {
        pods,
        before: warm,
        rate,
        things: things.collect(),
        containerd,
    })
}

/// A pod's life, of several kinds: some end by themselves, some are killed.
fn one(session: &Session, connection: &mut Connection, number: u32) -> Result<()> {
    let (subject, stays) = match number % 6 {
        0 => (HELLO, false),
        1 => (HELLO, true),
        2 => (HTTP, true),
        3 => (PAUSELESS_HELLO, false),
        4 => (PAUSELESS_HELLO, true),
        _ => (PAUSELESS_HTTP, true),
    };
    let args = if stays { subject.stay } else { subject.once };
    let begun = life::begin(&session.node, connection, &subject, args, None)?;
    if subject.shows == Shows::Line && !stays {
        session.exits.wait(&begun.container, PATIENCE)?;
    }
    life::end(connection, &begun.sandbox)?;
    Ok(())
}

fn memory(session: &Session) -> Result<f64> {
    let pid = session.node.runtime.process()?;
    processes::resident(pid.as_raw_nonzero().get().unsigned_abs())
}

/// What there is, once nothing is more than at `first`, or the time for that is over.
fn settled(
    session: &Session,
    first: Option<&BTreeMap<String, u64>>,
) -> Result<BTreeMap<String, u64>> {
    let deadline = Instant::now() + TIDY;
    let mut last = count(session)?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = count(session)?;
        let done = match first {
            Some(first) => now
                .iter()
                .all(|(name, count)| first.get(name) >= Some(count)),
            None => now == last,
        };
        if done || Instant::now() > deadline {
            return Ok(now);
        }
        last = now;
    }
}

/// How many there are of each thing that a pod is made of.
fn count(session: &Session) -> Result<BTreeMap<String, u64>> {
    let containerd = session.node.runtime.process()?.as_raw_nonzero();
    let paths = &session.node.paths;
    let lines =
        |path: &str| -> Result<u64> { Ok(std::fs::read_to_string(path)?.lines().count() as u64) };
    let things = [
        ("processes", processes::all().len() as u64),
        ("mounts", lines("/proc/self/mountinfo")?),
        ("cgroups", entries(Path::new("/sys/fs/cgroup"), true)),
        ("Unix sockets", lines("/proc/net/unix")?),
        (
            "network interfaces",
            entries(Path::new("/sys/class/net"), false),
        ),
        ("files below /run", entries(Path::new("/run"), false)),
        ("files of containerd's state", entries(&paths.state, false)),
        ("pods and containers that CRI keeps", {
            let kept = ["sandboxes", "containers"].map(|name| paths.cri_root.join(name));
            kept.iter().map(|path| entries(path, false)).sum()
        }),
        ("compiled modules", entries(&session.args.cache, false)),
        (
            "files that containerd has open",
            entries(Path::new(&format!("/proc/{containerd}/fd")), false),
        ),
    ];
    Ok(things
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect())
}

/// The entries below a directory, in whatever depth; only the directories, if those are meant.
fn entries(directory: &Path, directories: bool) -> u64 {
    let mut count = 0;
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        // What goes meanwhile does not count.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            count += 1 + entries(&entry.path(), directories);
        } else if !directories {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_in_every_depth() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/native-http");
        assert_eq!(entries(&here, false), 3);
        assert_eq!(entries(&here, true), 1);
        assert_eq!(entries(Path::new("/nonexistent"), false), 0);
    }

    #[test]
    fn what_grew_is_named() {
        let things = [("a", (1, 1)), ("b", (1, 2)), ("c", (2, 1))];
        let things = things.map(|(name, counts)| (name.to_owned(), counts));
        let churn = Churn {
            pods: 1,
            before: 0,
            rate: 1.0,
            things: things.into(),
            containerd: Vec::new(),
        };
        assert_eq!(churn.grown(), ["b"]);
    }
}
