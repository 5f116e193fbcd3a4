//! Core modules: WASI 0.1.

use wasmtime::{Engine, InstancePre, Linker, Module, Store};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::add_to_linker_async;

use slipway_shim_engine::imports;

use crate::host::ModuleHost;
use crate::{Ending, Invocation};

/// Far away: commands are not interrupted but ended, by a signal.
const NEVER: u64 = u64::MAX / 2;

/// A module that is ready to run.
pub(crate) struct Linked {
    store: Store<ModuleHost>,
    instance: InstancePre<ModuleHost>,
    function: String,
    initialize: bool,
}

/// Links a module.
///
/// # Errors
/// What the user is told when an import is missing.
pub(crate) fn link(
    engine: &Engine,
    module: &Module,
    host: ModuleHost,
    function: String,
    initialize: bool,
) -> Result<Linked, String> {
    let mut linker = Linker::new(engine);
    wasi(&mut linker).map_err(|error| imports::mismatch(&error))?;
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.memory);
    store.set_epoch_deadline(NEVER);
    if let Some(missing) = imports::missing_in_module(&linker, &mut store, module) {
        return Err(missing.to_string());
    }
    let instance = linker.instantiate_pre(module);
    Ok(Linked {
        store,
        instance: instance.map_err(|error| imports::mismatch(&error))?,
        function,
        initialize,
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
        match self.call().await {
            Ok(()) => Ending::exit(0),
            Err(error) => Ending::failed(invocation.path(), &error),
        }
    }

    async fn call(self) -> wasmtime::Result<()> {
        let Self {
            mut store,
            instance,
            function,
            initialize,
        } = self;
        let instance = instance.instantiate_async(&mut store).await?;
        if initialize {
            let start = instance.get_typed_func::<(), ()>(&mut store, "_initialize")?;
            start.call_async(&mut store, ()).await?;
        }
        // Not typed: whatever a function returns that was asked for by name is not looked at.
        let function = instance
            .get_func(&mut store, &function)
            .ok_or_else(|| wasmtime::format_err!("there is no function `{function}`"))?;
        let ty = function.ty(&store);
        let mut results = vec![wasmtime::Val::I32(0); ty.results().len()];
        function.call_async(&mut store, &[], &mut results).await
    }
}
