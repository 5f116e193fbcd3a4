//! The task service: which method does what. `containerd.task.v2.Task` and `…v3.Task` are the same methods with the
//! same messages, and both are served, since containerd 2.x falls back from one to the other.
//!
//! Every method is answered. What is not offered is UNIMPLEMENTED, never NOT_FOUND: containerd takes that for a dead
//! task and cleans up (`shouldCleanupShim` in `core/runtime/v2/shim_load.go`, containerd 2.4).

use std::time::Instant;

use prost::Message;
use slipway_shim_cgroup::Resources;
use slipway_shim_spec::LinuxResources;

use super::{FAREWELL, Pod};
use crate::api::events::{TaskNotice, TaskStart};
use crate::api::metrics;
use crate::api::task::{
    CloseIoRequest, ConnectResponse, CreateTaskRequest, KillRequest, PidsResponse, ProcessRequest,
    StartResponse, StatsResponse, UpdateTaskRequest, WaitResponse,
};
use crate::api::types::ProcessInfo;
use crate::events::Topic;
use crate::signals;
use crate::task::{Exit, Init, Phase, Task};
use crate::ttrpc::message::{Code, Request, Status};
use crate::ttrpc::server::Ticket;
use slipway_shim_wire::ToWorker;

/// An answer, or `None` when it is given later.
type Answer = Result<Option<Vec<u8>>, Status>;

const SERVICES: [&str; 2] = ["containerd.task.v2.Task", "containerd.task.v3.Task"];

/// The answer of a method that returns nothing.
fn empty() -> Answer {
    Ok(Some(Vec::new()))
}

fn reply(message: &impl Message) -> Answer {
    Ok(Some(message.encode_to_vec()))
}

fn decode<M: Message + Default>(payload: &[u8]) -> Result<M, Status> {
    M::decode(payload).map_err(|error| Status::new(Code::InvalidArgument, error.to_string()))
}

fn unimplemented(what: impl std::fmt::Display) -> Status {
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
        if !SERVICES.contains(&request.service.as_str()) {
            return Err(unimplemented(format_args!("service {}", request.service)));
        }
        let payload = request.payload.as_slice();
        match request.method.as_str() {
            "Create" => self.create(ticket, decode::<CreateTaskRequest>(payload)?),
            "Start" => self.start(&decode(payload)?),
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
            // `terminal` is refused by Create, so there is nothing to resize.
            "ResizePty" => Err(unimplemented("a terminal")),
            "Exec" => Err(unimplemented("running another process in a Wasm container")),
            "Checkpoint" => Err(unimplemented("checkpointing")),
            method => Err(unimplemented(format_args!("method {method}"))),
        }
    }

    /// The task of a request, and none of its other processes, for there are none.
    pub(super) fn task(&mut self, id: &str, exec_id: &str) -> Result<&mut Task, Status> {
        let task = self.tasks.get_mut(id).ok_or_else(|| no_such_task(id))?;
        if exec_id.is_empty() {
            return Ok(task);
        }
        Err(Status::new(
            Code::NotFound,
            format!("process {exec_id} of task {id}: not found"),
        ))
    }

    fn start(&mut self, request: &ProcessRequest) -> Answer {
        let task = self.task(&request.id, &request.exec_id)?;
        let refused = |why: &str| {
            let message = format!("task {}: cannot be started: {why}", request.id);
            Err(Status::new(Code::FailedPrecondition, message))
        };
        match task.phase {
            Phase::Created => {}
            Phase::SettingUp(_) => return refused("it is still being set up"),
            Phase::Running | Phase::Paused => return refused("it runs already"),
            Phase::Stopped(exit) => {
                return refused(&format!("it ended with exit status {}", exit.status));
            }
        }
        if let Init::Worker(channel, _) = &task.init {
            channel.send(&ToWorker::Go, None).map_err(|error| {
                Status::new(
                    Code::Internal,
                    format!("task {}: starting the guest: {error}", request.id),
                )
            })?;
        }
        task.phase = Phase::Running;
        let pid = task.pid();
        // The event goes out first: subscribers must not hear of an exit before they hear of the start.
        let event = TaskStart {
            container_id: request.id.clone(),
            pid,
        };
        self.publisher.publish(Topic::Start, &event);
        reply(&StartResponse { pid })
    }

    fn state(&mut self, request: &ProcessRequest) -> Answer {
        reply(&self.task(&request.id, &request.exec_id)?.state())
    }

    fn pids(&mut self, request: &ProcessRequest) -> Answer {
        let task = self.task(&request.id, "")?;
        let mut pids = Vec::new();
        if let (None, Some(cgroup)) = (task.exit(), &task.cgroup) {
            // What cannot be read is not there; the first process is known anyway.
            pids = cgroup.pids().unwrap_or_default();
        }
        // Also once it has ended, until Delete: to a containerd that comes back, an empty list means a leaked shim,
        // and the exit status would be lost (`shouldCleanupShim`, containerd 2.4).
        if !pids.contains(&task.pid()) {
            pids.push(task.pid());
        }
        let processes = pids.into_iter().map(|pid| ProcessInfo { pid, info: None });
        reply(&PidsResponse {
            processes: processes.collect(),
        })
    }

    fn connect(&mut self, request: &ProcessRequest) -> Answer {
        reply(&ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: self.tasks.get(&request.id).map_or(0, Task::pid),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    fn wait(&mut self, ticket: Ticket, request: &ProcessRequest) -> Answer {
        let task = self.task(&request.id, &request.exec_id)?;
        match task.exit() {
            Some(exit) => Ok(Some(waited(exit))),
            None => {
                task.waiting.push(ticket);
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
        let task = self.task(&request.id, &request.exec_id)?;
        if task.exit().is_some() {
            let message = format!("task {}: process already finished: not found", request.id);
            return Err(Status::new(Code::NotFound, message));
        }
        let failed = |error: &dyn std::fmt::Display| {
            let message = format!("task {}: signal {signal}: {error}", request.id);
            Status::new(Code::Internal, message)
        };
        signals::send(task.pid, signal).map_err(|error| failed(&error))?;
        if signal == libc::SIGKILL
            && let Some(cgroup) = &task.cgroup
        {
            if request.all {
                cgroup.kill().map_err(|error| failed(&error))?;
            }
            if matches!(task.phase, Phase::Paused) {
                // On cgroup v1 a frozen process dies only once it is thawed.
                cgroup.thaw().map_err(|error| failed(&error))?;
            }
        }
        empty()
    }

    fn stats(&mut self, request: &ProcessRequest) -> Answer {
        let task = self.task(&request.id, "")?;
        let Some(cgroup) = &task.cgroup else {
            let message = format!("task {}: has no cgroup to count in", request.id);
            return Err(Status::new(Code::FailedPrecondition, message));
        };
        if task.exit().is_some() {
            // systemd removes an empty scope by itself; containerd passes over what is not found.
            return Err(Status::new(
                Code::NotFound,
                format!("task {}: has ended and is counted no more", request.id),
            ));
        }
        match cgroup.stats() {
            Ok(stats) => reply(&StatsResponse {
                stats: Some(metrics::encode(&stats)),
            }),
            Err(error) => {
                let message = format!("task {}: statistics: {error}", request.id);
                Err(Status::new(Code::Unknown, message))
            }
        }
    }

    fn update(&mut self, request: &UpdateTaskRequest) -> Answer {
        let invalid = |error: &dyn std::fmt::Display| {
            let message = format!("task {}: resources: {error}", request.id);
            Status::new(Code::InvalidArgument, message)
        };
        let task = self.task(&request.id, "")?;
        let Some(any) = &request.resources else {
            return empty();
        };
        if !any.type_url.ends_with("LinuxResources") {
            return Err(invalid(&format_args!(
                "{:?} are not LinuxResources",
                any.type_url
            )));
        }
        let oci: LinuxResources =
            serde_json::from_slice(&any.value).map_err(|error| invalid(&error))?;
        let resources = Resources::from_oci(&oci).map_err(|error| invalid(&error))?;
        if let Some(cgroup) = &task.cgroup {
            let job = cgroup.update(&resources).map_err(|error| invalid(&error))?;
            self.jobs.extend(job);
        }
        empty()
    }

    fn set_frozen(&mut self, request: &ProcessRequest, frozen: bool) -> Answer {
        let task = self.task(&request.id, "")?;
        let (Some(cgroup), true) = (
            &task.cgroup,
            matches!(task.phase, Phase::Running | Phase::Paused),
        ) else {
            let message = format!("task {}: not running in a cgroup", request.id);
            return Err(Status::new(Code::FailedPrecondition, message));
        };
        let result = if frozen {
            cgroup.freeze()
        } else {
            cgroup.thaw()
        };
        result.map_err(|error| {
            Status::new(Code::Internal, format!("task {}: {error}", request.id))
        })?;
        task.phase = if frozen {
            Phase::Paused
        } else {
            Phase::Running
        };
        let event = TaskNotice {
            container_id: request.id.clone(),
        };
        let topic = if frozen {
            Topic::Paused
        } else {
            Topic::Resumed
        };
        self.publisher.publish(topic, &event);
        empty()
    }

    fn close_io(&mut self, request: &CloseIoRequest) -> Answer {
        let task = self.task(&request.id, &request.exec_id)?;
        if request.stdin {
            task.keepers.close_stdin();
        }
        empty()
    }

    /// Under task v2 this comes once a container, so it means something only after the last.
    fn shutdown(&mut self) -> Answer {
        if self.tasks.is_empty() {
            self.leave_at = Some(Instant::now() + FAREWELL);
        }
        empty()
    }
}

/// The answer to `Wait`.
pub(super) fn waited(exit: Exit) -> Vec<u8> {
    WaitResponse {
        exit_status: exit.status,
        exited_at: Some(exit.at),
    }
    .encode_to_vec()
}
