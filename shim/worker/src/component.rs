//! Components: commands of WASI 0.2 and 0.3, and single functions.

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{p2, p3};

use slipway_shim_engine::{Flavour, Wasi, imports};

use crate::function::{self, Arguments};
use crate::host::ComponentHost;
use crate::offer::offer;
use crate::{Ending, Invocation};

/// Far away: what is run as a command is not interrupted but ended, by a signal. A server may have functions to call, too.
const NEVER: u64 = u64::MAX / 2;

/// Links a component with what it imports of everything that is offered: all of `wasi:cli` and `wasi:http`, whatever its
/// world. Both Spin SDKs' servers import more than the proxy world has. WASI 0.3 is linked for components of its flavour
/// only.
///
/// # Errors
/// What the user is told when an import is missing.
pub(crate) fn link(
    engine: &Engine,
    component: &Component,
    flavour: Flavour,
) -> Result<InstancePre<ComponentHost>, String> {
    let ty = component.component_type();
    if let Some(missing) = imports::missing_in_component(engine, &ty) {
        return Err(missing.to_string());
    }
    let uses = |package: &str| {
        ty.imports(engine)
            .any(|(name, _)| name.starts_with(package))
    };
    let mut linker = Linker::new(engine);
    let mut link = || {
        offer(&mut linker, uses)?;
        if flavour.concurrent {
            p3::add_to_linker(&mut linker)?;
            wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
        }
        linker.instantiate_pre(component)
    };
    link().map_err(|error| imports::mismatch(&error))
}

/// Whether a component reads configuration.
pub(crate) fn wants_config(engine: &Engine, component: &Component) -> bool {
    let ty = component.component_type();
    ty.imports(engine).any(|(name, _)| name == imports::CONFIG)
}

/// What of a component is run.
pub(crate) enum Entry {
    /// `wasi:cli/run@0.2`
    P2(p2::bindings::CommandPre<ComponentHost>),
    /// `wasi:cli/run@0.3`
    P3(p3::bindings::CommandPre<ComponentHost>),
    /// One exported function.
    Function(InstancePre<ComponentHost>, String, Arguments),
}

impl Entry {
    /// # Errors
    /// What the user is told when the component's types are not those of WASI.
    pub(crate) fn command(pre: InstancePre<ComponentHost>, wasi: Wasi) -> Result<Self, String> {
        match wasi {
            Wasi::P2 => p2::bindings::CommandPre::new(pre).map(Self::P2),
            Wasi::P3 => p3::bindings::CommandPre::new(pre).map(Self::P3),
        }
        .map_err(|error| imports::mismatch(&error))
    }
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
            Entry::P2(command) => {
                let command = command.instantiate_async(&mut store).await?;
                store.data_mut().memory.started();
                let result = command.wasi_cli_run().call_run(&mut store).await?;
                Ok(result.is_ok())
            }
            Entry::P3(command) => {
                let command = command.instantiate_async(&mut store).await?;
                store.data_mut().memory.started();
                let run = async |store: &wasmtime::component::Accessor<_>| {
                    command.wasi_cli_run().call_run(store).await
                };
                Ok(store.run_concurrent(run).await??.is_ok())
            }
            Entry::Function(instance, name, arguments) => {
                let instance = instance.instantiate_async(&mut store).await?;
                store.data_mut().memory.started();
                function::call_component(&mut store, &instance, &name, arguments).await
            }
        }
    }
}
