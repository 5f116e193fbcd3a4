//! Children that have ended.

use std::time::Instant;

use super::{Pod, delete, service};
use crate::api::events::{TaskExit, TaskNotice};
use crate::events::Topic;
use crate::record::{self, Record};
use crate::signals;
use crate::task::{Exit, Kind, Phase, ProcessId};
use crate::ttrpc::message::{Code, Status};

impl Pod {
    /// Takes every child that has ended.
    pub(super) fn reap(&mut self) {
        while let Some((pid, status)) = signals::reap() {
            if let Some(index) = self.compilations.iter().position(|c| c.pid == pid) {
                let compilation = self.compilations.swap_remove(index);
                self.on_compiled(compilation, status);
            } else if self.grace == Some(pid) {
                self.grace = None;
            } else if let Some(id) = self.native_of(pid) {
                self.on_step_end(&id, status);
            } else if self.loggers.iter().any(|logger| logger.pid == pid) {
                self.on_logger_end(pid);
            } else {
                match self.tasks.by_pid(pid) {
                    Some(id) if !self.is_starting(&id) => self.on_end(&id, status),
                    // One that is not told of yet, or an orphan that came to us as its subreaper.
                    _ => self.keep_stray(pid, status),
                }
            }
        }
    }

    /// A process of a container has ended.
    pub(super) fn on_end(&mut self, id: &ProcessId, status: u32) {
        // Its last words may not have been read yet.
        self.on_word(id);
        let Some(process) = self.tasks.process(id) else {
            return;
        };
        process.kind.silence();
        if let (Phase::SettingUp(setup), Kind::Native, None) =
            (&mut process.phase, &process.kind, &id.exec)
        {
            // runc still knows of it, and its root file system is mounted.
            process.pid = 0;
            let status = setup.failure.take().unwrap_or_else(|| ended(id, status));
            return self.remove_failed(&id.task, status);
        }
        let exit = Exit::now(status);
        match std::mem::replace(&mut process.phase, Phase::Ending(exit)) {
            Phase::SettingUp(setup) => {
                let status = setup.failure.unwrap_or_else(|| ended(id, status));
                match &id.exec {
                    None => self.on_setup_failed(&id.task, exit),
                    Some(_) => self.on_exec_failed(id, exit),
                }
                self.server.answer(setup.ticket, Err(status));
            }
            _ => match &id.exec {
                None => self.on_container_end(&id.task),
                Some(_) => self.on_exec_end(id, exit),
            },
        }
    }

    /// A container's first process has ended, and the others end with it.
    fn on_container_end(&mut self, id: &str) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        if !task.owns_pids
            && let Some(cgroup) = &task.cgroup
            && let Err(error) = cgroup.kill()
        {
            self.log.warn(id, error);
        }
        for exec in task.execs.values().filter(|exec| exec.is_alive()) {
            // Not reaped yet, so the number is its own.
            let _ = signals::send(exec.pid, libc::SIGKILL);
        }
        self.tell_end(id);
    }

    /// Tells of a container's end, once none of its processes is left: its exit is the last (as containerd's runc
    /// shim has it, `handleProcessExit` in `cmd/containerd-shim-runc-v2/task/service.go`, containerd 2.4).
    fn tell_end(&mut self, id: &str) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        if let Phase::Ending(exit) = task.init.phase
            && !task.execs.values().any(crate::task::Process::is_alive)
            && !task
                .native
                .as_ref()
                .is_some_and(|native| native.is_joined())
        {
            self.on_container_exit(id, exit);
        }
    }

    /// Nothing remains of a container that never was.
    pub(super) fn on_setup_failed(&mut self, id: &str, exit: Exit) {
        let Some(task) = self.tasks.remove(id) else {
            return;
        };
        if task.probed.is_some() {
            self.unmount(id, &task.bundle);
        }
        if let Some(cgroup) = &task.cgroup {
            self.jobs
                .extend(delete::remove_cgroup(cgroup, id, &self.log));
        }
        Record::remove(&task.bundle);
        for ticket in task.init.waiting {
            self.server.answer(ticket, Ok(service::waited(exit)));
        }
        if let Some(ticket) = task.init.deleting {
            self.server.answer(ticket, Err(service::no_such_task(id)));
        }
    }

    /// A process that `Start` could not give: that call says why, and no event does.
    fn on_exec_failed(&mut self, id: &ProcessId, exit: Exit) {
        self.settle(id, exit);
        self.tell_end(&id.task);
    }

    fn on_exec_end(&mut self, id: &ProcessId, exit: Exit) {
        self.tell_oom(&id.task);
        self.publish_exit(id, exit);
        self.settle(id, exit);
        self.tell_end(&id.task);
    }

    fn on_container_exit(&mut self, id: &str, exit: Exit) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        let pid = task.init.pid();
        let recorded = Record {
            pid,
            born: record::born(pid).unwrap_or_default(),
            exit: Some((exit.status, exit.at.seconds, exit.at.nanos)),
            runc: task
                .native
                .as_ref()
                .map(|native| native.runc.program.clone()),
        }
        .write(&task.bundle);
        if let Err(error) = recorded {
            self.log.warn(id, error);
        }
        let id = ProcessId::first(id);
        // Before the exit: a subscriber that hears of the exit has the reason already.
        self.tell_oom(&id.task);
        self.publish_exit(&id, exit);
        self.settle(&id, exit);
    }

    /// Publishes what the kernel killed in a container for want of memory, if it has killed since last asked.
    pub(super) fn tell_oom(&mut self, id: &str) {
        let Some(oom) = self.tasks.get_mut(id).and_then(|task| task.oom.as_mut()) else {
            return;
        };
        if oom.killed(Instant::now()) {
            self.publish_oom(id);
        }
    }

    /// Asks again for kills that were announced.
    pub(super) fn look_for_oom(&mut self, now: Instant) {
        let tasks = self.tasks.values_mut();
        let killed = tasks.filter_map(|task| {
            let killed = task.oom.as_mut()?.on_time(now);
            killed.then(|| task.id.clone())
        });
        for id in killed.collect::<Vec<_>>() {
            self.publish_oom(&id);
        }
    }

    fn publish_oom(&mut self, id: &str) {
        let event = TaskNotice {
            container_id: id.to_owned(),
        };
        self.publisher.publish(Topic::Oom, &event);
    }

    fn publish_exit(&mut self, id: &ProcessId, exit: Exit) {
        let Some(process) = self.tasks.process(id) else {
            return;
        };
        let event = TaskExit {
            container_id: id.task.clone(),
            id: id.event_id().to_owned(),
            pid: process.pid(),
            exit_status: exit.status,
            exited_at: Some(exit.at),
        };
        self.publisher.publish(Topic::Exit, &event);
    }

    /// Marks a process as stopped and answers who waits for that.
    pub(super) fn settle(&mut self, id: &ProcessId, exit: Exit) {
        let Some(process) = self.tasks.process(id) else {
            return;
        };
        process.phase = Phase::Stopped(exit);
        // Bytes nobody reads yet are kept by the loop.
        process.keepers.release();
        let waiting = std::mem::take(&mut process.waiting);
        let deleting = process.deleting.take();
        for ticket in waiting {
            self.server.answer(ticket, Ok(service::waited(exit)));
        }
        if let Some(ticket) = deleting
            && let Some(answer) = self.remove(ticket, id, exit)
        {
            self.server.answer(ticket, Ok(answer));
        }
    }
}

/// Why a set-up failed that did not say so itself.
fn ended(id: &ProcessId, status: u32) -> Status {
    let message =
        format!("{id}: its process ended with exit status {status} while it was being set up");
    Status::new(Code::Unknown, message)
}
