//! Native containers: from the probe's answer to the last unmount, one step after another.

mod exec;
mod remove;
mod strays;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use slipway_shim_spec::{PidNamespace, Spec};
use slipway_shim_wire::{Probe, ToWorker};

use super::Pod;
use super::create::{self, refused_streams};
use super::service::{Answer, no_such_task, reply};
use crate::api::events::TaskStart;
use crate::api::task::{CreateTaskRequest, StartResponse};
use crate::events::Topic;
use crate::native::call::{self, Call};
use crate::native::command::{Runc, Verb};
use crate::native::console::Console;
use crate::native::container::{Container, Removal, Step, Work};
use crate::native::{program, unmount};
use crate::record::{self, Record};
use crate::spawn::{Birth, Pid};
use crate::task::stdio::{self, Ends, Keepers, Owner, Paths};
use crate::task::{Exit, Kind, Phase, Process, ProcessId, Setup, Task, Worker};
use crate::ttrpc::message::{Code, Status};
use crate::ttrpc::server::Ticket;

impl Pod {
    /// Has a worker look whether the container is native; [`Pod::on_probed`] goes on.
    pub(super) fn probe(
        &mut self,
        ticket: Ticket,
        request: CreateTaskRequest,
        probe: Probe,
    ) -> Result<(), Status> {
        let id = ProcessId::first(&request.id);
        let owner = Owner {
            process: &id,
            namespace: self.publisher.namespace(),
        };
        let (ends, _) =
            stdio::open(&Paths::default(), owner).map_err(|error| refused_streams(&id, &error))?;
        let birth = Birth {
            pid_namespace: &PidNamespace::Host,
            cgroup: None,
        };
        let (pid, channel) = self
            .programs
            .spawn_worker(birth, &ends)
            .map_err(|error| Status::new(Code::Internal, format!("{id}: {error}")))?;
        let order = (ToWorker::Probe(Box::new(probe)), None);
        let worker = Worker {
            channel,
            namespace: None,
        };
        let setup = Setup::new(ticket, None, Some(order));
        let init = first_process(
            &request,
            pid,
            setup,
            Kind::Worker(Some(worker)),
            Keepers::default(),
        );
        let task = Task {
            id: request.id.clone(),
            bundle: PathBuf::from(&request.bundle),
            rootfs: request.rootfs.clone(),
            options: String::new(),
            init,
            execs: BTreeMap::new(),
            owns_pids: true,
            cgroup: None,
            oom: None,
            probed: Some(Box::new(request)),
            native: None,
        };
        self.tasks.insert(task.id.clone(), task);
        self.on_placement(&id);
        Ok(())
    }

    /// The answer of the probe: makes the container of whichever kind it is.
    pub(super) fn on_probed(&mut self, id: &str, native: bool) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        let Some(request) = task.probed.take() else {
            return;
        };
        let Some(task) = self.tasks.remove(id) else {
            return;
        };
        // The worker that looked ends by itself, and is nobody's then.
        let Phase::SettingUp(setup) = task.init.phase else {
            return;
        };
        let made = create::load(&request).and_then(|spec| {
            if native {
                self.create_native(setup.ticket, *request, &spec)
            } else {
                self.create_wasm(setup.ticket, *request, &spec)
            }
        });
        let waiting = task.init.waiting;
        match made {
            Ok(()) => {
                if let Some(task) = self.tasks.get_mut(id) {
                    task.init.waiting = waiting;
                }
            }
            Err(status) => {
                if native {
                    self.unmount(id, &task.bundle);
                }
                Record::remove(&task.bundle);
                self.server.answer(setup.ticket, Err(status));
                for ticket in waiting {
                    self.server.answer(ticket, Err(no_such_task(id)));
                }
            }
        }
    }

    fn create_native(
        &mut self,
        ticket: Ticket,
        request: CreateTaskRequest,
        spec: &Spec,
    ) -> Result<(), Status> {
        let id = ProcessId::first(&request.id);
        let bundle = PathBuf::from(&request.bundle);
        let path = std::env::var_os("PATH");
        let program = program::find(path.as_deref())
            .map_err(|error| Status::new(Code::FailedPrecondition, format!("{id}: {error}")))?;
        let pid_namespace = spec
            .pid_namespace()
            .map_err(|error| create::invalid(&request.id, &error))?;
        let cgroup = self.cgroup(&request.id, spec)?;
        let systemd = cgroup
            .as_ref()
            .is_some_and(|cgroup| cgroup.unit().is_some());
        let (ends, keepers) = self.streams(&id, &Paths::from(&request), request.terminal)?;
        let record = Record {
            runc: Some(program.clone()),
            ..Record::default()
        };
        record
            .write(&bundle)
            .map_err(|error| Status::new(Code::Internal, format!("{id}: {error}")))?;
        let namespace = self.publisher.namespace();
        let runc = Runc::new(
            program,
            namespace,
            systemd,
            request.id.clone(),
            bundle.clone(),
        );
        let mut native = Box::new(Container::new(runc));
        native.queue.push_back(Work::Create(ends));
        let setup = Setup::new(ticket, None, None);
        let task = Task {
            id: request.id.clone(),
            init: first_process(&request, 0, setup, Kind::Native, keepers),
            execs: BTreeMap::new(),
            rootfs: request.rootfs,
            options: String::new(),
            owns_pids: pid_namespace == PidNamespace::New,
            cgroup,
            oom: None,
            bundle,
            probed: None,
            native: Some(native),
        };
        self.tasks.insert(task.id.clone(), task);
        self.work_on(&id.task);
        Ok(())
    }

    /// Opens the streams of a process that runc makes; a terminal's other side is made by runc.
    fn streams(
        &mut self,
        id: &ProcessId,
        paths: &Paths,
        terminal: bool,
    ) -> Result<(Option<Ends>, Keepers), Status> {
        let owner = Owner {
            process: id,
            namespace: self.publisher.namespace(),
        };
        let opened = if terminal {
            stdio::open_for_terminal(paths, owner).map(|keepers| (None, keepers))
        } else {
            stdio::open(paths, owner).map(|(ends, keepers)| (Some(ends), keepers))
        };
        let (ends, mut keepers) = opened.map_err(|error| refused_streams(id, &error))?;
        self.loggers.extend(keepers.take_logger());
        Ok((ends, keepers))
    }

    /// `Start` of a native container.
    pub(super) fn start_native(&mut self, ticket: Ticket, id: &str) -> Answer {
        let task = self.task(id)?;
        let Some(native) = &mut task.native else {
            return Err(no_such_task(id));
        };
        if native.is_starting() {
            let message = format!("task {id}: cannot be started: it is being started");
            return Err(Status::new(Code::FailedPrecondition, message));
        }
        native.queue.push_back(Work::Start(ticket));
        self.work_on(id);
        Ok(None)
    }

    /// `Delete` of a native container that has ended.
    pub(super) fn delete_native(&mut self, ticket: Ticket, id: &str, exit: Exit) {
        if let Some(native) = self.native(id) {
            let work = Work::Delete(Removal::Asked(ticket, exit));
            native.queue.push_back(work);
            self.work_on(id);
        }
    }

    fn native(&mut self, id: &str) -> Option<&mut Container> {
        self.tasks.get_mut(id)?.native.as_deref_mut()
    }

    /// Begins what is next for a native container, unless something is under way.
    fn work_on(&mut self, id: &str) {
        while let Some(native) = self.native(id)
            && native.current.is_none()
            && let Some(work) = native.queue.pop_front()
        {
            match begin(&native.runc, &work) {
                Ok(step) => native.current = Some((step, work)),
                Err(error) => {
                    let message = error.to_string();
                    self.on_work_done(id, work, Err(message), None);
                }
            }
        }
    }

    /// The native container that this child worked for, if it is one of those.
    pub(super) fn native_of(&self, child: Pid) -> Option<String> {
        let mut tasks = self.tasks.values();
        let task = tasks.find(|task| {
            let native = task.native.as_ref();
            native.is_some_and(|native| native.child() == Some(child))
        })?;
        Some(task.id.clone())
    }

    /// A child that worked for a native container has ended.
    pub(super) fn on_step_end(&mut self, id: &str, status: u32) {
        let Some((step, work)) = self.native(id).and_then(|native| native.current.take()) else {
            return;
        };
        let (result, console) = match step {
            Step::Runc(call, console) => (call.outcome(status), console),
            Step::Unmount(_) => (Ok(()), None),
        };
        self.on_work_done(id, work, result, console);
        self.work_on(id);
        self.tell_strays();
    }

    fn on_work_done(
        &mut self,
        id: &str,
        work: Work,
        result: Result<(), String>,
        console: Option<Console>,
    ) {
        let failed = |reason: String| Status::new(Code::Unknown, format!("task {id}: {reason}"));
        match work {
            Work::Create(_) => {
                let first = ProcessId::first(id);
                let made = result
                    .and_then(|()| self.take_terminal(&first, console))
                    .and_then(|()| self.on_made(id));
                if let Err(reason) = made {
                    self.remove_failed(id, failed(reason));
                }
            }
            Work::Start(ticket) => {
                let answer = result.map_err(failed).map(|()| self.on_started(id));
                self.server.answer(ticket, answer);
            }
            Work::Exec(joining) => self.on_joined(id, &joining, result, console),
            Work::Delete(removal) => match (result, removal) {
                // It may be tried again.
                (Err(reason), Removal::Asked(ticket, _)) => {
                    self.server.answer(ticket, Err(failed(reason)));
                }
                (result, removal) => {
                    if let Err(reason) = result {
                        self.log.warn(id, reason);
                    }
                    if let Some(native) = self.native(id) {
                        native.queue.push_front(Work::Unmount(removal));
                    }
                }
            },
            Work::Unmount(removal) => {
                if let Err(reason) = result {
                    self.log.warn(id, format_args!("unmounting: {reason}"));
                }
                self.on_removed(id, removal);
            }
        }
    }

    /// Takes the terminal that runc has made for a process, if it has.
    fn take_terminal(&mut self, id: &ProcessId, console: Option<Console>) -> Result<(), String> {
        let (Some(console), Some(process)) = (console, self.tasks.process(id)) else {
            return Ok(());
        };
        console
            .receive()
            .and_then(|terminal| process.keepers.attach(terminal))
            .map_err(|error| format!("the terminal from runc: {error}"))
    }

    /// runc has made the container: its first process is a child of ours now.
    fn on_made(&mut self, id: &str) -> Result<(), String> {
        let Some(task) = self.tasks.get_mut(id) else {
            return Ok(());
        };
        let (Phase::SettingUp(setup), Some(native)) = (&mut task.init.phase, &task.native) else {
            return Ok(());
        };
        if let Some(status) = &setup.failure {
            return Err(status.message.clone());
        }
        let ticket = setup.ticket;
        let pid = native.runc.pid_file(&Verb::Create { console: None });
        let pid = pid.map_or(Ok(0), |path| call::read_pid(&path));
        let pid = pid.map_err(|error| error.to_string())?;
        task.init.pid = pid;
        let number = pid.cast_unsigned();
        Record {
            pid: number,
            born: record::born(number).unwrap_or_default(),
            exit: None,
            runc: Some(native.runc.program.clone()),
        }
        .write(&task.bundle)
        .map_err(|error| error.to_string())?;
        self.on_created(id, ticket);
        Ok(())
    }

    /// The container's program runs; returns the answer to `Start`.
    fn on_started(&mut self, id: &str) -> Vec<u8> {
        let mut pid = 0;
        if let Some(task) = self.tasks.get_mut(id) {
            task.init.phase = Phase::Running;
            pid = task.init.pid();
        }
        let event = TaskStart {
            container_id: id.to_owned(),
            pid,
        };
        self.publisher.publish(Topic::Start, &event);
        let answer = reply(&StartResponse { pid });
        answer.ok().flatten().unwrap_or_default()
    }

    /// Unmounts what the probe may have left of a container that is none.
    pub(super) fn unmount(&mut self, id: &str, bundle: &Path) {
        if let Err(error) = unmount::start(&bundle.join("rootfs")) {
            self.log.warn(id, format_args!("unmounting: {error}"));
        }
    }
}

/// The first process of a container that is being set up.
fn first_process(
    request: &CreateTaskRequest,
    pid: Pid,
    setup: Setup,
    kind: Kind,
    keepers: Keepers,
) -> Process {
    Process {
        pid,
        phase: Phase::SettingUp(Box::new(setup)),
        kind,
        paths: Paths::from(request),
        terminal: request.terminal,
        keepers,
        waiting: Vec::new(),
        deleting: None,
    }
}

fn begin(runc: &Runc, work: &Work) -> std::io::Result<Step> {
    let call = |verb, ends: Option<&Ends>, console| {
        let call = Call::start(runc, &verb, ends.map(Ends::raw))?;
        Ok(Step::Runc(call, console))
    };
    // One run of runc's at a time, so one name will do.
    let console = |ends: &Option<Ends>| match ends {
        Some(_) => Ok(None),
        None => Console::new(&runc.bundle, "terminal").map(Some),
    };
    match work {
        Work::Create(ends) => {
            let socket = console(ends)?;
            let console = socket.as_ref().map(Console::path);
            call(Verb::Create { console }, ends.as_ref(), socket)
        }
        Work::Start(_) => call(Verb::Start, None, None),
        Work::Exec(joining) => {
            let exec = joining.exec.clone();
            write_private(&runc.process_file(&exec), &joining.process)?;
            let socket = console(&joining.ends)?;
            let console = socket.as_ref().map(Console::path);
            call(Verb::Exec { exec, console }, joining.ends.as_ref(), socket)
        }
        Work::Delete(_) => call(Verb::Delete, None, None),
        Work::Unmount(_) => unmount::start(&runc.bundle.join("rootfs")).map(Step::Unmount),
    }
}

/// The environment of a process may hold secrets.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(bytes)
}
