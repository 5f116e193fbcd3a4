//! What pods leave on a node: processes, mounts, cgroups, sockets and files. A case that leaves any has failed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::runtime::Paths;

/// One line for each thing, so that two looks can be compared and the difference read.
pub type Leavings = BTreeSet<String>;

/// Looks. `ids` are the pods and containers whose cgroups are looked for, `sockets` those their shims had.
#[must_use]
pub fn look(paths: &Paths, ids: &[String], sockets: &[PathBuf]) -> Leavings {
    let mut found = Leavings::new();
    processes(&paths.shim, &mut found);
    mounts(paths, &mut found);
    for id in ids {
        cgroups(Path::new("/sys/fs/cgroup"), id, &mut found);
    }
    found.extend(
        sockets
            .iter()
            .filter(|path| path.exists())
            .map(|path| format!("socket {}", path.display())),
    );
    let runtime = "io.containerd.runtime.v2.task/k8s.io";
    files(&paths.state.join(runtime), &mut found);
    files(&paths.root.join(runtime), &mut found);
    for directory in [&paths.cri_state, &paths.cri_root] {
        files(&directory.join("sandboxes"), &mut found);
        files(&directory.join("containers"), &mut found);
    }
    files(&paths.state.join("netns"), &mut found);
    files(&paths.cri_state.join("netns"), &mut found);
    found
}

/// Every process of the shim's programs.
fn processes(shim: &Path, found: &mut Leavings) {
    let Some(directory) = shim.parent() else {
        return;
    };
    for pid in numbers(Path::new("/proc")) {
        // A process that ends meanwhile has left nothing.
        if let Ok(program) = std::fs::read_link(format!("/proc/{pid}/exe"))
            && program.starts_with(directory)
        {
            found.insert(format!("process {pid} {}", program.display()));
        }
    }
}

/// The entries of a directory that are numbers.
pub fn numbers(directory: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn mounts(paths: &Paths, found: &mut Leavings) {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for line in table.lines() {
        if let Some(point) = line.split(' ').nth(4)
            && (Path::new(point).starts_with(&paths.state)
                || Path::new(point).starts_with(&paths.root))
        {
            found.insert(format!("mount {point}"));
        }
    }
}

/// Every cgroup with an id in its name.
fn cgroups(directory: &Path, id: &str, found: &mut Leavings) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        if entry.file_name().to_string_lossy().contains(id) {
            found.insert(format!("cgroup {}", path.display()));
        } else {
            cgroups(&path, id, found);
        }
    }
}

/// Whether there is a cgroup with an id in its name.
#[must_use]
pub fn has_cgroup(id: &str) -> bool {
    let mut found = Leavings::new();
    cgroups(Path::new("/sys/fs/cgroup"), id, &mut found);
    !found.is_empty()
}

fn files(directory: &Path, found: &mut Leavings) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        // containerd hides a bundle before it removes it, and killed in between never looks at it again
        // (core/runtime/v2/bundle.go@v2.4.2, atomicDelete; shim_load.go).
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        found.insert(format!("file {}", entry.path().display()));
    }
}
