//! The task service: which method does what. `containerd.task.v2.Task` and `…v3.Task` are the same methods with the
//! same messages, and both are served, since containerd 2.x falls back from one to the other.
//!
//! Every method is answered. What is not offered is UNIMPLEMENTED, never NOT_FOUND: containerd takes that for a dead
//! task and cleans up (`shouldCleanupShim` in `core/runtime/v2/shim_load.go`, containerd 2.4).

use std::time::Instant;

use prost::Message;

use super::{FAREWELL, Pod};
use crate::api::events::TaskStart;
use crate::api::task::{
    CloseIoRequest, ConnectResponse, CreateTaskRequest, KillRequest, PidsResponse, ProcessDetails,
    ProcessRequest, ResizePtyRequest, StartResponse, WaitResponse,
};
use crate::api::types::{Any, ProcessInfo};
use crate::events::Topic;
use crate::signals;
use crate::task::{Exit, Kind, Phase, Process, ProcessId, Task};
use crate::ttrpc::message::{Code, Request, Status};
use crate::ttrpc::server::Ticket;
use slipway_shim_cgroup::Cgroup;
use slipway_shim_wire::ToWorker;

/// An answer, or `None` when it is given later.
pub(super) type Answer = Result<Option<Vec<u8>>, Status>;

const SERVICES: [&str; 2] = ["containerd.task.v2.Task", "containerd.task.v3.Task"];

/// The answer of a method that returns nothing.
pub(super) fn empty() -> Answer {
    Ok(Some(Vec::new()))
}

pub(super) fn reply(message: &impl Message) -> Answer {
    Ok(Some(message.encode_to_vec()))
}

pub(super) fn decode<M: Message + Default>(payload: &[u8]) -> Result<M, Status> {
    M::decode(payload).map_err(|error| Status::new(Code::InvalidArgument, error.to_string()))
}

pub(super) fn unimplemented(what: impl std::fmt::Display) -> Status {
    Status::new(
        Code::Unimplemented,
        format!("{what} is not supported by the slipway shim"),
    )
}

pub(super) fn no_such_task(id: &str) -> Status {
    Status::new(Code::NotFound, format!("task {id}: not found"))
}

impl Pod {
    /// Does what a request asks for and answers it, now or later.
    pub(super) fn serve(&mut self, ticket: Ticket, request: Request) {
        match self.dispatch(ticket, &request) {
            Ok(None) => {}
            Ok(Some(payload)) => self.server.answer(ticket, Ok(payload)),
            Err(status) => {
                self.log.debug(
                    "",
                    format_args!("{} answered {}", request.method, status.message),
                );
                self.server.answer(ticket, Err(status));
            }
        }
    }

    fn dispatch(&mut self, ticket: Ticket, request: &Request) -> Answer {
        if request.service == super::sandbox::SERVICE {
            return self.dispatch_sandbox(ticket, &request.method, &request.payload);
        }
        if !SERVICES.contains(&request.service.as_str()) {
            return Err(unimplemented(format_args!("service {}", request.service)));
        }
        let payload = request.payload.as_slice();
        match request.method.as_str() {
            "Create" => self.create(ticket, decode::<CreateTaskRequest>(payload)?),
            "Start" => self.start(ticket, &decode(payload)?),
            "State" => self.state(&decode(payload)?),
            "Pids" => self.pids(&decode(payload)?),
            "Connect" => self.connect(&decode(payload)?),
            "Wait" => self.wait(ticket, &decode(payload)?),
            "Kill" => self.kill(&decode(payload)?),
            "Delete" => self.delete(ticket, &decode(payload)?),
            "Stats" => self.stats(&decode(payload)?),
            "Update" => self.update(&decode(payload)?),
            "Pause" => self.set_frozen(&decode(payload)?, true),
            "Resume" => self.set_frozen(&decode(payload)?, false),
            "CloseIO" => self.close_io(&decode(payload)?),
            "Shutdown" => self.shutdown(),
            "ResizePty" => self.resize(&decode(payload)?),
            "Exec" => self.exec(decode(payload)?),
            "Checkpoint" => Err(unimplemented("checkpointing")),
            method => Err(unimplemented(format_args!("method {method}"))),
        }
    }

    /// The task of a request.
    pub(super) fn task(&mut self, id: &str) -> Result<&mut Task, Status> {
        self.tasks.get_mut(id).ok_or_else(|| no_such_task(id))
    }

    /// The process of a request.
    pub(super) fn process(&mut self, id: &ProcessId) -> Result<&mut Process, Status> {
        self.task(&id.task)?
            .process(id.exec.as_deref())
            .ok_or_else(|| Status::new(Code::NotFound, format!("{id}: not found")))
    }

    pub(super) fn start(&mut self, ticket: Ticket, request: &ProcessRequest) -> Answer {
        let id = ProcessId::from(request);
        let process = self.process(&id)?;
        let refused = |why: &str| {
            let message = format!("{id}: cannot be started: {why}");
            Err(Status::new(Code::FailedPrecondition, message))
        };
        match process.phase {
            Phase::Created => {}
            Phase::Added(_) => return self.start_exec(ticket, &id),
            Phase::SettingUp(_) => return refused("it is still being set up"),
            Phase::Running | Phase::Paused | Phase::Ending(_) => {
                return refused("it runs already");
            }
            Phase::Stopped(exit) => {
                return refused(&format!("it ended with exit status {}", exit.status));
            }
        }
        if matches!(process.kind, Kind::Native) {
            return self.start_native(ticket, &id.task);
        }
        if let Some(channel) = process.kind.channel() {
            channel.send(&ToWorker::Go, None).map_err(|error| {
                let message = format!("{id}: starting the guest: {error}");
                Status::new(Code::Internal, message)
            })?;
        }
        process.phase = Phase::Running;
        let pid = process.pid();
        let sandbox = matches!(process.kind, Kind::Pause(_));
        let task = id.task.clone();
        // The event goes out first: subscribers must not hear of an exit before they hear of the start.
        let event = TaskStart {
            container_id: id.task,
            pid,
        };
        self.publisher.publish(Topic::Start, &event);
        if sandbox {
            let own = self.tasks.get(&task).and_then(|task| task.cgroup.as_ref());
            let scopes = own.is_some_and(|cgroup| cgroup.unit().is_some());
            self.expect_container(scopes);
        }
        reply(&StartResponse { pid })
    }

    fn state(&mut self, request: &ProcessRequest) -> Answer {
        let id = ProcessId::from(request);
        let state = self.task(&id.task)?.state(&request.exec_id);
        reply(&state.ok_or_else(|| Status::new(Code::NotFound, format!("{id}: not found")))?)
    }

    fn pids(&mut self, request: &ProcessRequest) -> Answer {
        let task = self.task(&request.id)?;
        let mut pids = Vec::new();
        if let (None, Some(cgroup)) = (task.init.exit(), &task.cgroup) {
            // What cannot be read is not there; the first process is known anyway.
            pids = cgroup.pids().unwrap_or_default();
        }
        // Also once it has ended, until Delete: to a containerd that comes back, an empty list means a leaked shim,
        // and the exit status would be lost (`shouldCleanupShim`, containerd 2.4).
        let first = task.first_pid();
        if !pids.contains(&first) {
            pids.push(first);
        }
        let processes = pids.into_iter().map(|pid| ProcessInfo {
            pid,
            info: details(task, pid),
        });
        reply(&PidsResponse {
            processes: processes.collect(),
        })
    }

    fn connect(&mut self, request: &ProcessRequest) -> Answer {
        reply(&ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: self
                .tasks
                .get(&request.id)
                .map_or(0, |task| task.init.pid()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    fn wait(&mut self, ticket: Ticket, request: &ProcessRequest) -> Answer {
        let process = self.process(&request.into())?;
        match process.exit() {
            Some(exit) => Ok(Some(waited(exit))),
            None => {
                process.waiting.push(ticket);
                Ok(None)
            }
        }
    }

    fn kill(&mut self, request: &KillRequest) -> Answer {
        let signal = i32::try_from(request.signal)
            .ok()
            .filter(|signal| (1..=64).contains(signal))
            .ok_or_else(|| {
                let message = format!("{} is no signal", request.signal);
                Status::new(Code::InvalidArgument, message)
            })?;
        let id = ProcessId::new(&request.id, &request.exec_id);
        let failed = |error: &dyn std::fmt::Display| {
            let message = format!("{id}: signal {signal}: {error}");
            Status::new(Code::Internal, message)
        };
        let process = self.process(&id)?;
        match process.phase {
            Phase::Stopped(_) => {
                let message = format!("{id}: process already finished: not found");
                return Err(Status::new(Code::NotFound, message));
            }
            // Dead, though nobody has been told yet.
            Phase::Ending(_) => return empty(),
            _ if process.pid == 0 => {
                let message = format!("{id}: process not started");
                return Err(Status::new(Code::FailedPrecondition, message));
            }
            _ => signals::send(process.pid, signal).map_err(|error| failed(&error))?,
        }
        let task = self.task(&request.id)?;
        if let (true, Some(cgroup)) = (signal == libc::SIGKILL, &task.cgroup) {
            if request.all && id.exec.is_none() {
                cgroup.kill().map_err(|error| failed(&error))?;
            } else if matches!(task.init.phase, Phase::Paused) && id.exec.is_none() {
                // On cgroup v1 a frozen process dies only once it is thawed.
                cgroup.thaw().map_err(|error| failed(&error))?;
            }
        } else if request.all && id.exec.is_none() {
            send_to_all(task, signal);
        }
        empty()
    }

    fn close_io(&mut self, request: &CloseIoRequest) -> Answer {
        let process = self.process(&ProcessId::new(&request.id, &request.exec_id))?;
        if request.stdin {
            process.keepers.close_stdin();
        }
        empty()
    }

    fn resize(&mut self, request: &ResizePtyRequest) -> Answer {
        let id = ProcessId::new(&request.id, &request.exec_id);
        let process = self.process(&id)?;
        let (Ok(width), Ok(height)) = (request.width.try_into(), request.height.try_into()) else {
            let message = format!("{id}: {} by {} is no size", request.width, request.height);
            return Err(Status::new(Code::InvalidArgument, message));
        };
        let Some(terminal) = process.keepers.terminal() else {
            // containerd's clients also tell the size before there is a terminal, and once more after the start.
            if process.terminal && matches!(process.phase, Phase::Added(_) | Phase::SettingUp(_)) {
                return empty();
            }
            let message = format!("{id}: has no terminal");
            return Err(Status::new(Code::FailedPrecondition, message));
        };
        terminal.resize(width, height).map_err(|error| {
            Status::new(Code::FailedPrecondition, format!("{id}: terminal: {error}"))
        })?;
        empty()
    }

    /// Under task v2 this comes once a container, so it means something only after the last.
    fn shutdown(&mut self) -> Answer {
        if self.is_empty() {
            self.leave_at = Some(Instant::now() + FAREWELL);
        }
        empty()
    }
}

/// Sends a signal to every process of a container but its first. One that has just ended needs none.
fn send_to_all(task: &Task, signal: i32) {
    let pids = task.cgroup.as_ref().map(Cgroup::pids);
    for pid in pids.and_then(Result::ok).unwrap_or_default() {
        if pid != task.init.pid() {
            let _ = signals::send(pid.cast_signed(), signal);
        }
    }
}

/// Which exec a process of a container is, as containerd's runc shim tells it.
fn details(task: &Task, pid: u32) -> Option<Any> {
    let (exec_id, _) = task.execs.iter().find(|(_, exec)| exec.pid() == pid)?;
    let details = ProcessDetails {
        exec_id: exec_id.clone(),
    };
    Some(Any {
        type_url: "containerd.runc.v1.ProcessDetails".to_owned(),
        value: details.encode_to_vec(),
    })
}

/// The answer to `Wait`.
pub(super) fn waited(exit: Exit) -> Vec<u8> {
    WaitResponse {
        exit_status: exit.status,
        exited_at: Some(exit.at),
    }
    .encode_to_vec()
}
