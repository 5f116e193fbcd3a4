//! From compiled code to a guest that is ready to run.

use std::fs::File;
use std::path::Path;

use slipway_shim_engine::{Code, Kind, config, load};
use tokio::runtime::Runtime;
use wasmtime_wasi::p2::bindings::CommandPre;

use crate::component::{self, Entry};
use crate::ending::say;
use crate::host::{ComponentHost, ModuleHost, Output};
use crate::memory::{Budget, Share};
use crate::server::Server;
use crate::{Ending, Invocation, module, signals};

/// A guest for which everything is done that can be done before it runs.
pub(crate) struct Guest {
    invocation: Invocation,
    linked: Linked,
    runtime: Runtime,
}

enum Linked {
    Module(module::Linked),
    Component(component::Linked),
    Server(Server),
}

impl Guest {
    /// Maps and links the code in `file`.
    ///
    /// # Safety
    /// As for [`load`]: the code is run as it is.
    ///
    /// # Errors
    /// The ending that tells the user why this guest cannot be run.
    pub(crate) unsafe fn prepare(file: &File, invocation: Invocation) -> Result<Self, Ending> {
        let path = invocation.path().to_owned();
        let refuse = |reason: String| Ending::not_runnable(&path, reason);
        let engine = config::commands().map_err(|error| refuse(format!("{error:#}")))?;
        // SAFETY: passed on to our caller.
        let code = unsafe { load(&engine, file) }.map_err(|error| refuse(error.to_string()))?;
        let kind = Kind::of(&engine, &code, invocation.function.as_deref());
        let kind = kind.map_err(|error| refuse(error.to_string()))?;

        let output = Output::new().map_err(|error| refuse(format!("its output: {error}")))?;
        let budget = Budget::new(invocation.memory);
        let surroundings = |error: wasmtime::Error| refuse(format!("its surroundings: {error:#}"));
        let linked = match (code, kind) {
            (
                Code::Module(module),
                Kind::Module {
                    function,
                    initialize,
                },
            ) => {
                let host = ModuleHost::new(&invocation, &output, Share::of(&budget));
                let host = host.map_err(surroundings)?;
                let linked = module::link(&engine, &module, host, function, initialize);
                Linked::Module(linked.map_err(refuse)?)
            }
            (Code::Component(_), Kind::Server) => {
                // Another allocator, which must be known before the code is mapped.
                drop(engine);
                let engine = config::servers().map_err(|error| refuse(format!("{error:#}")))?;
                // SAFETY: passed on to our caller.
                let code = unsafe { load(&engine, file) };
                let Code::Component(component) = code.map_err(|error| refuse(error.to_string()))?
                else {
                    return Err(refuse("is no component any more".to_owned()));
                };
                let pre = component::link(&engine, &component).map_err(refuse)?;
                let server = Server::new(pre, &invocation, output, budget);
                Linked::Server(server.map_err(refuse)?)
            }
            (Code::Component(component), kind) => {
                let pre = component::link(&engine, &component).map_err(refuse)?;
                let host = ComponentHost::command(&invocation, &output, Share::of(&budget));
                let host = host.map_err(surroundings)?;
                let entry =
                    match kind {
                        Kind::Function(name) => Entry::Function(pre, name),
                        _ => Entry::Command(CommandPre::new(pre).map_err(|error| {
                            refuse(slipway_shim_engine::imports::mismatch(&error))
                        })?),
                    };
                Linked::Component(component::Linked::new(&engine, host, entry))
            }
            (Code::Module(_), _) => return Err(refuse("is no component".to_owned())),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| refuse(format!("starting: {error}")))?;
        Ok(Self {
            invocation,
            linked,
            runtime,
        })
    }

    /// Runs the guest to its end.
    pub(crate) fn run(self) -> Ending {
        let Self {
            invocation,
            linked,
            runtime,
        } = self;
        for warning in &invocation.options.warnings {
            say(&format!("warning: {warning}"));
        }
        let ending = runtime.block_on(async {
            match linked {
                Linked::Module(module) => module.run(&invocation).await,
                Linked::Component(component) => component.run(&invocation).await,
                Linked::Server(server) => server.run(&invocation).await,
            }
        });
        // Threads that wait in the system are left behind; the process ends now.
        runtime.shutdown_background();
        ending
    }
}

/// Runs a file of compiled code in this very environment and gives the exit status.
#[must_use]
pub fn run_file(code: &Path, invocation: Invocation) -> i32 {
    let ending = signals::end_at_once()
        .and_then(|()| File::open(code))
        .map_err(|error| Ending::not_runnable(invocation.path(), error))
        // SAFETY: whoever runs this by hand vouches for the file, as for this program.
        .and_then(|file| unsafe { Guest::prepare(&file, invocation) })
        .map_or_else(|ending| ending, Guest::run);
    ending.tell()
}
