//! A task: one container of the pod, from `Create` to `Delete`.

mod oom;
pub mod process;
pub mod stdio;
pub mod terminal;

use std::collections::BTreeMap;
use std::path::PathBuf;

use slipway_shim_cgroup::Cgroup;

use crate::api::task::{CreateTaskRequest, StateResponse};
use crate::api::types::Mount;
use crate::native::container::Container;
use crate::spawn::Pid;
pub use oom::Oom;
pub use process::{Added, Exit, Kind, Phase, Process, ProcessId, Setup, Worker};
use stdio::Paths;

/// One container.
#[derive(Debug)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
    /// The snapshotter's mounts, as `Create` named them.
    pub rootfs: Vec<Mount>,
    /// The options of its handler, for workers yet to come.
    pub options: String,
    /// Its first process.
    pub init: Process,
    /// The others, by their `exec_id`.
    pub execs: BTreeMap<String, Process>,
    /// Whether the first process has a PID namespace of its own, whose others die with it.
    pub owns_pids: bool,
    /// Where it is counted and limited, unless the spec names no place.
    pub cgroup: Option<Cgroup>,
    /// Tells whether the kernel killed in there.
    pub oom: Option<Oom>,
    /// The request to go on with, while it is not known whether it is native.
    pub probed: Option<Box<CreateTaskRequest>>,
    /// What runc does for it, if it is native.
    pub native: Option<Box<Container>>,
}

impl Task {
    /// A process of it.
    #[must_use]
    pub fn process(&mut self, exec: Option<&str>) -> Option<&mut Process> {
        match exec {
            None => Some(&mut self.init),
            Some(exec) => self.execs.get_mut(exec),
        }
    }

    /// The number of its first process; before there is one, of the child that makes it: to a containerd that comes
    /// back a container without processes is a leaked one.
    #[must_use]
    pub fn first_pid(&self) -> u32 {
        let native = self.native.as_ref().filter(|_| self.init.pid == 0);
        let child = native.and_then(|native| native.child());
        child.map_or_else(|| self.init.pid(), Pid::cast_unsigned)
    }

    /// Its processes with their names.
    pub fn processes(&self) -> impl Iterator<Item = (ProcessId, &Process)> {
        let execs = self.execs.iter();
        let execs = execs.map(|(exec, process)| (ProcessId::new(&self.id, exec), process));
        std::iter::once((ProcessId::first(&self.id), &self.init)).chain(execs)
    }

    /// Its processes, to be changed.
    pub fn processes_mut(&mut self) -> impl Iterator<Item = &mut Process> {
        std::iter::once(&mut self.init).chain(self.execs.values_mut())
    }

    /// `Task.State`; `None` when there is no such process.
    #[must_use]
    pub fn state(&self, exec_id: &str) -> Option<StateResponse> {
        let process = match exec_id {
            "" => &self.init,
            exec => self.execs.get(exec)?,
        };
        let exit = process.exit();
        Some(StateResponse {
            id: self.id.clone(),
            bundle: self.bundle.display().to_string(),
            pid: process.pid(),
            status: process.state().into(),
            stdin: process.paths.stdin.clone(),
            stdout: process.paths.stdout.clone(),
            stderr: process.paths.stderr.clone(),
            terminal: process.terminal,
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| exit.at),
            exec_id: exec_id.to_owned(),
        })
    }
}

/// The containers of a pod by their ids.
#[derive(Debug, Default)]
pub struct Tasks(BTreeMap<String, Task>);

impl Tasks {
    /// The process of this name.
    pub fn process(&mut self, id: &ProcessId) -> Option<&mut Process> {
        self.0.get_mut(&id.task)?.process(id.exec.as_deref())
    }

    /// The living process with this number.
    #[must_use]
    pub fn by_pid(&self, pid: Pid) -> Option<ProcessId> {
        let mut processes = self.0.values().flat_map(Task::processes);
        processes
            .find(|(_, process)| process.pid == pid && process.is_alive())
            .map(|(id, _)| id)
    }
}

impl std::ops::Deref for Tasks {
    type Target = BTreeMap<String, Task>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Tasks {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<&CreateTaskRequest> for Paths {
    fn from(request: &CreateTaskRequest) -> Self {
        Self {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
        }
    }
}
