//! A task: one container of the pod, from `Create` to `Delete`.

pub mod stdio;

use std::fs::File;
use std::path::PathBuf;

use slipway_shim_cache::Namespace;
use slipway_shim_cgroup::{Cgroup, OomWatch, Placement};
use slipway_shim_wire::{Channel, Plan};

use crate::api::task::{CreateTaskRequest, StateResponse};
use crate::api::types::{Mount, Status, Timestamp};
use crate::spawn::Pid;
use crate::ttrpc::message;
use crate::ttrpc::server::Ticket;
use stdio::{Keepers, Paths};

/// One container.
#[derive(Debug)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Its streams, as `Create` named them.
    pub paths: Paths,
    /// The snapshotter's mounts, as `Create` named them.
    pub rootfs: Vec<Mount>,
    /// Its first process, a child of ours.
    pub pid: Pid,
    /// Whether that process has a PID namespace of its own, whose others die with it.
    pub owns_pids: bool,
    /// What it does.
    pub phase: Phase,
    /// Our side of its first process.
    pub init: Init,
    /// Where it is counted and limited, unless the spec names no place.
    pub cgroup: Option<Cgroup>,
    /// Tells whether the kernel killed in there.
    pub oom: Option<OomWatch>,
    /// Our ends of its streams.
    pub keepers: Keepers,
    /// Who waits for its end.
    pub waiting: Vec<Ticket>,
    /// Who waits for it to be gone.
    pub deleting: Option<Ticket>,
}

/// What a task does.
#[derive(Debug)]
pub enum Phase {
    /// `Create` is not answered yet.
    SettingUp(Box<Setup>),
    /// Set up, waiting for `Start`.
    Created,
    /// The guest runs.
    Running,
    /// The guest is frozen.
    Paused,
    /// The process has ended.
    Stopped(Exit),
}

/// A set-up under way.
#[derive(Debug)]
pub struct Setup {
    /// Who waits for it.
    pub ticket: Ticket,
    /// On the way into the cgroup; `None` without one.
    pub placement: Option<Placement>,
    /// Whether that has arrived.
    pub placed: bool,
    /// What the worker is to become; sent once it is in its cgroup.
    pub plan: Option<Box<Plan>>,
    /// Whether the process says that it stands.
    pub ready: bool,
    /// Why it will not: answered once the process is gone.
    pub failure: Option<message::Status>,
}

/// Our side of a container's first process.
#[derive(Debug)]
pub enum Init {
    /// A worker and its control channel.
    Worker(Channel, Option<Namespace>),
    /// The sleeper: its report, until it stands.
    Pause(Option<File>),
    /// A worker that talks no more.
    Silent,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// 128 + n for a signal.
    pub status: u32,
    /// When.
    pub at: Timestamp,
}

impl Task {
    /// The pid as the protocol has it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.cast_unsigned()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        match self.phase {
            Phase::Stopped(exit) => Some(exit),
            _ => None,
        }
    }

    /// `Task.State`
    #[must_use]
    pub fn state(&self) -> StateResponse {
        let status = match &self.phase {
            Phase::SettingUp(_) | Phase::Created => Status::Created,
            Phase::Running => Status::Running,
            Phase::Paused => Status::Paused,
            Phase::Stopped(_) => Status::Stopped,
        };
        let exit = self.exit();
        StateResponse {
            id: self.id.clone(),
            bundle: self.bundle.display().to_string(),
            pid: self.pid(),
            status: status.into(),
            stdin: self.paths.stdin.clone(),
            stdout: self.paths.stdout.clone(),
            stderr: self.paths.stderr.clone(),
            terminal: false,
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| exit.at),
            exec_id: String::new(),
        }
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
