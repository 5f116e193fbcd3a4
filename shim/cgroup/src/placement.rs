//! A process on its way into its cgroup.

use std::os::fd::BorrowedFd;
use std::task::Poll;
use std::time::Duration;

use crate::cgroup::{Cgroup, Error};
use crate::resources::Resources;
use crate::systemd::UnitJob;

/// What [`Cgroup::place`] began. The process may be prepared meanwhile, but must not run anything of the container's
/// before this is done.
#[derive(Debug)]
pub struct Placement {
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    cgroup: Cgroup,
    pid: u32,
    resources: Resources,
    job: UnitJob,
}

impl Placement {
    pub(crate) fn done() -> Self {
        Self { under_way: None }
    }

    pub(crate) fn under_way(cgroup: Cgroup, pid: u32, resources: Resources, job: UnitJob) -> Self {
        Self {
            under_way: Some(UnderWay {
                cgroup,
                pid,
                resources,
                job,
            }),
        }
    }

    /// What to poll for reading; `None` once all is done.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.under_way
            .as_ref()
            .map(|under_way| under_way.job.as_fd())
    }

    /// Goes on as far as it gets without waiting.
    pub fn on_ready(&mut self) -> Poll<Result<(), Error>> {
        let Some(under_way) = &mut self.under_way else {
            return Poll::Ready(Ok(()));
        };
        match under_way.job.on_ready() {
            Poll::Pending => Poll::Pending,
            Poll::Ready(result) => match self.under_way.take() {
                Some(under_way) => Poll::Ready(
                    result
                        .map_err(Error::from)
                        .and_then(|()| under_way.settle()),
                ),
                None => Poll::Ready(Ok(())),
            },
        }
    }

    /// Blocks until it is done, for callers without a loop.
    pub fn wait(self, timeout: Duration) -> Result<(), Error> {
        let Some(UnderWay {
            cgroup,
            pid,
            resources,
            job,
        }) = self.under_way
        else {
            return Ok(());
        };
        job.wait(timeout)?;
        cgroup.settle(pid, &resources)
    }
}

impl UnderWay {
    /// systemd has made what it makes; the rest is ours.
    fn settle(&self) -> Result<(), Error> {
        self.cgroup.settle(self.pid, &self.resources)
    }
}
