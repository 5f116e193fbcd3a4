//! `Create`: from a bundle to a process that sets itself up.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use prost::Message;
use slipway_shim_cache::Namespace;
use slipway_shim_cgroup::{Cgroup, CgroupsPath, Hierarchies, Resources};
use slipway_shim_spec::{ContainerType, PidNamespace, RootfsMount, Spec};
use slipway_shim_wire::{ChannelError, Plan, ToWorker};

use super::Pod;
use crate::api::task::CreateTaskRequest;
use crate::api::types::Mount;
use crate::args::is_identifier;
use crate::options::{self, OptionsError};
use crate::pause;
use crate::record::{self, Record};
use crate::spawn::{self, Birth, Pid};
use crate::task::stdio::{self, Ends, Keepers, Owner, Paths, StdioError};
use crate::task::{Kind, Phase, Process, ProcessId, Setup, Task, Worker};
use crate::ttrpc::message::{Code, Status};
use crate::ttrpc::server::Ticket;

/// A container whose bundle makes sense, before anything is made of it.
struct Prepared {
    plan: Plan,
    sandbox: bool,
    pid_namespace: PidNamespace,
    cgroup: Option<Cgroup>,
    resources: Resources,
    ends: Ends,
    keepers: Keepers,
}

impl Pod {
    /// Makes the container's process. The answer follows when that is set up and in its cgroup.
    pub(super) fn create(
        &mut self,
        ticket: Ticket,
        request: CreateTaskRequest,
    ) -> Result<Option<Vec<u8>>, Status> {
        let bundle = PathBuf::from(&request.bundle);
        self.check(&request, &bundle)?;
        let spec = load(&request)?;
        let sandbox = spec.container_type() == ContainerType::Sandbox;
        let probe = if sandbox {
            None
        } else {
            spec.probe(&root(&request, &spec), &mounts(&request))
                .map_err(|error| invalid(&request.id, &error))?
        };
        let internal = |error: std::io::Error| {
            Status::new(Code::Internal, format!("task {}: {error}", request.id))
        };
        Record::default().write(&bundle).map_err(internal)?;
        self.remember_binary(&bundle).map_err(internal)?;
        let made = match probe {
            None => self.create_wasm(ticket, request, &spec),
            Some(probe) => self.probe(ticket, request, probe),
        };
        if made.is_err() {
            Record::remove(&bundle);
        }
        made.map(|()| None)
    }

    /// Makes the process of a container that is not native.
    pub(super) fn create_wasm(
        &mut self,
        ticket: Ticket,
        request: CreateTaskRequest,
        spec: &Spec,
    ) -> Result<(), Status> {
        let bundle = PathBuf::from(&request.bundle);
        let internal = |error: std::io::Error| {
            Status::new(Code::Internal, format!("task {}: {error}", request.id))
        };
        let Prepared {
            plan,
            sandbox,
            pid_namespace,
            cgroup,
            resources,
            ends,
            keepers,
        } = self.prepare(&request, spec)?;
        let clean_up = || {
            if let Some(cgroup) = &cgroup {
                super::delete::remove_cgroup(cgroup, &request.id, &self.log);
            }
        };
        let directory = match &cgroup {
            Some(cgroup) => cgroup.prepare(&resources).map_err(|error| {
                clean_up();
                Status::new(Code::Internal, format!("task {}: {error}", request.id))
            })?,
            None => None,
        };
        let birth = Birth {
            pid_namespace: &pid_namespace,
            cgroup: directory.as_ref().map(std::os::fd::AsFd::as_fd),
        };
        let (pid, kind) = if sandbox {
            spawn_pause(birth, &plan)
        } else {
            let namespace = layers(&request.rootfs);
            self.programs
                .spawn_worker(birth, &ends)
                .map(|(pid, channel)| (pid, Kind::Worker(Some(Worker { channel, namespace }))))
        }
        .map_err(|error| {
            clean_up();
            internal(error)
        })?;
        drop(ends);

        let number = pid.cast_unsigned();
        let ahead = self.systemd.take();
        let placement = cgroup
            .as_ref()
            .map(|cgroup| cgroup.place(number, &resources, ahead));
        let (placement, failure) = match placement.transpose() {
            Ok(placement) => (placement, None),
            Err(error) => {
                let message = format!("task {}: cgroup: {error}", request.id);
                (None, Some(Status::new(Code::Internal, message)))
            }
        };
        let id = request.id.clone();
        let options = plan.options.clone();
        let order = (!sandbox).then_some((ToWorker::Placed, None));
        // It is set up on its way into the cgroup. One that has ended already is reaped, and then its status is told.
        let sent = match kind.channel() {
            Some(channel) => channel.send(&ToWorker::Plan(Box::new(plan)), None),
            None => Ok(()),
        };
        let failure = failure.or_else(|| match sent {
            Ok(()) | Err(ChannelError::Closed) => None,
            Err(error) => {
                let message = format!("task {}: {error}", request.id);
                Some(Status::new(Code::Internal, message))
            }
        });
        let task = Task {
            id: id.clone(),
            options,
            init: Process {
                pid,
                phase: Phase::SettingUp(Box::new(Setup::new(ticket, placement, order))),
                kind,
                paths: Paths::from(&request),
                terminal: request.terminal,
                keepers,
                waiting: Vec::new(),
                deleting: None,
            },
            execs: BTreeMap::new(),
            rootfs: request.rootfs,
            owns_pids: pid_namespace == PidNamespace::New,
            cgroup,
            oom: None,
            bundle,
            probed: None,
            native: None,
        };
        let recorded = Record {
            pid: number,
            born: record::born(number).unwrap_or_default(),
            ..Record::default()
        }
        .write(&task.bundle);
        self.tasks.insert(id.clone(), task);
        let id = ProcessId::first(&id);
        if let Some(status) = failure {
            self.fail_setup(&id, status);
        } else if let Err(error) = recorded {
            self.fail_setup(&id, Status::new(Code::Internal, error.to_string()));
        } else {
            self.on_placement(&id);
        }
        Ok(())
    }

    fn check(&self, request: &CreateTaskRequest, bundle: &Path) -> Result<(), Status> {
        let refused = |code, what: &str| {
            let message = format!("task {:?}: {what}", request.id);
            Err(Status::new(code, message))
        };
        if !is_identifier(&request.id) {
            return refused(Code::InvalidArgument, "no containerd identifier");
        }
        if self.tasks.contains_key(&request.id) {
            return refused(Code::AlreadyExists, "exists already");
        }
        if !bundle.is_absolute() {
            return refused(Code::InvalidArgument, "the bundle is not an absolute path");
        }
        if !request.checkpoint.is_empty() {
            return refused(
                Code::Unimplemented,
                "restoring a checkpoint is not supported by the slipway shim",
            );
        }
        Ok(())
    }

    fn prepare(&mut self, request: &CreateTaskRequest, spec: &Spec) -> Result<Prepared, Status> {
        let id = &request.id;
        let sandbox = spec.container_type() == ContainerType::Sandbox;
        let mut plan = if sandbox {
            spec.sandbox_plan(id)
        } else {
            spec.plan(id, &root(request, spec), &mounts(request))
        }
        .map_err(|error| invalid(id, &error))?;
        plan.options = self
            .options(request, spec)
            .map_err(|error| invalid(id, &error))?;
        let pid_namespace = spec.pid_namespace().map_err(|error| invalid(id, &error))?;
        let resources = match spec.resources() {
            Some(resources) => {
                Resources::from_oci(resources).map_err(|error| invalid(id, &error))?
            }
            None => Resources::default(),
        };
        let cgroup = self.cgroup(id, spec)?;
        // The sleeper says and hears nothing.
        let open = if request.terminal && !sandbox {
            stdio::open_terminal
        } else {
            stdio::open
        };
        let id = ProcessId::first(&request.id);
        let owner = Owner {
            process: &id,
            namespace: self.publisher.namespace(),
        };
        let (ends, mut keepers) =
            open(&Paths::from(request), owner).map_err(|error| refused_streams(&id, &error))?;
        self.loggers.extend(keepers.take_logger());
        Ok(Prepared {
            plan,
            sandbox,
            pid_namespace,
            cgroup,
            resources,
            ends,
            keepers,
        })
    }

    /// The options of the handler. For a pod with users of its own containerd 2.0 sends some of runc's instead
    /// (containerd#11480); its sandbox came with the handler's.
    fn options(&self, request: &CreateTaskRequest, spec: &Spec) -> Result<String, OptionsError> {
        let options = request.options.as_ref();
        let sandbox = spec.sandbox_id().and_then(|id| self.tasks.get(id));
        match sandbox {
            Some(sandbox) if !options::are_given(options) => Ok(sandbox.options.clone()),
            _ => options::body(options),
        }
    }

    /// Where the container is counted and limited.
    pub(super) fn cgroup(&mut self, id: &str, spec: &Spec) -> Result<Option<Cgroup>, Status> {
        let Some(path) = spec.cgroups_path() else {
            return Ok(None);
        };
        let text = path
            .to_str()
            .ok_or_else(|| invalid(id, &"cgroupsPath is not UTF-8"))?;
        let path = CgroupsPath::parse(text).map_err(|error| invalid(id, &error))?;
        Ok(Some(Cgroup::new(self.hierarchies()?, path)))
    }

    /// The host's cgroup hierarchies, looked at once.
    pub(super) fn hierarchies(&mut self) -> Result<&Hierarchies, Status> {
        if self.hierarchies.is_none() {
            let found = Hierarchies::detect()
                .map_err(|error| Status::new(Code::Internal, error.to_string()))?;
            self.hierarchies = Some(found);
        }
        self.hierarchies
            .as_ref()
            .ok_or_else(|| Status::new(Code::Internal, "no cgroup hierarchies"))
    }

    /// containerd ≥ 2.0.6 writes no `shim-binary-path` for containers that share a version 3 shim, and without one
    /// it looks the runtime up by name after a restart; what it does not find it deletes.
    pub(super) fn remember_binary(&self, bundle: &Path) -> std::io::Result<()> {
        const NAME: &str = "shim-binary-path";
        if bundle.join(NAME).exists() {
            return Ok(());
        }
        let own = self.programs.own().as_os_str().as_encoded_bytes();
        record::write_atomically(bundle, NAME, own)
    }
}

/// The spec of the container that is asked for.
pub(super) fn load(request: &CreateTaskRequest) -> Result<Spec, Status> {
    Spec::load(Path::new(&request.bundle)).map_err(|error| invalid(&request.id, &error))
}

pub(super) fn invalid(id: &str, error: &dyn std::fmt::Display) -> Status {
    Status::new(Code::InvalidArgument, format!("task {id}: {error}"))
}

/// Streams that cannot be opened.
pub(super) fn refused_streams(id: &ProcessId, error: &StdioError) -> Status {
    let code = match error {
        StdioError::Scheme { .. } => Code::Unimplemented,
        StdioError::Uri { .. } => Code::InvalidArgument,
        StdioError::Open { .. } => Code::Internal,
    };
    Status::new(code, format!("{id}: {error}"))
}

/// Where the root file system is or will be mounted.
fn root(request: &CreateTaskRequest, spec: &Spec) -> PathBuf {
    if request.rootfs.is_empty() {
        return spec.root_path();
    }
    Path::new(&request.bundle).join("rootfs")
}

fn mounts(request: &CreateTaskRequest) -> Vec<RootfsMount> {
    request.rootfs.iter().map(rootfs_mount).collect()
}

fn spawn_pause(birth: Birth<'_>, plan: &Plan) -> std::io::Result<(Pid, Kind)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let mut writer = Some(writer);
    let pid = spawn::fork(birth, || match writer.take() {
        Some(writer) => pause::run(plan, writer),
        None => unreachable!("a fork runs its body once"),
    })?;
    Ok((pid, Kind::Pause(Some(File::from(reader)))))
}

fn rootfs_mount(mount: &Mount) -> RootfsMount {
    RootfsMount {
        fstype: mount.r#type.clone(),
        source: mount.source.clone(),
        target: mount.target.clone(),
        options: mount.options.clone(),
    }
}

/// What names the content of a root file system: the layers of its overlay, which only containerd writes. Without
/// an overlay nothing does, and files are known by their hash alone.
pub(super) fn layers(mounts: &[Mount]) -> Option<Namespace> {
    let overlay = mounts.iter().find(|mount| mount.r#type == "overlay")?;
    let layers = overlay
        .options
        .iter()
        .find_map(|option| option.strip_prefix("lowerdir="))?;
    Some(Namespace::new(layers))
}

/// The answer to `Create`.
pub(super) fn created(pid: u32) -> Vec<u8> {
    crate::api::task::CreateTaskResponse { pid }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_name_a_root_file_system_and_the_writable_one_does_not() {
        let overlay = |upper: &str| Mount {
            r#type: "overlay".into(),
            options: vec![
                format!("upperdir={upper}"),
                "lowerdir=/snapshots/2/fs:/snapshots/1/fs".into(),
            ],
            ..Mount::default()
        };
        let first = layers(&[overlay("/snapshots/3/fs")]);
        assert!(first.is_some());
        assert_eq!(first, layers(&[overlay("/snapshots/4/fs")]));
        let bind = Mount {
            r#type: "bind".into(),
            ..Mount::default()
        };
        assert_eq!(layers(&[bind]), None);
    }
}
