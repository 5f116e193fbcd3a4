//! Being a container: the worker's side of the control channel.

use std::fs::File;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use slipway_shim_container::{
    ModuleError, OpenedModule, Profile, SetupError, command, drop_privileges, enter, join,
    open_module, preopens, seal,
};
use slipway_shim_options::{Options, Root, Seccomp};
use slipway_shim_wire::{
    Channel, ChannelError, EXIT_NOT_RUNNABLE, Plan, Process, ToPod, ToWorker, WORKER_FD,
};
use wasmtime::PoolingAllocationConfig;

use crate::ending::say;
use crate::guest::Guest;
use crate::{Ending, Invocation, exec, invocation, probe, signals};

/// Exit status when the pod process is gone, or speaks another protocol (`EX_PROTOCOL`, sysexits.h).
const EXIT_PROTOCOL: i32 = 76;
/// Exit status when the container cannot be set up; the pod process has the reason.
const EXIT_SETUP: i32 = 71;

/// What a worker was made for.
enum Work {
    Guest(Guest),
    /// What an exec asks for that is no guest.
    Shell(Process),
}

impl Work {
    fn run(self) -> Ending {
        match self {
            Self::Guest(guest) => guest.run(),
            Self::Shell(process) => exec::shell(&process),
        }
    }
}

/// Why a worker gave up before it had a guest to run.
#[derive(Debug, thiserror::Error)]
enum GaveUp {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("control channel: unexpected {0}")]
    Unexpected(&'static str),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("installing signal handlers: {0}")]
    Signals(std::io::Error),
}

/// Becomes the container that the pod process asks for on descriptor [`WORKER_FD`], runs its guest, and
/// gives the exit status.
#[must_use]
pub fn serve() -> i32 {
    // SAFETY: the pod process spawns workers with their channel there, and nothing here has touched it.
    let mut channel = Channel::new(unsafe { OwnedFd::from_raw_fd(WORKER_FD) });
    let prepared = match prepare(&mut channel) {
        Ok(prepared) => prepared,
        Err(GaveUp::Setup(error)) => {
            let message = error.to_string();
            // Without the pod process the exit status has to do.
            let _ = channel.send(&ToPod::SetupFailed { message }, None);
            return EXIT_SETUP;
        }
        Err(error) => return lost(&error),
    };
    match go(channel) {
        Ok(()) => prepared.map_or_else(|ending| ending, Work::run).tell(),
        Err(error) => lost(&error),
    }
}

fn lost(error: &GaveUp) -> i32 {
    say(&error.to_string());
    EXIT_PROTOCOL
}

/// Sets up the container and its guest. `Ok(Err(_))` is a guest that cannot be run, which the user is told
/// when the container is started.
fn prepare(channel: &mut Channel) -> Result<Result<Work, Ending>, GaveUp> {
    let (plan, joined) = match channel.recv()? {
        (ToWorker::Plan(plan), _) => (plan, None),
        (ToWorker::Join(plan), Some(container)) => (plan, Some(container)),
        (ToWorker::Probe(asked), _) => probe::answer(channel, &asked),
        (other, _) => return Err(unexpected(&other)),
    };
    signals::end_at_once().map_err(GaveUp::Signals)?;
    let mut memory_limit = None;
    match &joined {
        None => enter(&plan, || {
            memory_limit = placed(channel)?;
            Ok::<_, GaveUp>(())
        })?,
        Some(container) => join(&plan, container.as_fd())?,
    }
    // Opens this process's own page map if the kernel can scan it: for servers, and as root only.
    let _ = PoolingAllocationConfig::is_pagemap_scan_available();
    drop_privileges(&plan)?;
    signals::end_with_parent().map_err(GaveUp::Signals)?;
    if joined.is_some() && !exec::is_wasm(&plan) {
        seal(&plan, Profile::Guest)?;
        return Ok(Ok(Work::Shell(plan.process)));
    }
    let options = invocation::options(&plan);
    // A container whose options cannot be read runs nothing, under the stricter profile.
    let profile = options.as_ref().map_or(Profile::Guest, profile);
    let found = match options {
        Ok(options) => find(channel, &plan, options)?,
        Err(error) => Err(Ending {
            status: EXIT_NOT_RUNNABLE,
            message: Some(error.to_string()),
        }),
    };
    let prepared = match found {
        Ok((code, invocation)) => {
            // SAFETY: the pod process sends files out of the node's cache only.
            unsafe { Guest::prepare(&code, invocation, memory_limit) }
        }
        Err(ending) => Err(ending),
    };
    seal(&plan, profile)?;
    Ok(prepared.map(Work::Guest))
}

/// Waits until this process is in its cgroup, and gives the file of its memory limit.
fn placed(channel: &mut Channel) -> Result<Option<File>, GaveUp> {
    match channel.recv()? {
        (ToWorker::Placed, limit) => Ok(limit.map(File::from)),
        (other, _) => Err(unexpected(&other)),
    }
}

fn profile(options: &Options) -> Profile {
    match options.seccomp {
        Seccomp::Guest => Profile::Guest,
        Seccomp::Spec => Profile::Spec,
    }
}

/// Finds the code of the module that the plan names: of a file in the container, else of a layer of the image.
fn find(
    channel: &mut Channel,
    plan: &Plan,
    options: Options,
) -> Result<Result<(File, Invocation), Ending>, GaveUp> {
    let (need, path, function, file) = match open_module(plan) {
        Ok(module) => {
            let OpenedModule {
                file,
                path,
                on_rootfs,
                function,
            } = module;
            let name = path.to_string_lossy().into_owned();
            let need = ToPod::NeedCode { path, on_rootfs };
            (need, name, function, Some(file))
        }
        Err(error) if error.may_be_a_layer() => {
            let (named, function) = command(plan);
            let need = ToPod::NeedImage {
                named: named.to_owned(),
                otherwise: error.to_string(),
                exit_code: error.exit_code(),
            };
            (need, named.to_owned(), function, None)
        }
        Err(error) => return Ok(Err(unopened(&error))),
    };
    let code = ask(channel, &need, file.as_ref())?;
    Ok(code.map(|code| {
        let directories = preopens(plan, options.root == Root::Preopen);
        (
            code,
            Invocation::of(plan, &path, function, directories, options),
        )
    }))
}

/// Asks the pod process for code.
fn ask(
    channel: &mut Channel,
    need: &ToPod,
    file: Option<&File>,
) -> Result<Result<File, Ending>, GaveUp> {
    channel.send(need, file.map(AsFd::as_fd))?;
    match channel.recv()? {
        (ToWorker::Code, Some(code)) => Ok(Ok(File::from(code))),
        (ToWorker::Code, None) => Err(GaveUp::Unexpected("Code without a descriptor")),
        (ToWorker::NoCode { exit_code, message }, _) => Ok(Err(Ending {
            status: exit_code,
            message: Some(message),
        })),
        (other, _) => Err(unexpected(&other)),
    }
}

/// Says that all is ready and waits for `Go`. The channel ends here: the guest's process has none.
fn go(mut channel: Channel) -> Result<(), GaveUp> {
    channel.send(&ToPod::Ready, None)?;
    match channel.recv()? {
        (ToWorker::Go, _) => Ok(()),
        (other, _) => Err(unexpected(&other)),
    }
}

fn unopened(error: &ModuleError) -> Ending {
    Ending {
        status: error.exit_code(),
        message: Some(error.to_string()),
    }
}

fn unexpected(message: &ToWorker) -> GaveUp {
    GaveUp::Unexpected(match message {
        ToWorker::Plan(_) => "Plan",
        ToWorker::Placed => "Placed",
        ToWorker::Join(_) => "Join",
        ToWorker::Probe(_) => "Probe",
        ToWorker::Code => "Code",
        ToWorker::NoCode { .. } => "NoCode",
        ToWorker::Go => "Go",
    })
}
