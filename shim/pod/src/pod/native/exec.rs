//! Another process in a native container.

use super::Pod;
use crate::cleanup::KILLED;
use crate::native::call;
use crate::native::command::Verb;
use crate::native::console::Console;
use crate::native::container::{Joining, Work};
use crate::pod::service::{Answer, empty};
use crate::signals;
use crate::spawn::Pid;
use crate::task::{Added, Phase, ProcessId, Setup};
use crate::ttrpc::message::{Code, Status};
use crate::ttrpc::server::Ticket;

impl Pod {
    /// Has runc make the process. The answer follows when it runs.
    pub(in crate::pod) fn start_native_exec(&mut self, ticket: Ticket, id: &ProcessId) -> Answer {
        let process = self.process(id)?;
        let (paths, terminal) = (process.paths.clone(), process.terminal);
        let (ends, keepers) = self.streams(id, &paths, terminal)?;
        let Some((process, exec)) = self.tasks.process(id).zip(id.exec.as_ref()) else {
            return empty();
        };
        let Phase::Added(Added::Native(described)) = &mut process.phase else {
            return empty();
        };
        let joining = Joining {
            exec: exec.clone(),
            process: std::mem::take(described),
            ends,
        };
        process.phase = Phase::SettingUp(Box::new(Setup::new(ticket, None, None)));
        process.keepers = keepers;
        if let Some(native) = self.native(&id.task) {
            native.queue.push_back(Work::Exec(joining));
        }
        self.work_on(&id.task);
        Ok(None)
    }

    /// runc has made the process, or says why not.
    pub(super) fn on_joined(
        &mut self,
        task: &str,
        joining: &Joining,
        result: Result<(), String>,
        console: Option<Console>,
    ) {
        let id = ProcessId::new(task, &joining.exec);
        let written = self.take_pid(task, joining);
        let failed = |reason: String| Status::new(Code::Unknown, format!("{id}: {reason}"));
        match result.and_then(|()| written.map_err(|error| error.to_string())) {
            Ok(pid) => {
                if let Some(process) = self.tasks.process(&id) {
                    process.pid = pid;
                }
                match self.take_terminal(&id, console) {
                    Ok(()) => self.on_running(&id),
                    Err(reason) => self.fail_setup(&id, failed(reason)),
                }
            }
            Err(reason) => {
                self.fail_setup(&id, failed(reason));
                self.on_end(&id, KILLED);
            }
        }
    }

    fn on_running(&mut self, id: &ProcessId) {
        let Some(process) = self.tasks.process(id) else {
            return;
        };
        if let Phase::SettingUp(setup) = &mut process.phase {
            let ticket = setup.ticket;
            setup.ready = true;
            if setup.failure.is_none() {
                return self.on_exec_ready(id, ticket);
            }
            // Deleted meanwhile; answered when it has ended. Not reaped yet, so the number is its own.
            let _ = signals::send(process.pid, libc::SIGKILL);
        }
    }

    /// The number that runc has written down, and nothing else that was written for this run.
    fn take_pid(&mut self, task: &str, joining: &Joining) -> std::io::Result<Pid> {
        let Some(native) = self.native(task) else {
            return Err(std::io::ErrorKind::NotFound.into());
        };
        let exec = joining.exec.clone();
        let files = [
            Some(native.runc.process_file(&exec)),
            native.runc.pid_file(&Verb::Exec {
                exec,
                console: None,
            }),
        ];
        let pid = files[1].as_deref().map_or_else(|| Ok(0), call::read_pid);
        for file in files.into_iter().flatten() {
            // They are the bundle's, and go with it at the latest.
            let _ = std::fs::remove_file(file);
        }
        pid
    }
}
