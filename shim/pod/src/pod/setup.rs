//! Between a container's birth and the answer to `Create`: cgroup, plan, code, ready.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::task::Poll;

use slipway_shim_cache::Namespace;
use slipway_shim_cgroup::{Cgroup, Placement};
use slipway_shim_wire::{ChannelError, ToPod, ToWorker};

use super::{Pod, create};
use crate::api::events::{TaskCreate, TaskIo};
use crate::compile::Otherwise;
use crate::events::Topic;
use crate::pause;
use crate::signals;
use crate::task::{Kind, Phase, ProcessId, Setup};
use crate::ttrpc::message::{Code, Status};
use crate::ttrpc::server::Ticket;

/// The longest sentence a sleeper can say.
const MAX_REPORT: u64 = 4 << 10;

/// More messages than a worker has to send: one to ask for code, one when it is ready.
const MAX_MESSAGES: usize = 8;

impl Pod {
    /// The process's set-up, if it is still under way and not failing.
    fn setup(&mut self, id: &ProcessId) -> Option<&mut Setup> {
        match &mut self.tasks.process(id)?.phase {
            Phase::SettingUp(setup) if setup.failure.is_none() => Some(setup),
            _ => None,
        }
    }

    /// The process may have arrived in its cgroup.
    pub(super) fn on_placement(&mut self, id: &ProcessId) {
        let Some(setup) = self.setup(id) else {
            return;
        };
        let placed = setup
            .placement
            .as_mut()
            .map_or(Poll::Ready(Ok(())), Placement::on_ready);
        match placed {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                setup.placed = true;
                self.advance(id);
            }
            Poll::Ready(Err(error)) => {
                // The worker may have failed before, which is then why it was not to be placed.
                self.on_word(id);
                let message = format!("{id}: cgroup: {error}");
                self.fail_setup(id, Status::new(Code::Internal, message));
            }
        }
    }

    /// A worker or sleeper says something.
    pub(super) fn on_word(&mut self, id: &ProcessId) {
        // What was read from the socket at once may be more than one message.
        for _ in 0..MAX_MESSAGES {
            let Some(process) = self.tasks.process(id) else {
                return;
            };
            match &mut process.kind {
                Kind::Worker(Some(worker)) => {
                    let namespace = worker.namespace;
                    match worker.channel.try_recv::<ToPod>() {
                        Ok(None) => return,
                        Ok(Some((message, attached))) => {
                            self.on_message(id, message, attached, namespace);
                        }
                        Err(error) => {
                            process.kind.silence();
                            return self.on_silence(id, &error);
                        }
                    }
                }
                Kind::Pause(report) => {
                    if let Some(file) = report.take() {
                        self.on_report(id, file);
                    }
                    return;
                }
                Kind::Worker(None) | Kind::Native => return,
            }
        }
        self.log.warn(&id.task, "the worker talks too much");
        if let Some(process) = self.tasks.process(id) {
            process.kind.silence();
        }
    }

    /// Once the guest runs, a worker has nothing more to say that would be believed.
    fn on_message(
        &mut self,
        id: &ProcessId,
        message: ToPod,
        attached: Option<OwnedFd>,
        namespace: Option<Namespace>,
    ) {
        let Some(setup) = self.setup(id).filter(|setup| !setup.ready) else {
            if let Some(process) = self.tasks.process(id)
                && !matches!(process.phase, Phase::SettingUp(_) | Phase::Created)
            {
                process.kind.silence();
            }
            return;
        };
        match (message, attached) {
            (ToPod::Ready, _) => {
                setup.ready = true;
                self.advance(id);
            }
            (ToPod::NeedCode { path, on_rootfs }, Some(wasm)) => {
                let namespace = namespace.filter(|_| on_rootfs);
                self.provide_code(id, &path, &File::from(wasm), namespace);
            }
            (ToPod::NeedCode { path, .. }, None) => {
                let message = format!("{id}: {}: no descriptor came with it", path.display());
                self.fail_setup(id, Status::new(Code::Internal, message));
            }
            (
                ToPod::NeedImage {
                    named,
                    otherwise,
                    exit_code,
                },
                _,
            ) => self.provide_layer(
                id,
                named,
                Otherwise {
                    message: otherwise,
                    exit_code,
                },
            ),
            (ToPod::Probed { native }, _) => self.on_probed(&id.task, native),
            (ToPod::SetupFailed { message }, _) => {
                let message = format!("{id}: {message}");
                self.fail_setup(id, Status::new(Code::Unknown, message));
            }
        }
    }

    /// A worker that hangs up before it is ready has ended or has gone wrong; its end is told by SIGCHLD.
    fn on_silence(&mut self, id: &ProcessId, error: &ChannelError) {
        if matches!(error, ChannelError::Closed) {
            return;
        }
        self.log.error(&id.task, error);
        let message = format!("{id}: {error}");
        self.fail_setup(id, Status::new(Code::Internal, message));
    }

    /// The sleeper stands, or says why not.
    fn on_report(&mut self, id: &ProcessId, mut report: File) {
        let mut said = Vec::new();
        let read = (&mut report).take(MAX_REPORT).read_to_end(&mut said);
        if said.is_empty() && read.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock) {
            if let Some(process) = self.tasks.process(id) {
                process.kind = Kind::Pause(Some(report));
            }
            return;
        }
        if said == pause::READY {
            if let Some(setup) = self.setup(id) {
                setup.ready = true;
            }
            self.advance(id);
        } else if !said.is_empty() {
            let message = format!("{id}: sandbox: {}", String::from_utf8_lossy(&said));
            self.fail_setup(id, Status::new(Code::Unknown, message));
        }
    }

    /// Does the next step of a set-up, if there is one to do.
    fn advance(&mut self, id: &ProcessId) {
        let Some(process) = self.tasks.process(id) else {
            return;
        };
        let Phase::SettingUp(setup) = &mut process.phase else {
            return;
        };
        if !setup.placed || setup.failure.is_some() {
            return;
        }
        let order = setup.order.take();
        let (ready, ticket) = (setup.ready, setup.ticket);
        if let Some((order, attached)) = order {
            let attached = match &order {
                ToWorker::Placed => self.memory_limit(&id.task),
                _ => attached,
            };
            let channel = self.tasks.process(id).and_then(|it| it.kind.channel());
            let sent = channel.map(|it| it.send(&order, attached.as_ref().map(AsFd::as_fd)));
            if let Some(Err(error)) = sent
                // One that has ended is reaped, and then its status is told.
                && !matches!(error, ChannelError::Closed)
            {
                let message = format!("{id}: {error}");
                return self.fail_setup(id, Status::new(Code::Internal, message));
            }
        }
        if ready {
            match &id.exec {
                None => self.on_created(&id.task, ticket),
                Some(_) => self.on_exec_ready(id, ticket),
            }
        }
    }

    /// The file of a container's memory limit. Without it the guest gets no more memory by a resize.
    fn memory_limit(&mut self, task: &str) -> Option<OwnedFd> {
        let cgroup = self.tasks.get_mut(task)?.cgroup.as_ref()?;
        match cgroup.memory_limit() {
            Ok(limit) => limit.map(OwnedFd::from),
            Err(error) => {
                self.log.warn(task, error);
                None
            }
        }
    }

    /// A container stands: answers `Create`.
    pub(super) fn on_created(&mut self, id: &str, ticket: Ticket) {
        let first = ProcessId::first(id);
        if !self.is_logged(&first) {
            if let Some(setup) = self.setup(&first) {
                setup.ready = true;
            }
            return;
        }
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        match task.cgroup.as_ref().map(Cgroup::watch_oom) {
            Some(Ok(watch)) => task.oom = Some(watch.into()),
            Some(Err(error)) => self.log.warn(id, error),
            None => {}
        }
        let init = &mut task.init;
        init.phase = Phase::Created;
        let pid = init.pid();
        let event = TaskCreate {
            container_id: id.to_owned(),
            bundle: task.bundle.display().to_string(),
            rootfs: task.rootfs.clone(),
            io: Some(TaskIo {
                stdin: init.paths.stdin.clone(),
                stdout: init.paths.stdout.clone(),
                stderr: init.paths.stderr.clone(),
                terminal: init.terminal,
            }),
            checkpoint: String::new(),
            pid,
        };
        self.publisher.publish(Topic::Create, &event);
        self.server.answer(ticket, Ok(create::created(pid)));
    }

    /// Gives a set-up up. Who asked for it is answered when the process is gone and cleaned up after.
    pub(super) fn fail_setup(&mut self, id: &ProcessId, status: Status) {
        let Some(setup) = self.setup(id) else {
            return;
        };
        setup.failure = Some(status);
        if let Some(process) = self.tasks.process(id).filter(|process| process.is_alive()) {
            // Not reaped yet, so the number is its own.
            let _ = signals::send(process.pid, libc::SIGKILL);
        } else if let Some(task) = self.tasks.get(&id.task)
            && let (Some(native), None) = (&task.native, &id.exec)
        {
            native.abort();
        }
    }
}
