//! `delete`: what a shim that is gone left behind. containerd also calls it after every clean `Delete`, when there
//! is no record any more and next to nothing to do.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use prost::Message;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use slipway_shim_cgroup::Cgroup;
use slipway_shim_spec::Spec;

use crate::api::task::DeleteResponse;
use crate::api::types::Timestamp;
use crate::args::Flags;
use crate::native::command::{Runc, Verb};
use crate::native::{errors, unmount};
use crate::record::{self, Record};
use crate::sandbox::Files;
use crate::socket;

/// containerd gives `delete` five seconds (`cleanupTimeout`); each of four waits takes at most this.
const PATIENCE: Duration = Duration::from_millis(1100);

/// Killed without a record of how it ended: 128 + SIGKILL, as containerd's own shim says.
pub const KILLED: u32 = 137;

/// Cleans up, and returns what to print. Whatever cannot be cleaned up is told to `warn`; the rest is cleaned up
/// all the same.
pub fn delete(flags: &Flags, mut warn: impl FnMut(String)) -> Vec<u8> {
    let bundle = flags.bundle.clone();
    let bundle = bundle.or_else(|| std::env::current_dir().ok());
    let bundle = bundle.unwrap_or_else(|| PathBuf::from("."));
    let record = Record::read(&bundle);
    if let Some(record) = &record {
        kill(record, &mut warn);
        if let Some(program) = &record.runc {
            let runc = Runc::new(
                program.clone(),
                &flags.namespace,
                false,
                flags.id.clone(),
                bundle.clone(),
            );
            if let Err(error) = forget(&runc) {
                warn(error);
            }
        }
        remove_cgroup(&bundle, &mut warn);
        unmount::unmount(&bundle.join("rootfs"));
        Record::remove(&bundle);
    }
    if let Ok(files) = Files::of(&bundle)
        && let Err(error) = files.remove()
    {
        warn(error.to_string());
    }
    remove_socket(&bundle);
    response(record.unwrap_or_default()).encode_to_vec()
}

fn response(record: Record) -> DeleteResponse {
    let (exit_status, exited_at) = match record.exit {
        Some((status, seconds, nanos)) => (status, Timestamp { seconds, nanos }),
        None => (KILLED, Timestamp::now()),
    };
    DeleteResponse {
        pid: record.pid,
        exit_status,
        exited_at: Some(exited_at),
    }
}

/// Kills the container's first process, if it is still that, and waits for its end.
fn kill(record: &Record, warn: &mut impl FnMut(String)) {
    let pid = i32::try_from(record.pid).ok().and_then(Pid::from_raw);
    let (Some(pid), None) = (pid, record.exit) else {
        return;
    };
    // Once open, the descriptor names this process for good; only then is it looked at.
    let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    if record::born(record.pid) != Some(record.born) {
        return;
    }
    if let Err(error) = rustix::process::pidfd_send_signal(&process, Signal::KILL) {
        return warn(format!("killing process {}: {error}", record.pid));
    }
    if !ends(&process) {
        warn(format!("process {} does not end", record.pid));
    }
}

/// Whether a process ends in time.
fn ends(process: &OwnedFd) -> bool {
    let mut descriptors = [PollFd::new(process, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap_or(1),
        tv_nsec: i64::from(PATIENCE.subsec_nanos()),
    };
    matches!(rustix::event::poll(&mut descriptors, Some(&timeout)), Ok(1))
}

/// Has runc forget a container, and kill what is left of one that was never whole.
fn forget(runc: &Runc) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| {
        format!("{}: delete {}: {error}", runc.program.display(), runc.id)
    };
    let arguments = runc
        .arguments(&Verb::Delete)
        .map_err(|error| failed(&error))?;
    let arguments = arguments.iter().skip(1);
    let mut child = Command::new(&runc.program)
        .args(arguments.map(|word| OsStr::from_bytes(word.to_bytes())))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&error))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process = pid.map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()));
    if !matches!(process, Some(Ok(process)) if ends(&process)) {
        // It is our own child, so its number is its own.
        let _ = child.kill();
        let _ = child.wait();
        return Err(failed(&"does not end"));
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(
            &errors::last(&runc.log()).unwrap_or(status.to_string()),
        )),
        Err(error) => Err(failed(&error)),
    }
}

fn remove_cgroup(bundle: &Path, warn: &mut impl FnMut(String)) {
    let Ok(spec) = Spec::load(bundle) else {
        return;
    };
    let Some(path) = spec.cgroups_path().and_then(Path::to_str) else {
        return;
    };
    let removed = Cgroup::open(path).and_then(|cgroup| {
        cgroup.kill()?;
        cgroup.remove(PATIENCE)?;
        match cgroup.release()? {
            Some(job) => job.wait(PATIENCE).map_err(Into::into),
            None => Ok(()),
        }
    });
    if let Err(error) = removed {
        warn(error.to_string());
    }
}

/// Removes the pod's socket if nobody serves it; a pod with other containers keeps it.
fn remove_socket(bundle: &Path) {
    let Ok(address) = std::fs::read_to_string(bundle.join("address")) else {
        return;
    };
    if let Some(path) = address.trim().strip_prefix("unix://")
        && !socket::is_served(path)
    {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(bundle: &Path) -> Flags {
        Flags {
            bundle: Some(bundle.to_owned()),
            ..Flags::default()
        }
    }

    fn delete_in(bundle: &Path) -> DeleteResponse {
        let bytes = delete(&flags(bundle), |warning| panic!("{warning}"));
        DeleteResponse::decode(bytes.as_slice()).unwrap()
    }

    #[test]
    fn after_a_clean_delete_nothing_is_to_be_done() {
        let bundle = tempfile::tempdir().unwrap();
        let response = delete_in(bundle.path());
        assert_eq!((response.pid, response.exit_status), (0, KILLED));
        assert!(response.exited_at.is_some());
    }

    #[test]
    fn a_recorded_exit_is_told_and_the_record_goes() {
        let bundle = tempfile::tempdir().unwrap();
        let record = Record {
            pid: 7,
            born: 1,
            exit: Some((3, 1_700_000_000, 9)),
            runc: None,
        };
        record.write(bundle.path()).unwrap();
        let response = delete_in(bundle.path());
        assert_eq!((response.pid, response.exit_status), (7, 3));
        assert_eq!(
            response.exited_at,
            Some(Timestamp {
                seconds: 1_700_000_000,
                nanos: 9
            })
        );
        assert_eq!(Record::read(bundle.path()), None);
    }

    #[test]
    fn a_number_that_is_another_process_by_now_is_left_alone() {
        let bundle = tempfile::tempdir().unwrap();
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let record = Record {
            pid: other.id(),
            born: 1,
            exit: None,
            runc: None,
        };
        record.write(bundle.path()).unwrap();
        assert_eq!(delete_in(bundle.path()).exit_status, KILLED);
        assert_eq!(other.try_wait().unwrap(), None);

        let record = Record {
            born: record::born(other.id()).unwrap(),
            ..record
        };
        record.write(bundle.path()).unwrap();
        delete_in(bundle.path());
        assert!(!other.wait().unwrap().success());
    }

    #[test]
    fn a_stale_socket_goes_and_a_served_one_stays() {
        let bundle = tempfile::tempdir().unwrap();
        let path = bundle.path().join("socket");
        let path = path.to_str().unwrap();
        std::fs::write(bundle.path().join("address"), socket::address(path)).unwrap();
        let socket::Socket::Ours(listener) = socket::take(path).unwrap() else {
            panic!("nobody else is here")
        };
        delete_in(bundle.path());
        assert!(Path::new(path).exists());
        drop(listener);
        delete_in(bundle.path());
        assert!(!Path::new(path).exists());
    }
}
