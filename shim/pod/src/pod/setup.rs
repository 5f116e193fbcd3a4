//! Between a container's birth and the answer to `Create`: cgroup, plan, code, ready.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::task::Poll;

use slipway_shim_cache::{Cache, CacheError, DEFAULT_ROOT, Namespace};
use slipway_shim_cgroup::{Cgroup, Placement};
use slipway_shim_wire::{ChannelError, EXIT_NOT_RUNNABLE, ToPod, ToWorker};

use super::{Pod, create};
use crate::api::events::{TaskCreate, TaskIo};
use crate::compile::{Compilation, Outcome};
use crate::events::Topic;
use crate::pause;
use crate::signals;
use crate::task::{Init, Phase, Setup};
use crate::ttrpc::message::{Code, Status};

/// The longest sentence a sleeper can say.
const MAX_REPORT: u64 = 4 << 10;

/// More messages than a worker has to send: one to ask for code, one when it is ready.
const MAX_MESSAGES: usize = 8;

impl Pod {
    /// The task's set-up, if it is still under way and not failing.
    fn setup(&mut self, id: &str) -> Option<&mut Setup> {
        match &mut self.tasks.get_mut(id)?.phase {
            Phase::SettingUp(setup) if setup.failure.is_none() => Some(setup),
            _ => None,
        }
    }

    /// The process may have arrived in its cgroup.
    pub(super) fn on_placement(&mut self, id: &str) {
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
                let message = format!("task {id}: cgroup: {error}");
                self.fail_setup(id, Status::new(Code::Internal, message));
            }
        }
    }

    /// A worker or sleeper says something.
    pub(super) fn on_init(&mut self, id: &str) {
        // What was read from the socket at once may be more than one message.
        for _ in 0..MAX_MESSAGES {
            let Some(task) = self.tasks.get_mut(id) else {
                return;
            };
            match &mut task.init {
                Init::Worker(channel, namespace) => {
                    let namespace = *namespace;
                    match channel.try_recv::<ToPod>() {
                        Ok(None) => return,
                        Ok(Some((message, attached))) => {
                            self.on_message(id, message, attached, namespace);
                        }
                        Err(error) => {
                            task.init = Init::Silent;
                            return self.on_silence(id, &error);
                        }
                    }
                }
                Init::Pause(report) => {
                    if let Some(file) = report.take() {
                        self.on_report(id, file);
                    }
                    return;
                }
                Init::Silent => return,
            }
        }
        self.log.warn(id, "the worker talks too much");
        if let Some(task) = self.tasks.get_mut(id) {
            task.init = Init::Silent;
        }
    }

    /// Once the guest runs, a worker has nothing more to say that would be believed.
    fn on_message(
        &mut self,
        id: &str,
        message: ToPod,
        attached: Option<OwnedFd>,
        namespace: Option<Namespace>,
    ) {
        let Some(setup) = self.setup(id).filter(|setup| !setup.ready) else {
            if let Some(task) = self.tasks.get_mut(id)
                && !matches!(task.phase, Phase::SettingUp(_) | Phase::Created)
            {
                task.init = Init::Silent;
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
                let message = format!("task {id}: {}: no descriptor came with it", path.display());
                self.fail_setup(id, Status::new(Code::Internal, message));
            }
            (ToPod::SetupFailed { message }, _) => {
                let message = format!("task {id}: {message}");
                self.fail_setup(id, Status::new(Code::Unknown, message));
            }
        }
    }

    /// A worker that hangs up before it is ready has ended or has gone wrong; its end is told by SIGCHLD.
    fn on_silence(&mut self, id: &str, error: &ChannelError) {
        if matches!(error, ChannelError::Closed) {
            return;
        }
        self.log.error(id, error);
        let message = format!("task {id}: {error}");
        self.fail_setup(id, Status::new(Code::Internal, message));
    }

    /// The sleeper stands, or says why not.
    fn on_report(&mut self, id: &str, mut report: File) {
        let mut said = Vec::new();
        let read = (&mut report).take(MAX_REPORT).read_to_end(&mut said);
        if said.is_empty() && read.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock) {
            if let Some(task) = self.tasks.get_mut(id) {
                task.init = Init::Pause(Some(report));
            }
            return;
        }
        if said == pause::READY {
            if let Some(setup) = self.setup(id) {
                setup.ready = true;
            }
            self.advance(id);
        } else if !said.is_empty() {
            let message = format!("task {id}: sandbox: {}", String::from_utf8_lossy(&said));
            self.fail_setup(id, Status::new(Code::Unknown, message));
        }
    }

    /// Does the next step of a set-up, if there is one to do.
    fn advance(&mut self, id: &str) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        let Phase::SettingUp(setup) = &mut task.phase else {
            return;
        };
        if !setup.placed || setup.failure.is_some() {
            return;
        }
        if let Some(plan) = setup.plan.take()
            && let Init::Worker(channel, _) = &task.init
            && let Err(error) = channel.send(&ToWorker::Plan(plan), None)
            // One that has ended is reaped, and then its status is told.
            && !matches!(error, ChannelError::Closed)
        {
            let message = format!("task {id}: {error}");
            return self.fail_setup(id, Status::new(Code::Internal, message));
        }
        if !setup.ready {
            return;
        }
        let ticket = setup.ticket;
        match task.cgroup.as_ref().map(Cgroup::watch_oom) {
            Some(Ok(watch)) => task.oom = Some(watch),
            Some(Err(error)) => self.log.warn(id, error),
            None => {}
        }
        task.phase = Phase::Created;
        let pid = task.pid();
        let event = TaskCreate {
            container_id: id.to_owned(),
            bundle: task.bundle.display().to_string(),
            rootfs: task.rootfs.clone(),
            io: Some(TaskIo {
                stdin: task.paths.stdin.clone(),
                stdout: task.paths.stdout.clone(),
                stderr: task.paths.stderr.clone(),
                terminal: false,
            }),
            checkpoint: String::new(),
            pid,
        };
        self.publisher.publish(Topic::Create, &event);
        self.server.answer(ticket, Ok(create::created(pid)));
    }

    /// Gives a set-up up. `Create` is answered when the process is gone and cleaned up after.
    pub(super) fn fail_setup(&mut self, id: &str, status: Status) {
        let Some(setup) = self.setup(id) else {
            return;
        };
        setup.failure = Some(status);
        if let Some(task) = self.tasks.get(id) {
            // Not reaped yet, so the number is its own.
            let _ = signals::send(task.pid, libc::SIGKILL);
        }
    }

    /// Looks for the code of a module, or has it made.
    fn provide_code(&mut self, id: &str, path: &Path, wasm: &File, namespace: Option<Namespace>) {
        let found = self.cache().and_then(|cache| cache.find(wasm, namespace));
        match found {
            Ok(Some(code)) => return self.send_code(id, &code),
            Ok(None) => {}
            // The compiler meets the same and says so in a sentence of its own, or mends it.
            Err(error) => self.log.warn(id, error),
        }
        let started = Compilation::start(
            &self.programs,
            Path::new(DEFAULT_ROOT),
            id.to_owned(),
            path.display().to_string(),
            wasm,
            namespace,
        );
        match started {
            Ok(compilation) => self.compilations.push(compilation),
            Err(error) => {
                let message = format!("{}: slipway-compile: {error}", path.display());
                self.send_no_code(id, message);
            }
        }
    }

    /// A compilation has ended.
    pub(super) fn on_compiled(&mut self, compilation: Compilation, status: u32) {
        let (id, path) = (compilation.task.clone(), compilation.path.clone());
        match compilation.outcome(status) {
            Outcome::Compiled(digest) => {
                // The compiler has opened the cache anew; so do we, for the directory we hold may have been removed
                // and made again since, by an uninstall and an install.
                self.cache = None;
                let code = self.cache().and_then(|cache| cache.get(&digest));
                match code {
                    Ok(Some(code)) => self.send_code(&id, &code),
                    Ok(None) => self.send_no_code(
                        &id,
                        format!("{path}: its compiled code vanished from the node's cache"),
                    ),
                    Err(error) => self.send_no_code(&id, format!("{path}: {error}")),
                }
            }
            Outcome::NotRunnable(message) => self.send_no_code(&id, message),
            Outcome::Failed(message) => {
                self.log.error(&id, &message);
                self.send_no_code(&id, message);
            }
        }
    }

    fn cache(&mut self) -> Result<&Cache, CacheError> {
        match &mut self.cache {
            Some(cache) => Ok(cache),
            empty => Ok(empty.insert(Cache::open(Path::new(DEFAULT_ROOT))?)),
        }
    }

    fn send_code(&mut self, id: &str, code: &File) {
        self.tell(id, &ToWorker::Code, Some(code));
    }

    fn send_no_code(&mut self, id: &str, message: String) {
        let exit_code = EXIT_NOT_RUNNABLE;
        self.tell(id, &ToWorker::NoCode { exit_code, message }, None);
    }

    fn tell(&mut self, id: &str, message: &ToWorker, attached: Option<&File>) {
        // The container may be gone by now, and another of its name wait for something else.
        let Some(task) = self.tasks.get(id) else {
            return;
        };
        if let (Phase::SettingUp(_), Init::Worker(channel, _)) = (&task.phase, &task.init)
            && let Err(error) = channel.send(message, attached.map(AsFd::as_fd))
        {
            self.log.warn(id, error);
        }
    }
}
