//! What is known of a native container besides what is known of every task: runc's runs, one after another.

use std::collections::VecDeque;
use std::time::Instant;

use super::call::Call;
use super::command::Runc;
use super::console::Console;
use crate::spawn::Pid;
use crate::task::Exit;
use crate::task::stdio::Ends;
use crate::ttrpc::message::Status;
use crate::ttrpc::server::Ticket;

/// A native container.
#[derive(Debug)]
pub struct Container {
    /// Its runc.
    pub runc: Runc,
    /// What is being done.
    pub current: Option<(Step, Work)>,
    /// What is to be done after that, in order.
    pub queue: VecDeque<Work>,
}

/// A child process that does some work.
#[derive(Debug)]
pub enum Step {
    /// runc, and where it sends a terminal to.
    Runc(Call, Option<Console>),
    /// The root file system being unmounted.
    Unmount(Pid),
}

/// What is done for a native container.
#[derive(Debug)]
pub enum Work {
    /// `Create`, with the streams that its first process gets; none for a terminal.
    Create(Option<Ends>),
    /// `Start`.
    Start(Ticket),
    /// `Start` of a process that `Exec` has added.
    Exec(Joining),
    /// The first part of `Delete`: what runc knows of it.
    Delete(Removal),
    /// The second: its mounts.
    Unmount(Removal),
}

/// Another process of a container.
#[derive(Debug)]
pub struct Joining {
    /// Its `exec_id`.
    pub exec: String,
    /// What it is, as runc reads it.
    pub process: Vec<u8>,
    /// Its streams; none for a terminal.
    pub ends: Option<Ends>,
}

/// Why a container is removed.
#[derive(Debug)]
pub enum Removal {
    /// It has ended, and `Delete` asks for it.
    Asked(Ticket, Exit),
    /// Its `Create` has failed, and this is why.
    Failed(Status),
}

impl Container {
    /// A container of which nothing is made yet.
    #[must_use]
    pub fn new(runc: Runc) -> Self {
        Self {
            runc,
            current: None,
            queue: VecDeque::new(),
        }
    }

    /// The child that works for it.
    #[must_use]
    pub fn child(&self) -> Option<Pid> {
        self.current.as_ref().map(|(step, _)| match step {
            Step::Runc(call, _) => call.pid,
            Step::Unmount(pid) => *pid,
        })
    }

    /// Whether its first process is being started: an end of that is told after its start.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        let current = self.current.iter().map(|(_, work)| work);
        let mut all = current.chain(&self.queue);
        all.any(|work| matches!(work, Work::Start(_)))
    }

    /// Whether another process is being started in it, which may run already.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        let current = self.current.iter().map(|(_, work)| work);
        let mut all = current.chain(&self.queue);
        all.any(|work| matches!(work, Work::Exec(_)))
    }

    /// When to call [`Container::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match &self.current {
            Some((Step::Runc(call, _), _)) => call.deadline(),
            _ => None,
        }
    }

    /// Ends a run of runc's that takes too long.
    pub fn on_time(&mut self, now: Instant) {
        if let Some((Step::Runc(call, _), _)) = &mut self.current {
            call.on_time(now);
        }
    }

    /// Gives its creation up: the run that makes it is killed, and what remains is removed once that has ended.
    pub fn abort(&self) {
        if let Some((Step::Runc(call, _), Work::Create(_))) = &self.current {
            call.abort();
        }
    }
}
