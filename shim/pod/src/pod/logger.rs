//! Loggers: what a guest's start waits for, and what goes on a little after its end.

use std::time::Instant;

use super::Pod;
use crate::spawn::Pid;
use crate::task::{Phase, ProcessId};
use crate::ttrpc::message::{Code, Status};

impl Pod {
    /// Whether a process that stands may be told of: containerd's contract has its logger ready before.
    pub(super) fn is_logged(&self, id: &ProcessId) -> bool {
        let mut loggers = self.loggers.iter();
        loggers.all(|logger| logger.is_ready() || logger.process != *id)
    }

    /// A logger says something.
    pub(super) fn on_logger(&mut self, pid: Pid) {
        let mut loggers = self.loggers.iter_mut();
        let Some(logger) = loggers.find(|logger| logger.pid == pid) else {
            return;
        };
        let id = logger.process.clone();
        match logger.on_ready() {
            None => {}
            Some(Ok(())) => self.on_logged(&id),
            Some(Err(reason)) => {
                let status = Status::new(Code::Unknown, format!("{id}: {reason}"));
                self.fail_setup(&id, status);
            }
        }
    }

    /// The process may have waited for this alone.
    fn on_logged(&mut self, id: &ProcessId) {
        let Some(process) = self.tasks.process(id) else {
            return;
        };
        if let Phase::SettingUp(setup) = &process.phase
            && setup.ready
            && setup.failure.is_none()
        {
            let ticket = setup.ticket;
            match &id.exec {
                None => self.on_created(&id.task, ticket),
                Some(_) => self.on_exec_ready(id, ticket),
            }
        }
    }

    /// A child has ended that may be a logger. A guest without one goes on, as with containerd's own shim.
    pub(super) fn on_logger_end(&mut self, pid: Pid) {
        let Some(index) = self.loggers.iter().position(|logger| logger.pid == pid) else {
            return;
        };
        // What it said last is its own pipe's business: a logger may end at once when it is ready.
        self.on_logger(pid);
        let mut logger = self.loggers.swap_remove(index);
        logger.pid = 0;
    }

    /// Ends what goes on without a guest.
    pub(super) fn look_after_loggers(&mut self, now: Instant) {
        for logger in &mut self.loggers {
            let process = self.tasks.process(&logger.process);
            if process.is_none_or(|process| process.exit().is_some()) {
                logger.dismiss(now);
            }
            logger.on_time(now);
        }
    }
}
