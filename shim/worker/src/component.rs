//! Components: WASI 0.2 commands and single functions.

use wasmtime::component::{Component, InstancePre, Linker, Val};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::CommandPre;

use slipway_shim_engine::imports;

use crate::host::ComponentHost;
use crate::{Ending, Invocation};

/// As for modules.
const NEVER: u64 = u64::MAX / 2;

/// Links a component with everything that is offered: all of `wasi:cli` and `wasi:http`, whatever its
/// world. Both Spin SDKs' servers import more than the proxy world has.
///
/// # Errors
/// What the user is told when an import is missing.
pub(crate) fn link(
    engine: &Engine,
    component: &Component,
) -> Result<InstancePre<ComponentHost>, String> {
    if let Some(missing) = imports::missing_in_component(engine, &component.component_type()) {
        return Err(missing.to_string());
    }
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)
        .and_then(|()| wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker))
        .and_then(|()| linker.instantiate_pre(component))
        .map_err(|error| imports::mismatch(&error))
}

/// What of a component is run.
pub(crate) enum Entry {
    /// `wasi:cli/run`
    Command(CommandPre<ComponentHost>),
    /// One exported function.
    Function(InstancePre<ComponentHost>, String),
}

/// A component that is ready to run.
pub(crate) struct Linked {
    store: Store<ComponentHost>,
    entry: Entry,
}

impl Linked {
    pub(crate) fn new(engine: &Engine, host: ComponentHost, entry: Entry) -> Self {
        let mut store = Store::new(engine, host);
        store.limiter(|host| &mut host.memory);
        store.set_epoch_deadline(NEVER);
        Self { store, entry }
    }

    /// Runs the component to its end.
    pub(crate) async fn run(self, invocation: &Invocation) -> Ending {
        match self.call().await {
            Ok(true) => Ending::exit(0),
            // `wasi:cli/run` has no more to say than that it failed.
            Ok(false) => Ending::exit(1),
            Err(error) => Ending::failed(invocation.path(), &error),
        }
    }

    async fn call(self) -> wasmtime::Result<bool> {
        let Self { mut store, entry } = self;
        match entry {
            Entry::Command(command) => {
                let command = command.instantiate_async(&mut store).await?;
                let result = command.wasi_cli_run().call_run(&mut store).await?;
                Ok(result.is_ok())
            }
            Entry::Function(instance, name) => {
                let instance = instance.instantiate_async(&mut store).await?;
                let function = instance
                    .get_func(&mut store, &name)
                    .ok_or_else(|| wasmtime::format_err!("there is no function `{name}`"))?;
                let count = function.ty(&store).results().len();
                let mut results = vec![Val::Bool(false); count];
                function.call_async(&mut store, &[], &mut results).await?;
                Ok(!matches!(results.first(), Some(Val::Result(Err(_)))))
            }
        }
    }
}
