//! Making the directory of cgroup v2.

use super::Dir;
use crate::file::{self, FileError};

/// Makes the directories down to the cgroup, and hands every controller there is from each to the one below it. What
/// cannot be handed down is found out where a limit needs it, as in runc (opencontainers/cgroups
/// fs2/create.go@v0.0.6).
pub(super) fn create(dir: &Dir) -> Result<(), FileError> {
    let below = dir.path.strip_prefix(&dir.mount).unwrap_or(&dir.path);
    let mut current = dir.mount.clone();
    for name in below {
        delegate(&current);
        current = current.join(name);
        file::make_dir(&current)?;
    }
    Ok(())
}

fn delegate(dir: &std::path::Path) {
    let (Ok(available), Ok(enabled)) = (
        file::read(&dir.join("cgroup.controllers")),
        file::read(&dir.join("cgroup.subtree_control")),
    ) else {
        return;
    };
    let control = dir.join("cgroup.subtree_control");
    let wanted = missing(&available, &enabled);
    // All or nothing when written together, so one by one if one of them is refused.
    if !wanted.is_empty() && file::write(&control, &wanted.join(" ")).is_err() {
        for one in wanted {
            let _ = file::write(&control, &one);
        }
    }
}

fn missing(available: &str, enabled: &str) -> Vec<String> {
    let is_enabled = |name: &&str| enabled.split_whitespace().any(|other| other == *name);
    available
        .split_whitespace()
        .filter(|name| !is_enabled(name))
        .map(|name| format!("+{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn controllers_are_handed_down_to_the_parent_of_the_cgroup() {
        let root = tempfile::tempdir().expect("temp dir");
        for at in ["", "a", "a/b"] {
            fs::create_dir_all(root.path().join(at)).expect("mkdir");
            fs::write(
                root.path().join(at).join("cgroup.controllers"),
                "cpu memory pids\n",
            )
            .expect("write");
            fs::write(
                root.path().join(at).join("cgroup.subtree_control"),
                "memory",
            )
            .expect("write");
        }
        let path = root.path().join("a/b");
        create(&Dir {
            controllers: vec![],
            mount: root.path().to_owned(),
            path,
        })
        .expect("made");
        let read = |at: &str| {
            fs::read_to_string(root.path().join(at).join("cgroup.subtree_control")).expect("read")
        };
        assert_eq!(read("a"), "+cpu +pids");
        assert_eq!(read("a/b"), "memory", "nothing below the cgroup itself");
    }
}
