//! `Delete`: what remains of a process once it has ended.

use std::time::Duration;

use prost::Message;
use slipway_shim_cgroup::{Cgroup, UnitJob};

use super::Pod;
use crate::api::events::TaskDelete;
use crate::api::task::{DeleteResponse, ProcessRequest};
use crate::events::Topic;
use crate::log::Log;
use crate::record::Record;
use crate::signals;
use crate::task::{Exit, Phase, ProcessId};
use crate::ttrpc::message::{Code, Status};
use crate::ttrpc::server::Ticket;

/// How long an emptied cgroup may stay busy. Its last process is reaped, so this is the kernel's time, not ours.
const PATIENCE: Duration = Duration::from_millis(500);

impl Pod {
    /// Removes a process that has ended, or ends one that has not begun.
    pub(super) fn delete(
        &mut self,
        ticket: Ticket,
        request: &ProcessRequest,
    ) -> Result<Option<Vec<u8>>, Status> {
        let id = ProcessId::from(request);
        let process = self.process(&id)?;
        if process.deleting.is_some() {
            let message = format!("{id}: is being deleted already");
            return Err(Status::new(Code::FailedPrecondition, message));
        }
        match process.phase {
            Phase::Stopped(exit) => Ok(self.remove(ticket, &id, exit)),
            Phase::Running | Phase::Paused | Phase::Ending(_) => Err(Status::new(
                Code::FailedPrecondition,
                format!("{id}: it runs; kill it before deleting it"),
            )),
            Phase::SettingUp(_) => {
                process.deleting = Some(ticket);
                let message = format!("{id}: deleted while it was being set up");
                self.fail_setup(&id, Status::new(Code::Unknown, message));
                Ok(None)
            }
            Phase::Added(_) => {
                let exit = Exit::now(0);
                self.settle(&id, exit);
                Ok(Some(self.finish_delete(&id, exit)))
            }
            // containerd deletes what it created and never started; runc kills it then, too.
            Phase::Created => {
                process.deleting = Some(ticket);
                signals::send(process.pid, libc::SIGKILL)
                    .map_err(|error| Status::new(Code::Internal, format!("{id}: {error}")))?;
                Ok(None)
            }
        }
    }

    /// Removes what is left of a process, and returns the answer to `Delete` if that is all there is to do.
    pub(super) fn remove(&mut self, ticket: Ticket, id: &ProcessId, exit: Exit) -> Option<Vec<u8>> {
        let task = self.tasks.get(&id.task);
        if id.exec.is_none() && task.is_some_and(|task| task.native.is_some()) {
            self.delete_native(ticket, &id.task, exit);
            return None;
        }
        Some(self.finish_delete(id, exit))
    }

    /// Forgets a process, and returns the answer to `Delete`.
    pub(super) fn finish_delete(&mut self, id: &ProcessId, exit: Exit) -> Vec<u8> {
        let pid = match &id.exec {
            None => self.forget(&id.task, exit),
            Some(exec) => {
                let task = self.tasks.get_mut(&id.task);
                let process = task.and_then(|task| task.execs.remove(exec));
                process.map_or(0, |process| process.pid())
            }
        };
        DeleteResponse {
            pid,
            exit_status: exit.status,
            exited_at: Some(exit.at),
        }
        .encode_to_vec()
    }

    /// Forgets a container, and gives the number its first process had.
    fn forget(&mut self, id: &str, exit: Exit) -> u32 {
        let mut pid = 0;
        if let Some(task) = self.tasks.remove(id) {
            pid = task.init.pid();
            if let Some(cgroup) = &task.cgroup {
                self.jobs.extend(remove_cgroup(cgroup, id, &self.log));
            }
            Record::remove(&task.bundle);
        }
        let event = TaskDelete {
            container_id: id.to_owned(),
            pid,
            exit_status: exit.status,
            exited_at: Some(exit.at),
            id: String::new(),
        };
        self.publisher.publish(Topic::Delete, &event);
        pid
    }
}

/// Removes a container's cgroup; the job, if there is one, is systemd forgetting it.
pub(super) fn remove_cgroup(cgroup: &Cgroup, id: &str, log: &Log) -> Option<UnitJob> {
    if let Err(error) = cgroup.remove(PATIENCE) {
        log.warn(id, error);
    }
    match cgroup.release() {
        Ok(job) => job,
        Err(error) => {
            log.warn(id, error);
            None
        }
    }
}
