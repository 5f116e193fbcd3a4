//! The end of a native container: what remains on the node goes before `Delete`, or the `Create` that failed, is answered.

use super::Pod;
use crate::native::container::{Removal, Work};
use crate::pod::service::no_such_task;
use crate::task::{Exit, Phase, ProcessId};
use crate::ttrpc::message::Status;

impl Pod {
    /// Removes what is left of a container that could not be made, then says why.
    pub(in crate::pod) fn remove_failed(&mut self, id: &str, status: Status) {
        if let Some(native) = self.native(id) {
            let work = Work::Delete(Removal::Failed(status));
            native.queue.push_front(work);
            self.work_on(id);
        }
    }

    /// Nothing is left of a container on the node.
    pub(super) fn on_removed(&mut self, id: &str, removal: Removal) {
        let late = self
            .native(id)
            .map(|native| std::mem::take(&mut native.queue));
        let first = ProcessId::first(id);
        match removal {
            Removal::Asked(ticket, exit) => {
                let answer = self.finish_delete(&first, exit);
                self.server.answer(ticket, Ok(answer));
            }
            Removal::Failed(status) => {
                let exit = Exit::now(crate::cleanup::KILLED);
                let phase = self
                    .tasks
                    .process(&first)
                    .map(|process| std::mem::replace(&mut process.phase, Phase::Stopped(exit)));
                self.on_setup_failed(id, exit);
                if let Some(Phase::SettingUp(setup)) = phase {
                    let status = setup.failure.unwrap_or(status);
                    self.server.answer(setup.ticket, Err(status));
                }
            }
        }
        for work in late.into_iter().flatten() {
            match work {
                Work::Start(ticket)
                | Work::Delete(Removal::Asked(ticket, _))
                | Work::Unmount(Removal::Asked(ticket, _)) => {
                    self.server.answer(ticket, Err(no_such_task(id)));
                }
                // None is queued for a container that has ended.
                Work::Create(_) | Work::Exec(_) | Work::Delete(_) | Work::Unmount(_) => {}
            }
        }
    }
}
