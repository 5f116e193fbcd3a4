//! `Exec`: another process in a container that stands.
//!
//! `Exec` only takes note. `Start` makes a worker in the container's PID namespace and cgroup, which joins the other
//! namespaces of the container's first process, is set up as that one was, and runs at once when it is ready. What goes
//! wrong with it is the exec's own failure. In a native container `Start` is a run of runc's.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use slipway_shim_cgroup::Cgroup;
use slipway_shim_spec::{PidNamespace, Spec};
use slipway_shim_wire::ToWorker;

use super::Pod;
use super::create::{layers, refused_streams};
use super::service::{Answer, empty, reply};
use crate::api::events::{TaskExecAdded, TaskExecStarted};
use crate::api::task::{ExecProcessRequest, StartResponse};
use crate::args::is_identifier;
use crate::events::Topic;
use crate::native::exec;
use crate::spawn::Birth;
use crate::task::stdio::{self, Keepers, Owner, Paths};
use crate::task::{Added, Kind, Phase, Process, ProcessId, Setup, Task, Worker};
use crate::ttrpc::message::{Code, Status};
use crate::ttrpc::server::Ticket;

/// More than probes and people have at once; `Exec` alone costs memory until `Delete`.
const MAX_EXECS: usize = 256;

impl Pod {
    /// Takes note of a process to be started.
    pub(super) fn exec(&mut self, request: ExecProcessRequest) -> Answer {
        let id = ProcessId::new(&request.id, &request.exec_id);
        let task = self.task(&request.id)?;
        let refused = |code, why: &str| Status::new(code, format!("{id}: {why}"));
        if !is_identifier(&request.exec_id) {
            return Err(refused(Code::InvalidArgument, "no containerd identifier"));
        }
        if task.execs.contains_key(&request.exec_id) {
            return Err(refused(Code::AlreadyExists, "exists already"));
        }
        if task.execs.len() >= MAX_EXECS {
            let why = format!("the container has {MAX_EXECS} of them already; delete some");
            return Err(refused(Code::ResourceExhausted, &why));
        }
        may_exec(task).map_err(|why| refused(Code::FailedPrecondition, why))?;
        let json = request.spec.as_ref().map_or(&[][..], |any| &any.value);
        let invalid =
            |error: &dyn std::fmt::Display| refused(Code::InvalidArgument, &error.to_string());
        let (added, kind) = if task.native.is_some() {
            let process = exec::process(json, request.terminal).map_err(|error| invalid(&error))?;
            (Added::Native(process), Kind::Native)
        } else {
            let mut plan = Spec::load(&task.bundle)
                .and_then(|spec| spec.exec_plan(&request.id, json))
                .map_err(|error| invalid(&error))?;
            plan.options.clone_from(&task.options);
            (Added::Worker(Box::new(plan)), Kind::Worker(None))
        };
        let process = Process {
            pid: 0,
            phase: Phase::Added(added),
            kind,
            paths: Paths {
                stdin: request.stdin,
                stdout: request.stdout,
                stderr: request.stderr,
            },
            terminal: request.terminal,
            keepers: Keepers::default(),
            waiting: Vec::new(),
            deleting: None,
        };
        task.execs.insert(request.exec_id.clone(), process);
        let event = TaskExecAdded {
            container_id: request.id,
            exec_id: request.exec_id,
        };
        self.publisher.publish(Topic::ExecAdded, &event);
        empty()
    }

    /// Makes the process of an exec. The answer follows when it runs.
    pub(super) fn start_exec(&mut self, ticket: Ticket, id: &ProcessId) -> Answer {
        let Self {
            tasks,
            programs,
            publisher,
            loggers,
            ..
        } = self;
        let Some((task, exec)) = tasks.get_mut(&id.task).zip(id.exec.as_deref()) else {
            return empty();
        };
        let failed = |code, why: String| Status::new(code, format!("{id}: {why}"));
        may_exec(task).map_err(|why| failed(Code::FailedPrecondition, why.to_owned()))?;
        if task.native.is_some() {
            return self.start_native_exec(ticket, id);
        }
        let init = task.init.pid();
        let internal = |error: &dyn std::fmt::Display| failed(Code::Internal, error.to_string());
        let container = open_process(init).map_err(|error| internal(&error))?;
        let directory = task.cgroup.as_ref().map(Cgroup::directory);
        let directory = directory.transpose().map_err(|error| internal(&error))?;
        let pid_namespace = PidNamespace::Join(format!("/proc/{init}/ns/pid").into());
        let birth = Birth {
            pid_namespace: &pid_namespace,
            cgroup: directory.as_ref().and_then(Option::as_ref).map(AsFd::as_fd),
        };
        let namespace = layers(&task.rootfs);
        let cgroup = task.cgroup.clone();
        let Some(process) = task.execs.get_mut(exec) else {
            return empty();
        };
        let open = if process.terminal {
            stdio::open_terminal
        } else {
            stdio::open
        };
        let owner = Owner {
            process: id,
            namespace: publisher.namespace(),
        };
        let (ends, mut keepers) =
            open(&process.paths, owner).map_err(|error| refused_streams(id, &error))?;
        loggers.extend(keepers.take_logger());
        let (pid, channel) = programs
            .spawn_worker(birth, &ends)
            .map_err(|error| internal(&error))?;
        drop(ends);
        let Phase::Added(Added::Worker(plan)) = &mut process.phase else {
            return empty();
        };
        let plan = std::mem::take(plan);
        let order = (ToWorker::Join(plan), Some(container));
        process.phase = Phase::SettingUp(Box::new(Setup::new(ticket, None, Some(order))));
        process.kind = Kind::Worker(Some(Worker { channel, namespace }));
        process.pid = pid;
        process.keepers = keepers;
        let joined = cgroup.map_or(Ok(()), |cgroup| cgroup.join(pid.cast_unsigned()));
        match joined {
            Ok(()) => self.on_placement(id),
            Err(error) => {
                let status = failed(Code::Internal, format!("cgroup: {error}"));
                self.fail_setup(id, status);
            }
        }
        Ok(None)
    }

    /// An exec stands: lets it run, and answers its `Start`.
    pub(super) fn on_exec_ready(&mut self, id: &ProcessId, ticket: Ticket) {
        if !self.is_logged(id) {
            return;
        }
        let Some((process, exec)) = self.tasks.process(id).zip(id.exec.as_ref()) else {
            return;
        };
        if let Some(channel) = process.kind.channel()
            && let Err(error) = channel.send(&ToWorker::Go, None)
        {
            let message = format!("{id}: starting the guest: {error}");
            return self.fail_setup(id, Status::new(Code::Internal, message));
        }
        process.phase = Phase::Running;
        let pid = process.pid();
        let event = TaskExecStarted {
            container_id: id.task.clone(),
            exec_id: exec.clone(),
            pid,
        };
        self.publisher.publish(Topic::ExecStarted, &event);
        let answer = reply(&StartResponse { pid });
        if let Ok(Some(answer)) = answer {
            self.server.answer(ticket, Ok(answer));
        }
    }
}

/// Whether another process may join this container now, and if not, why.
pub(super) fn may_exec(task: &Task) -> Result<(), &'static str> {
    if matches!(task.init.kind, Kind::Pause(_)) {
        return Err("the pod's sandbox runs no other process; exec into one of its containers");
    }
    match task.init.phase {
        Phase::Created | Phase::Running => Ok(()),
        Phase::Added(_) | Phase::SettingUp(_) => Err("the container is still being set up"),
        Phase::Paused => Err("the container is paused; resume it first"),
        Phase::Ending(_) | Phase::Stopped(_) => Err("the container has stopped"),
    }
}

/// `/proc/<pid>`, which stays that process's however its number is used later.
fn open_process(pid: u32) -> std::io::Result<OwnedFd> {
    let directory = File::options()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(format!("/proc/{pid}"))?;
    Ok(directory.into())
}
