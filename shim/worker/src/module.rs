//! Core modules: WASI 0.1.

use wasmtime::{Engine, ExternType, InstancePre, Linker, Module, Store};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::add_to_linker_async;

use slipway_shim_engine::imports;

use crate::function;
use crate::host::ModuleHost;
use crate::{Ending, Invocation};

/// What a server of Rust's standard library meets when it is built for wasm32-wasip1: "operation not supported on
/// this platform", and a panic.
const SOCKETS: &str =
    "the module uses sockets, which WASI 0.1 has no way to open; build it for wasm32-wasip2";

/// A module that is ready to run.
pub(crate) struct Linked {
    store: Store<ModuleHost>,
    instance: InstancePre<ModuleHost>,
    function: String,
    arguments: Vec<wasmtime::Val>,
    initialize: bool,
    /// Whether it uses the sockets of WASI 0.1, of which there are next to none.
    sockets: bool,
}

/// Links a module. `given` are the arguments after its path.
///
/// # Errors
/// What the user is told when an import is missing, or arguments do not fit the function.
pub(crate) fn link(
    engine: &Engine,
    module: &Module,
    host: ModuleHost,
    function: String,
    given: &[String],
    initialize: bool,
) -> Result<Linked, String> {
    let arguments = match module.get_export(&function) {
        Some(ExternType::Func(ty)) => function::module_arguments(&function, &ty, given)?,
        _ => return Err(format!("there is no exported function `{function}`")),
    };
    let mut linker = Linker::new(engine);
    wasi(&mut linker).map_err(|error| imports::mismatch(&error))?;
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.memory);
    if let Some(missing) = imports::missing_in_module(&linker, &mut store, module) {
        return Err(missing.to_string());
    }
    let instance = linker.instantiate_pre(module);
    Ok(Linked {
        store,
        instance: instance.map_err(|error| imports::mismatch(&error))?,
        function,
        arguments,
        initialize,
        sockets: module
            .imports()
            .any(|import| import.name().starts_with("sock_")),
    })
}

fn wasi(linker: &mut Linker<ModuleHost>) -> wasmtime::Result<()> {
    add_to_linker_async(linker, |host: &mut ModuleHost| &mut host.wasi)?;
    // wasmtime's own traps for 126 and above, which a container's command may well exit with.
    linker
        .allow_shadowing(true)
        .func_wrap("wasi_snapshot_preview1", "proc_exit", exit)?;
    Ok(())
}

fn exit(status: i32) -> wasmtime::Result<()> {
    Err(I32Exit(status).into())
}

impl Linked {
    /// Runs the module to its end.
    pub(crate) async fn run(self, invocation: &Invocation) -> Ending {
        let sockets = self.sockets;
        match self.call().await {
            Ok(()) => Ending::exit(0),
            Err(error) => {
                let ending = Ending::failed(invocation.path(), &error);
                if sockets {
                    ending.hint(SOCKETS)
                } else {
                    ending
                }
            }
        }
    }

    async fn call(self) -> wasmtime::Result<()> {
        let Self {
            mut store,
            instance,
            function,
            arguments,
            initialize,
            ..
        } = self;
        let instance = instance.instantiate_async(&mut store).await?;
        store.data_mut().memory.started();
        if initialize {
            let start = instance.get_typed_func::<(), ()>(&mut store, "_initialize")?;
            start.call_async(&mut store, ()).await?;
        }
        // Not typed: which function it is was asked for by name.
        let function = instance
            .get_func(&mut store, &function)
            .ok_or_else(|| wasmtime::format_err!("there is no function `{function}`"))?;
        let ty = function.ty(&store);
        let mut results = vec![wasmtime::Val::I32(0); ty.results().len()];
        function
            .call_async(&mut store, &arguments, &mut results)
            .await?;
        function::print_module(&results);
        Ok(())
    }
}
