//! The way back over a reboot: a systemd unit on the node's own disk, there while a transaction is open.
//!
//! A power cut takes the watchdog with it. Should containerd not start with what lies on the disk then, no pod could put
//! it right. So the files go back before containerd starts. The unit is never loaded by the systemd that runs now (nothing
//! is reloaded), and does nothing without an open transaction, should it be left behind.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::host::HostRoot;
use crate::host::files::{self, Attributes, FileError, MAX_CONFIG_BYTES, io_error};
use crate::journal::{STATE, Transaction};

/// The unit's name.
pub const UNIT: &str = "slipway-recovery.service";

/// Where administrators' units are (systemd.unit(5)).
const UNITS: &str = "/etc/systemd/system";

/// Says in the unit which folder was made for it; systemd skips keys that begin with `X-`.
const MADE: &str = "X-SlipwayMade=";

/// Long enough for a slow disk. containerd starts afterwards in any case: it wants the unit, and does not require it.
const LIMIT_SECONDS: u32 = 90;

/// Puts the unit on the node, wanted by containerd's own and ordered before it.
///
/// # Errors
/// When a file cannot be written; then nothing of it is left.
pub fn arm(root: &HostRoot, transaction: &Transaction, installer: &Path) -> Result<(), FileError> {
    let folder = wants(transaction);
    let local = root.local(&folder);
    let made = files::create_folders(&local)?;
    let text = text(
        transaction,
        installer,
        (!made.is_empty()).then_some(&folder),
    );
    let unit = root.local(Path::new(UNITS)).join(UNIT);
    let link = local.join(UNIT);
    let written = files::write_atomic(&unit, text.as_bytes(), &Attributes::ours())
        .and_then(|()| files::remove(&link))
        .and_then(|()| symlink(Path::new(UNITS).join(UNIT), &link).map_err(io_error("link", &link)))
        .and_then(|()| files::sync_folder(&local));
    if written.is_err() {
        // What could not be written is not of use half.
        let _ = disarm(root);
        let _ = files::remove_folder_if_empty(&local);
    }
    written
}

/// Takes the unit away, and the folder that was made for its link. That there is none is success.
///
/// # Errors
/// When a file cannot be removed.
pub fn disarm(root: &HostRoot) -> Result<(), FileError> {
    let units = root.local(Path::new(UNITS));
    let unit = units.join(UNIT);
    let made = match files::read(&unit, MAX_CONFIG_BYTES) {
        Ok(Some((bytes, _))) => String::from_utf8_lossy(&bytes)
            .lines()
            .find_map(|line| line.strip_prefix(MADE))
            .map(PathBuf::from),
        _ => None,
    };
    for entry in fs::read_dir(&units).into_iter().flatten().flatten() {
        let folder = entry.path();
        if folder
            .extension()
            .is_some_and(|extension| extension == "wants")
        {
            remove(&folder.join(UNIT))?;
        }
    }
    if let Some(made) = made {
        files::remove_folder_if_empty(&root.local(&made))?;
    }
    remove(&unit)
}

/// A read-only file system refuses the removal even of what is not there, and hosts that have one are only adopted.
fn remove(path: &Path) -> Result<(), FileError> {
    match path.symlink_metadata() {
        Ok(_) => files::remove(path),
        Err(_) => Ok(()),
    }
}

fn wants(transaction: &Transaction) -> PathBuf {
    Path::new(UNITS).join(format!("{}.wants", transaction.daemon.unit))
}

fn text(transaction: &Transaction, installer: &Path, made: Option<&PathBuf>) -> String {
    let mut mounts = vec![Path::new(STATE), installer];
    mounts.extend(
        transaction
            .changes
            .iter()
            .filter_map(|change| change.path.parent()),
    );
    mounts.dedup();
    let mounts: Vec<String> = mounts.into_iter().map(|path| quoted(path, false)).collect();
    let made = made.map(|folder| format!("{MADE}{}\n", folder.display()));
    format!(
        "# Written by slipway-node-installer while it changes containerd's configuration, and removed when that is done.\n\
         [Unit]\n\
         Description=Slipway: puts containerd's configuration back if the machine stopped in the middle of a change\n\
         ConditionPathExists={STATE}/journal/open.json\n\
         RequiresMountsFor={}\n\
         Before={}\n\
         {}\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={} recover --host-root / --install-root {}\n\
         TimeoutStartSec={LIMIT_SECONDS}\n",
        mounts.join(" "),
        transaction.daemon.unit,
        made.unwrap_or_default(),
        quoted(installer, true),
        quoted(&transaction.install_root, true),
    )
}

/// A path as one word of a unit (systemd.syntax(7)), in a command also without variables (systemd.service(5)).
fn quoted(path: &Path, command: bool) -> String {
    let mut text = path
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    if command {
        text = text.replace('$', "$$");
    }
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{DaemonRecord, Expectation, Stage};

    fn transaction() -> Transaction {
        Transaction {
            version: 2,
            id: "1".to_owned(),
            operation: "install".to_owned(),
            stage: Stage::Prepared,
            opened_us: 0,
            changes: Vec::new(),
            created_folders: Vec::new(),
            daemon: DaemonRecord {
                unit: "k3s-agent.service".to_owned(),
                socket: "/run/k3s/containerd/containerd.sock".into(),
                config: "/c".into(),
                drop_ins: None,
            },
            expect: Expectation::default(),
            goal: None,
            install_root: "/opt/100% ours".into(),
            payload: "0123".to_owned(),
            owner: None,
            watchdog: "w.service".to_owned(),
            boot: None,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_unit_comes_before_containerds_and_goes_with_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let units = dir.path().join("etc/systemd/system");
        fs::create_dir_all(units.join("multi-user.target.wants")).unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        let installer = Path::new("/opt/100% ours/0123/slipway-node-installer");
        arm(&root, &transaction(), installer).unwrap();
        let text = fs::read_to_string(units.join(UNIT)).unwrap();
        for line in [
            "ConditionPathExists=/var/lib/slipway/journal/open.json",
            "Before=k3s-agent.service",
            "ExecStart=\"/opt/100%% ours/0123/slipway-node-installer\" recover --host-root / --install-root \"/opt/100%% ours\"",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        let link = units.join("k3s-agent.service.wants").join(UNIT);
        assert_eq!(
            fs::read_link(link).unwrap(),
            Path::new("/etc/systemd/system/slipway-recovery.service")
        );
        disarm(&root).unwrap();
        disarm(&root).unwrap();
        assert_eq!(names(&units), ["multi-user.target.wants"]);
    }

    #[test]
    fn a_folder_that_was_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let units = dir.path().join("etc/systemd/system");
        fs::create_dir_all(units.join("k3s-agent.service.wants")).unwrap();
        let root = HostRoot::new(dir.path()).unwrap();
        arm(&root, &transaction(), Path::new("/i")).unwrap();
        disarm(&root).unwrap();
        assert_eq!(names(&units), ["k3s-agent.service.wants"]);
    }
}
