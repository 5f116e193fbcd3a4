//! The Sandbox API (`containerd.runtime.sandbox.v1.Sandbox`): what containerd asks for a pod of a handler with
//! `sandboxer = "shim"`. See [`crate::sandbox`].

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::json;
use slipway_shim_container::hold;
use slipway_shim_spec::Spec;
use slipway_shim_wire::NamespaceKind;

use super::Pod;
use super::service::{Answer, decode, empty, reply, unimplemented, waited};
use crate::api::sandbox::{
    CreateSandboxRequest, Platform, PlatformResponse, SandboxRequest, SandboxStatusResponse,
    StartSandboxResponse,
};
use crate::api::task::{CreateTaskRequest, ProcessRequest};
use crate::api::types::{Any, Timestamp};
use crate::args::is_identifier;
use crate::record;
use crate::sandbox::{Config, Files, Home, Sandbox};
use crate::signals;
use crate::task::{Exit, ProcessId};
use crate::ttrpc::message::{Code, Status};
use crate::ttrpc::server::Ticket;

/// The service's name.
pub(super) const SERVICE: &str = "containerd.runtime.sandbox.v1.Sandbox";

/// The type of a specification in an `Any`, as containerd registers it.
const SPEC: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";

fn process(id: &str) -> ProcessRequest {
    ProcessRequest {
        id: id.to_owned(),
        exec_id: String::new(),
    }
}

impl Pod {
    pub(super) fn dispatch_sandbox(
        &mut self,
        ticket: Ticket,
        method: &str,
        payload: &[u8],
    ) -> Answer {
        if method == "CreateSandbox" {
            return self.create_sandbox(ticket, &decode(payload)?);
        }
        let id = decode::<SandboxRequest>(payload)?.sandbox_id;
        match method {
            "StartSandbox" => self.start_sandbox(ticket, &id),
            "Platform" => self.sandbox(&id).and_then(|_| reply(&platform())),
            "PingSandbox" => self.sandbox(&id).and_then(|_| empty()),
            "WaitSandbox" => self.wait_for_sandbox(ticket, &id),
            "SandboxStatus" => self.sandbox_status(&id),
            "StopSandbox" => self.stop_sandbox(ticket, &id),
            "ShutdownSandbox" => self.shut_down_sandbox(ticket, &id),
            method => Err(unimplemented(format_args!("method {method}"))),
        }
    }

    fn sandbox(&mut self, id: &str) -> Result<&mut Sandbox, Status> {
        let sandbox = self.sandbox.as_mut().filter(|sandbox| sandbox.id == id);
        sandbox.ok_or_else(|| Status::new(Code::NotFound, format!("sandbox {id}: not found")))
    }

    fn create_sandbox(&mut self, ticket: Ticket, request: &CreateSandboxRequest) -> Answer {
        let id = request.sandbox_id.as_str();
        let refused =
            |code, why: &dyn std::fmt::Display| Status::new(code, format!("sandbox {id:?}: {why}"));
        if !is_identifier(id) {
            let why = "no containerd identifier";
            return Err(refused(Code::InvalidArgument, &why));
        }
        if self.sandbox.is_some() {
            return Err(refused(Code::AlreadyExists, &"this shim has one already"));
        }
        let bundle = PathBuf::from(&request.bundle_path);
        let invalid = |why: &dyn std::fmt::Display| refused(Code::InvalidArgument, why);
        let config = Config::read(request.options.as_ref(), &request.netns_path)
            .map_err(|error| invalid(&error))?;
        let json = config.spec(id).to_string();
        let spec = Spec::parse(&bundle, json.as_bytes()).map_err(|error| invalid(&error))?;
        let mut plan = spec.sandbox_plan(id).map_err(|error| invalid(&error))?;
        let files = Files::of(&bundle).map_err(|error| invalid(&error))?;
        let internal = |why: &dyn std::fmt::Display| refused(Code::Internal, why);
        let home = Home::open().map_err(|error| internal(&error))?;
        self.remember_binary(&bundle)
            .map_err(|error| internal(&error))?;
        let sandbox = Sandbox {
            id: id.to_owned(),
            config,
            spec: json,
            files,
            home,
            created: Timestamp::now(),
            exit: None,
            waiting: Vec::new(),
        };
        sandbox.make_files().map_err(|error| internal(&error))?;
        if sandbox.config.shares_processes() {
            record::write_atomically(&bundle, "config.json", sandbox.spec.as_bytes())
                .map_err(|error| internal(&error))?;
            self.sandbox = Some(sandbox);
            let request = CreateTaskRequest {
                id: id.to_owned(),
                bundle: request.bundle_path.clone(),
                ..CreateTaskRequest::default()
            };
            return self.create(ticket, request);
        }
        // The node's files are this process's business, now as before.
        plan.namespaces
            .retain(|namespace| namespace.kind != NamespaceKind::Mount);
        let held = hold(&plan);
        if held.is_err() {
            sandbox.leave(&self.log);
        }
        self.sandbox = Some(sandbox);
        held.map_err(|error| internal(&error))?;
        empty()
    }

    fn start_sandbox(&mut self, ticket: Ticket, id: &str) -> Answer {
        let sandbox = self.sandbox(id)?;
        let (created, spec) = (sandbox.created, sandbox.spec.clone());
        if sandbox.config.shares_processes() {
            self.start(ticket, &process(id))?;
        }
        reply(&StartSandboxResponse {
            pid: self.sandbox_pid(id),
            created_at: Some(created),
            spec: Some(Any {
                type_url: SPEC.to_owned(),
                value: spec.into_bytes(),
            }),
        })
    }

    /// A process in the sandbox's namespaces: the sleeper, or this one.
    fn sandbox_pid(&self, id: &str) -> u32 {
        let sleeper = self.tasks.get(id).map(|task| task.init.pid());
        sleeper.unwrap_or_else(std::process::id)
    }

    fn sandbox_exit(&mut self, id: &str) -> Result<Option<Exit>, Status> {
        let sandbox = self.sandbox(id)?;
        let (exit, shares) = (sandbox.exit, sandbox.config.shares_processes());
        let sleeper = self.tasks.get(id).and_then(|task| task.init.exit());
        Ok(if shares { sleeper.or(exit) } else { exit })
    }

    fn wait_for_sandbox(&mut self, ticket: Ticket, id: &str) -> Answer {
        if let Some(exit) = self.sandbox_exit(id)? {
            return Ok(Some(waited(exit)));
        }
        match self.tasks.get_mut(id) {
            Some(task) => task.init.waiting.push(ticket),
            None => self.sandbox(id)?.waiting.push(ticket),
        }
        Ok(None)
    }

    fn sandbox_status(&mut self, id: &str) -> Answer {
        let exit = self.sandbox_exit(id)?;
        if exit.is_none() && self.tasks.is_empty() {
            // What containerd asks before it makes a container.
            let scopes = self.sandbox(id)?.config.has_scopes();
            self.expect_container(scopes);
        }
        let pid = self.sandbox_pid(id);
        let sandbox = self.sandbox(id)?;
        let created_at = Some(sandbox.created);
        if exit.is_none()
            && let Err(error) = sandbox.make_files()
        {
            // Asked before each container is made; the next one has to do without.
            self.log.warn(id, error);
        }
        let state = match exit {
            None => "SANDBOX_READY",
            Some(_) => "SANDBOX_NOTREADY",
        };
        reply(&SandboxStatusResponse {
            sandbox_id: id.to_owned(),
            pid,
            state: state.to_owned(),
            info: HashMap::from([("info".to_owned(), json!({"pid": pid}).to_string())]),
            created_at,
            exited_at: exit.map(|exit| exit.at),
        })
    }

    fn stop_sandbox(&mut self, ticket: Ticket, id: &str) -> Answer {
        if self.sandbox_exit(id)?.is_some() {
            return empty();
        }
        for process in self.tasks.values().map(|task| &task.init) {
            if process.is_alive() {
                // Not reaped yet, so the number is its own.
                let _ = signals::send(process.pid, libc::SIGKILL);
            }
        }
        if let Some(task) = self.tasks.get_mut(id) {
            task.init.waiting.push(ticket);
            return Ok(None);
        }
        self.end_sandbox();
        empty()
    }

    /// Lets go of the namespaces, and tells who waits for that.
    fn end_sandbox(&mut self) {
        let Some(sandbox) = &mut self.sandbox else {
            return;
        };
        let exit = *sandbox.exit.get_or_insert_with(|| Exit::now(0));
        sandbox.leave(&self.log);
        for ticket in std::mem::take(&mut sandbox.waiting) {
            self.server.answer(ticket, Ok(waited(exit)));
        }
    }

    /// Removes the sandbox; this process leaves when its last container is removed as well.
    fn shut_down_sandbox(&mut self, ticket: Ticket, id: &str) -> Answer {
        self.end_sandbox();
        if let Some(sandbox) = self.sandbox.take()
            && let Err(error) = sandbox.files.remove()
        {
            self.log.warn(id, error);
        }
        self.shut_down = true;
        let Some(task) = self.tasks.get_mut(id) else {
            return empty();
        };
        match task.init.exit() {
            Some(exit) => {
                self.finish_delete(&ProcessId::first(id), exit);
                empty()
            }
            None => {
                // Not reaped yet, so the number is its own.
                let _ = signals::send(task.init.pid, libc::SIGKILL);
                task.init.deleting = Some(ticket);
                Ok(None)
            }
        }
    }
}

fn platform() -> PlatformResponse {
    PlatformResponse {
        platform: Some(Platform {
            os: "linux".to_owned(),
            architecture: match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            }
            .to_owned(),
        }),
    }
}
