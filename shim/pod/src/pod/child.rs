//! Children that have ended.

use super::{Pod, delete, service};
use crate::api::events::{TaskExit, TaskNotice};
use crate::api::types::Timestamp;
use crate::events::Topic;
use crate::record::{self, Record};
use crate::signals;
use crate::spawn::Pid;
use crate::task::{Exit, Init, Phase};
use crate::ttrpc::message::{Code, Status};

impl Pod {
    /// Takes every child that has ended.
    pub(super) fn reap(&mut self) {
        while let Some((pid, status)) = signals::reap() {
            if let Some(index) = self.compilations.iter().position(|c| c.pid == pid) {
                let compilation = self.compilations.swap_remove(index);
                self.on_compiled(compilation, status);
            } else if let Some(id) = self.task_of(pid) {
                self.on_end(&id, status);
            }
            // Others are orphans that came to us as their subreaper.
        }
    }

    fn task_of(&self, pid: Pid) -> Option<String> {
        let mut tasks = self.tasks.values();
        let task = tasks.find(|task| task.pid == pid && task.exit().is_none())?;
        Some(task.id.clone())
    }

    /// A container's first process has ended.
    fn on_end(&mut self, id: &str, status: u32) {
        // Its last words may not have been read yet.
        self.on_init(id);
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        if !task.owns_pids
            && let Some(cgroup) = &task.cgroup
            && let Err(error) = cgroup.kill()
        {
            self.log.warn(id, error);
        }
        let exit = Exit {
            status,
            at: Timestamp::now(),
        };
        match std::mem::replace(&mut task.phase, Phase::Stopped(exit)) {
            Phase::SettingUp(setup) => {
                let status = setup.failure.unwrap_or_else(|| {
                    let message = format!(
                        "task {id}: its process ended with exit status {status} while it was being set up"
                    );
                    Status::new(Code::Unknown, message)
                });
                self.on_setup_failed(id, exit);
                self.server.answer(setup.ticket, Err(status));
            }
            _ => self.on_exit(id, exit),
        }
    }

    /// Nothing remains of a container that never was.
    fn on_setup_failed(&mut self, id: &str, exit: Exit) {
        let Some(task) = self.tasks.remove(id) else {
            return;
        };
        if let Some(cgroup) = &task.cgroup {
            self.jobs
                .extend(delete::remove_cgroup(cgroup, id, &self.log));
        }
        Record::remove(&task.bundle);
        for ticket in task.waiting {
            self.server.answer(ticket, Ok(service::waited(exit)));
        }
        if let Some(ticket) = task.deleting {
            self.server.answer(ticket, Err(service::no_such_task(id)));
        }
    }

    fn on_exit(&mut self, id: &str, exit: Exit) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        task.init = Init::Silent;
        let killed_for_memory = task
            .oom
            .as_mut()
            .is_some_and(slipway_shim_cgroup::OomWatch::killed);
        // Bytes nobody reads yet are kept by the loop.
        task.keepers.release();
        let (pid, waiting) = (task.pid(), std::mem::take(&mut task.waiting));
        let deleting = task.deleting.take();
        let recorded = Record {
            pid,
            born: record::born(pid).unwrap_or_default(),
            exit: Some((exit.status, exit.at.seconds, exit.at.nanos)),
        }
        .write(&task.bundle);
        if let Err(error) = recorded {
            self.log.warn(id, error);
        }
        if killed_for_memory {
            // Before the exit: a subscriber that hears of the exit has the reason already.
            let event = TaskNotice {
                container_id: id.to_owned(),
            };
            self.publisher.publish(Topic::Oom, &event);
        }
        let event = TaskExit {
            container_id: id.to_owned(),
            id: id.to_owned(),
            pid,
            exit_status: exit.status,
            exited_at: Some(exit.at),
        };
        self.publisher.publish(Topic::Exit, &event);
        for ticket in waiting {
            self.server.answer(ticket, Ok(service::waited(exit)));
        }
        if let Some(ticket) = deleting {
            let answer = self.finish_delete(id, exit);
            self.server.answer(ticket, Ok(answer));
        }
    }
}
