//! A run of runc: a child process with a deadline.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use slipway_shim_spec::PidNamespace;

use super::command::{self, Runc, Verb};
use super::errors;
use crate::signals;
use crate::spawn::{self, Birth, Pid};

/// Far more than runc takes on the busiest node, less than the four minutes that kubelet waits for a container
/// (`runtimeRequestTimeout` doubled).
const PATIENCE: Duration = Duration::from_secs(120);

/// The longest pid file: a number.
const MAX_PID_FILE: usize = 32;

/// A run of runc that has not ended.
#[derive(Debug)]
pub struct Call {
    /// The child.
    pub pid: Pid,
    deadline: Instant,
    overdue: bool,
    verb: &'static str,
    program: PathBuf,
    log: PathBuf,
}

impl Call {
    /// Starts runc. `stdio` are the container's streams where runc passes them on, else none.
    ///
    /// # Errors
    /// When there is no process to be had. A program that cannot be executed is told by the outcome.
    pub fn start(runc: &Runc, verb: &Verb, stdio: Option<[RawFd; 3]>) -> io::Result<Self> {
        let arguments = runc.arguments(verb)?;
        let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
        let program = spawn::c_path(&runc.program)?;
        let environment = command::environment();
        let environment: Vec<_> = environment.iter().map(AsRef::as_ref).collect();
        let log = runc.log();
        // runc appends, and an old error is none of this run's.
        match std::fs::remove_file(&log) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let null = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        let descriptors = stdio.unwrap_or([null.as_raw_fd(); 3]);
        let birth = Birth {
            pid_namespace: &PidNamespace::Host,
            cgroup: None,
        };
        let pid = spawn::fork(birth, || {
            spawn::end_with_parent();
            let error = spawn::exec_with(&program, &arguments, &environment, &descriptors);
            let message = format!("{}: {error}", runc.program.display());
            let line = json!({"level": "error", "msg": message}).to_string();
            // Without a log the exit status has to do.
            let _ = std::fs::write(&log, line);
            spawn::end_child()
        })?;
        Ok(Self {
            pid,
            deadline: Instant::now() + PATIENCE,
            overdue: false,
            verb: verb.name(),
            program: runc.program.clone(),
            log,
        })
    }

    /// When it must have ended; `None` once it has been killed for not having.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        (!self.overdue).then_some(self.deadline)
    }

    /// Kills it when its time is up.
    pub fn on_time(&mut self, now: Instant) {
        if !self.overdue && self.deadline <= now {
            self.overdue = true;
            self.abort();
        }
    }

    /// Kills it. It is reaped like any other.
    pub fn abort(&self) {
        // Not reaped yet, so the number is its own.
        let _ = signals::send(self.pid, libc::SIGKILL);
    }

    /// What came of it, by the exit status; a failure in the words of containerd's own shim and of runc.
    ///
    /// # Errors
    /// The sentence that says why it failed.
    pub fn outcome(&self, status: u32) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        let reason = if self.overdue {
            format!("not done after {} s", PATIENCE.as_secs())
        } else {
            errors::last(&self.log).unwrap_or_else(|| {
                let program = self.program.display();
                format!("{program} gave no reason and ended with exit status {status}")
            })
        };
        Err(format!("OCI runtime {} failed: {reason}", self.verb))
    }
}

/// The number in a pid file of runc's.
///
/// # Errors
/// When there is none.
pub fn read_pid(path: &std::path::Path) -> io::Result<Pid> {
    let named = |reason: String| io::Error::other(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    let pid = text.trim().parse().ok();
    pid.filter(|pid| *pid > 0 && text.len() <= MAX_PID_FILE)
        .ok_or_else(|| named("holds no process id".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A program in runc's place, and what it came to.
    fn outcome_of(script: &str) -> Result<(), String> {
        let bundle = tempfile::tempdir().unwrap();
        let program = bundle.path().join("runc");
        std::fs::copy("/bin/sh", &program).unwrap();
        let mut runc = Runc::new(program, "n", false, "c".into(), bundle.path().into());
        runc.root = bundle.path().into();
        let call = Call {
            pid: 0,
            deadline: Instant::now(),
            overdue: false,
            verb: "create",
            program: runc.program.clone(),
            log: runc.log(),
        };
        let status = std::process::Command::new(&runc.program)
            .args(["-c", script])
            .env("LOG", runc.log())
            .status()
            .unwrap();
        call.outcome(status.code().unwrap().cast_unsigned())
    }

    #[test]
    fn a_failure_is_told_in_runcs_words() {
        assert_eq!(outcome_of("exit 0"), Ok(()));
        let log = r#"echo '{"level":"error","msg":"no such thing"}' > $LOG; exit 1"#;
        assert_eq!(
            outcome_of(log),
            Err("OCI runtime create failed: no such thing".to_owned())
        );
        let silent = outcome_of("exit 3").unwrap_err();
        assert!(
            silent.ends_with("/runc gave no reason and ended with exit status 3"),
            "{silent}"
        );
    }

    #[test]
    fn a_pid_file_holds_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("init.pid");
        for (text, pid) in [
            ("123", Some(123)),
            ("7\n", Some(7)),
            ("", None),
            ("-1", None),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_pid(&path).ok(), pid, "{text:?}");
        }
        assert!(read_pid(Path::new("/nonexistent")).is_err());
    }
}
