//! One process of a task: its first, or one that `Exec` added.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use slipway_shim_cache::Namespace;
use slipway_shim_cgroup::Placement;
use slipway_shim_wire::{Channel, Plan, ToWorker};

use super::stdio::{Keepers, Paths};
use crate::api::task::ProcessRequest;
use crate::api::types::{Status as State, Timestamp};
use crate::spawn::Pid;
use crate::ttrpc::message;
use crate::ttrpc::server::Ticket;

/// Names a process of this pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId {
    /// The task.
    pub task: String,
    /// Which of its processes; `None` for the first.
    pub exec: Option<String>,
}

impl ProcessId {
    /// A task's first process.
    #[must_use]
    pub fn first(task: &str) -> Self {
        Self::new(task, "")
    }

    /// The process of a request, whose `exec_id` is empty for the first.
    #[must_use]
    pub fn new(task: &str, exec_id: &str) -> Self {
        Self {
            task: task.to_owned(),
            exec: (!exec_id.is_empty()).then(|| exec_id.to_owned()),
        }
    }

    /// Its id in events: the task's for the first.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.exec.as_ref().unwrap_or(&self.task)
    }
}

impl From<&ProcessRequest> for ProcessId {
    fn from(request: &ProcessRequest) -> Self {
        Self::new(&request.id, &request.exec_id)
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.exec {
            None => write!(f, "task {}", self.task),
            Some(exec) => write!(f, "process {exec} of task {}", self.task),
        }
    }
}

/// A process.
#[derive(Debug)]
pub struct Process {
    /// Its number, a child of ours until it has ended; 0 before there is one.
    pub pid: Pid,
    /// What it does.
    pub phase: Phase,
    /// What it is, and our side of it.
    pub kind: Kind,
    /// Its streams, as the request named them.
    pub paths: Paths,
    /// Whether they are a terminal.
    pub terminal: bool,
    /// Our ends of its streams.
    pub keepers: Keepers,
    /// Who waits for its end.
    pub waiting: Vec<Ticket>,
    /// Who waits for it to be gone.
    pub deleting: Option<Ticket>,
}

/// What a process does.
#[derive(Debug)]
pub enum Phase {
    /// Added by `Exec`: what `Start` will make of it.
    Added(Added),
    /// It is being set up; who asked for it is not answered yet.
    SettingUp(Box<Setup>),
    /// Set up, waiting for `Start`.
    Created,
    /// The guest runs.
    Running,
    /// The guest is frozen.
    Paused,
    /// Ended, which is told when the task's other processes have ended too.
    Ending(Exit),
    /// The process has ended.
    Stopped(Exit),
}

/// What `Exec` has added.
#[derive(Debug)]
pub enum Added {
    /// A worker's.
    Worker(Box<Plan>),
    /// runc's: the process as the specification has it, in JSON.
    Native(Vec<u8>),
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
    /// What a worker is told once it is in its cgroup, and the descriptor that goes with it.
    pub order: Option<(ToWorker, Option<OwnedFd>)>,
    /// Whether the process says that it stands.
    pub ready: bool,
    /// Why it will not: answered once the process is gone.
    pub failure: Option<message::Status>,
}

impl Setup {
    /// The set-up of a process that was just born.
    #[must_use]
    pub fn new(
        ticket: Ticket,
        placement: Option<Placement>,
        order: Option<(ToWorker, Option<OwnedFd>)>,
    ) -> Self {
        Self {
            ticket,
            placement,
            placed: false,
            order,
            ready: false,
            failure: None,
        }
    }
}

/// What a process is. What we have of it goes when it talks no more.
#[derive(Debug)]
pub enum Kind {
    /// A worker.
    Worker(Option<Worker>),
    /// The sleeper: its report, until it stands.
    Pause(Option<File>),
    /// One that runc has made.
    Native,
}

/// Our side of a worker.
#[derive(Debug)]
pub struct Worker {
    /// Its control channel.
    pub channel: Channel,
    /// What names the content of its root file system, if anything does.
    pub namespace: Option<Namespace>,
}

impl Kind {
    /// What to poll for reading.
    #[must_use]
    pub fn source(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Worker(worker) => worker.as_ref().map(|worker| worker.channel.as_fd()),
            Self::Pause(report) => report.as_ref().map(AsFd::as_fd),
            Self::Native => None,
        }
    }

    /// Hears no more of it.
    pub fn silence(&mut self) {
        match self {
            Self::Worker(worker) => *worker = None,
            Self::Pause(report) => *report = None,
            Self::Native => {}
        }
    }

    /// The channel of a worker that still talks.
    #[must_use]
    pub fn channel(&self) -> Option<&Channel> {
        match self {
            Self::Worker(worker) => worker.as_ref().map(|worker| &worker.channel),
            Self::Pause(_) | Self::Native => None,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// 128 + n for a signal.
    pub status: u32,
    /// When.
    pub at: Timestamp,
}

impl Exit {
    /// Just now.
    #[must_use]
    pub fn now(status: u32) -> Self {
        Self {
            status,
            at: Timestamp::now(),
        }
    }
}

impl Process {
    /// The pid as the protocol has it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.cast_unsigned()
    }

    /// How it ended, if that has been told.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        match self.phase {
            Phase::Stopped(exit) => Some(exit),
            _ => None,
        }
    }

    /// Whether there is a process, running or not yet reaped, so that its number is its own.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.pid > 0 && !matches!(self.phase, Phase::Ending(_) | Phase::Stopped(_))
    }

    /// As the protocol has it.
    #[must_use]
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Added(_) | Phase::SettingUp(_) | Phase::Created => State::Created,
            Phase::Running | Phase::Ending(_) => State::Running,
            Phase::Paused => State::Paused,
            Phase::Stopped(_) => State::Stopped,
        }
    }
}
