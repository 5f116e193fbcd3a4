//! From compiled code to a guest that is ready to run.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use slipway_shim_engine::config::{self, Parts};
use slipway_shim_engine::{Code, Header, Kind, load};
use tokio::runtime::Runtime;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::component::{self, Entry};
use crate::ending::say;
use crate::host::{Common, ComponentHost, ModuleHost};
use crate::memory::{Budget, Share};
use crate::server::Server;
use crate::{Ending, Invocation, function, module, settings, signals};

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
    /// Maps and links the code in `file`. `memory_limit` is the cgroup's file of that name, if there is one.
    ///
    /// # Safety
    /// As for [`load`]: the code is run as it is.
    ///
    /// # Errors
    /// The ending that tells the user why this guest cannot be run.
    pub(crate) unsafe fn prepare(
        file: &File,
        invocation: Invocation,
        memory_limit: Option<File>,
    ) -> Result<Self, Ending> {
        let budget = Budget::new(invocation.memory, memory_limit);
        // SAFETY: passed on to our caller.
        unsafe { link(file, &invocation, &budget) }
            .and_then(|linked| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .max_blocking_threads(WAITING)
                    .thread_stack_size(STACK)
                    .enable_all()
                    .build()
                    .map_err(|error| format!("starting: {error}"))?;
                Ok((linked, runtime))
            })
            .map_err(|reason| Ending::not_runnable(invocation.path(), reason))
            .map(|(linked, runtime)| Self {
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
            runtime: runtime_of_one,
        } = self;
        for warning in &invocation.options.warnings {
            say(&format!("warning: {warning}"));
        }
        // Only now, when the process is sealed, may there be more threads.
        let threads = match &linked {
            Linked::Server(_) => Server::threads(&invocation),
            Linked::Module(_) | Linked::Component(_) => 1,
        };
        let runtime = match threaded(threads) {
            Ok(runtime) => runtime.unwrap_or(runtime_of_one),
            Err(error) => {
                return Ending::not_runnable(invocation.path(), format!("starting: {error}"));
            }
        };
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

/// # Safety
/// As for [`load`].
unsafe fn link(
    file: &File,
    invocation: &Invocation,
    budget: &Arc<Budget>,
) -> Result<Linked, String> {
    let header = Header::read(file).map_err(|error| error.to_string())?;
    let function = invocation.function.as_deref();
    let slots = (header.flavour.server && function.is_none()).then(|| Server::slots(invocation));
    // SAFETY: passed on to our caller.
    let (engine, code) = unsafe { map(file, header, slots) }?;
    let kind = Kind::of(&engine, &code, function).map_err(|error| error.to_string())?;
    let surroundings = |error: wasmtime::Error| format!("its surroundings: {error:#}");
    // A command has nothing else to do while a file is read. A server has other requests, probes and signals, and a
    // volume may be slow, or the file a FIFO that nobody writes to.
    let waits = !matches!(kind, Kind::Server(_));
    let common = Common::new(invocation, waits).map_err(surroundings)?;
    match (code, kind) {
        (
            Code::Module(module),
            Kind::Module {
                function,
                initialize,
            },
        ) => {
            let host = ModuleHost::new(invocation, &common, Share::of(budget));
            let host = host.map_err(surroundings)?;
            let given = invocation.arguments();
            module::link(&engine, &module, host, function, given, initialize).map(Linked::Module)
        }
        (Code::Component(component), kind) => {
            let pre = component::link(&engine, &component, header.flavour)?;
            let common = configured(common, &engine, &component, invocation)?;
            let entry = match kind {
                Kind::Server(wasi) => {
                    let budget = Arc::clone(budget);
                    let server = Server::new(pre, wasi, invocation, common, budget);
                    return server.map(Linked::Server);
                }
                Kind::Command(wasi) => Entry::command(pre, wasi)?,
                Kind::Function(name) => {
                    let given = invocation.arguments();
                    let arguments =
                        function::component_arguments(&engine, &component, &name, given)?;
                    Entry::Function(pre, name, arguments)
                }
                Kind::Module { .. } => return Err("is no core module".to_owned()),
            };
            let host = ComponentHost::command(invocation, &common, Share::of(budget));
            let linked = component::Linked::new(&engine, host, entry);
            Ok(Linked::Component(linked))
        }
        (Code::Module(_), _) => Err("is no component".to_owned()),
    }
}

/// Maps the code, with a pool of so many slots if it is a server's: the allocator must be known before.
///
/// # Safety
/// As for [`load`].
unsafe fn map(file: &File, header: Header, slots: Option<u32>) -> Result<(Engine, Code), String> {
    let with = |engine: wasmtime::Result<Engine>| {
        let engine = engine.map_err(|error| format!("{error:#}"))?;
        // SAFETY: passed on to our caller.
        let code = unsafe { load(&engine, file, header) }.map_err(|error| error.to_string())?;
        Ok((engine, code))
    };
    let Some(slots) = slots else {
        return with(config::commands(header.flavour));
    };
    let pool = |parts| with(config::servers(header.flavour, slots, parts));
    // Most have few. How many is known when the code is mapped, and the books are made before.
    pool(Parts::Few).or_else(|_| pool(Parts::Many))
}

/// With what a component finds in `wasi:config`, if it looks there.
fn configured(
    common: Common,
    engine: &Engine,
    component: &Component,
    invocation: &Invocation,
) -> Result<Common, String> {
    if !component::wants_config(engine, component) {
        return Ok(common);
    }
    settings::collect(invocation, Path::new(settings::FOLDER))
        .map(|values| common.configured(values))
        .map_err(|error| error.to_string())
}

/// What a thread of a server has for a stack. Guests have stacks of their own.
const STACK: usize = 512 << 10;

/// How many threads may wait for files and names at once, beside those that run guests. They are started when they are
/// needed, under the filters of the thread that starts them, and end after ten seconds without work (tokio), so that an idle
/// pod has none. One that waits for a FIFO stays after its request has been given up: others wait for one of them then.
const WAITING: usize = 64;

/// A runtime of more than one thread.
fn threaded(threads: usize) -> io::Result<Option<Runtime>> {
    if threads < 2 {
        return Ok(None);
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(WAITING)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .map(Some)
}

/// Runs a file of compiled code in this very environment and gives the exit status.
#[must_use]
pub fn run_file(code: &Path, invocation: Invocation) -> i32 {
    let ending = signals::end_at_once()
        .and_then(|()| File::open(code))
        .map_err(|error| Ending::not_runnable(invocation.path(), error))
        // SAFETY: whoever runs this by hand vouches for the file, as for this program.
        .and_then(|file| unsafe { Guest::prepare(&file, invocation, None) })
        .map_or_else(|ending| ending, Guest::run);
    ending.tell()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A component with a module that has so many of these.
    fn with(part: &str, count: usize) -> File {
        let parts = part.repeat(count);
        let wat = format!("(component (core module $m {parts}) (core instance (instantiate $m)))");
        let wasm = wat::parse_str(wat).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&slipway_shim_engine::compile::compile(&wasm).unwrap())
            .unwrap();
        file
    }

    #[test]
    fn a_server_may_have_more_tables_and_memories_than_most() {
        let (tables, memories) = ("(table 1 funcref)", "(memory 1)");
        for (part, count, is_mapped) in [
            (tables, 4, true),
            (tables, 20, true),
            (tables, 21, false),
            (memories, 1, true),
            (memories, 20, true),
            (memories, 21, false),
        ] {
            let file = with(part, count);
            let header = Header::read(&file).unwrap();
            // SAFETY: compiled here.
            let mapped = unsafe { map(&file, header, Some(2)) };
            assert_eq!(mapped.is_ok(), is_mapped, "{count} of {part}");
            let Ok((engine, Code::Component(component))) = mapped else {
                continue;
            };
            // As many at a time as there are slots.
            let linker = wasmtime::component::Linker::new(&engine);
            let instances: Vec<_> = (0..2)
                .map(|_| {
                    let mut store = wasmtime::Store::new(&engine, ());
                    linker.instantiate(&mut store, &component).unwrap();
                    store
                })
                .collect();
            assert_eq!(instances.len(), 2);
        }
    }
}
