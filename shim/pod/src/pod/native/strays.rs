//! Children that end while runc runs. A process that runc makes is ours as soon as runc's own has ended, but only runc
//! tells its number: one that ends at once has ended before it is known.

use super::Pod;
use crate::spawn::Pid;
use crate::task::ProcessId;

/// More children than can end while runc runs for one container.
const MAX_STRAYS: usize = 1024;

impl Pod {
    /// Whether runc is at work: then a child that nobody knows may be one that it has made.
    fn is_making(&self) -> bool {
        let mut natives = self.tasks.values().filter_map(|task| task.native.as_ref());
        natives.any(|native| native.current.is_some())
    }

    /// A child has ended that is nobody's, or whose start is not answered yet.
    pub(in crate::pod) fn keep_stray(&mut self, pid: Pid, status: u32) {
        if self.is_making() && self.strays.len() < MAX_STRAYS {
            self.strays.push((pid, status));
        }
    }

    /// Whether the end of a process has to wait until its start is told.
    pub(in crate::pod) fn is_starting(&self, id: &ProcessId) -> bool {
        let native = self
            .tasks
            .get(&id.task)
            .and_then(|task| task.native.as_ref());
        id.exec.is_none() && native.is_some_and(|native| native.is_starting())
    }

    /// Tells of the ends that had to wait.
    pub(super) fn tell_strays(&mut self) {
        for (pid, status) in std::mem::take(&mut self.strays) {
            match self.tasks.by_pid(pid) {
                Some(id) if !self.is_starting(&id) => self.on_end(&id, status),
                _ => self.keep_stray(pid, status),
            }
        }
    }
}
