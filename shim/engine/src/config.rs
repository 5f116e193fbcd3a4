//! The configuration of wasmtime, each setting with what it was measured to gain or cost.
//!
//! Settings in [`common`] are baked into compiled files. **Whoever changes one raises
//! `slipway_shim_cache::key::REVISION`**; a file of another revision is not loaded, since engine and
//! revision are its version string. The allocator is not baked in.

use slipway_shim_cache::key::{ENGINE, REVISION};
use wasmtime::{
    Collector, Config, Enabled, Engine, InstanceAllocationStrategy, ModuleVersionStrategy,
    PoolingAllocationConfig, Result, WasmBacktraceDetails, WasmFeatures,
};

use crate::Flavour;

/// How many requests a server works on at once if nobody says otherwise, and so how many instances can be
/// alive. The default pool of 1000 costs half a megabyte and 3 ms a process.
pub const SLOTS: u32 = 32;

/// Memory and table bytes of a slot that are cleared by writing zeros instead of giving them back.
const KEEP_RESIDENT: usize = 256 << 10;
/// The same where the kernel cannot tell which pages were touched (`PAGEMAP_SCAN`, Linux 6.7).
const KEEP_RESIDENT_BLINDLY: usize = 64 << 10;

/// Core instances, memories and tables of one component. wasi-libc's shims, an adapter and the module
/// itself make four or five of each; composed components multiply that.
const PARTS: u32 = 20;

/// Tables and memories of one component. Each takes 56 bytes of the pool's books for each slot, used or not (`SlotState` in
/// wasmtime 48's `index_allocator.rs`): 28 KiB of an idle server are the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// As many as a guest of one module has, with its shims and adapters.
    Few,
    /// As many as composed components have.
    Many,
}

impl Parts {
    const fn tables(self) -> u32 {
        match self {
            Self::Few => 4,
            Self::Many => PARTS,
        }
    }

    const fn memories(self) -> u32 {
        match self {
            Self::Few => 1,
            Self::Many => PARTS,
        }
    }
}

/// The engine of commands: memory as it is asked for.
///
/// # Errors
/// When wasmtime refuses the configuration, which would be a mistake here.
pub fn commands(flavour: Flavour) -> Result<Engine> {
    Engine::new(&common(flavour))
}

/// The engine of servers, which make an instance for each request: a small pool of slots that stay warm, as
/// many as instances can be alive. A component with more parts is refused when it is loaded.
/// Falls back to memory as it is asked for where the pool's address space is not to be had (39-bit
/// kernels, a limit on address space).
///
/// # Errors
/// As [`commands`].
pub fn servers(flavour: Flavour, slots: u32, parts: Parts) -> Result<Engine> {
    let keep = if PoolingAllocationConfig::is_pagemap_scan_available() {
        KEEP_RESIDENT
    } else {
        KEEP_RESIDENT_BLINDLY
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(PARTS))
        .total_memories(slots.saturating_mul(parts.memories()))
        .total_tables(slots.saturating_mul(parts.tables()))
        .total_stacks(slots)
        .total_gc_heaps(slots)
        .max_core_instances_per_component(PARTS)
        .max_memories_per_component(parts.memories())
        .max_memories_per_module(parts.memories())
        .max_tables_per_component(parts.tables())
        .max_tables_per_module(parts.tables())
        // As much as a memory of 32 bits can be; what a pod may use of it is limited elsewhere.
        .max_memory_size(1 << 32)
        .table_elements(100_000)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .linear_memory_keep_resident(keep)
        .table_keep_resident(keep)
        .pagemap_scan(Enabled::Auto);
    let mut config = common(flavour);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|_| commands(flavour))
}

/// The configuration that compiler and workers share. A file says in its header which flavour it is
/// ([`crate::Header`]).
fn common(flavour: Flavour) -> Config {
    let Flavour { concurrent, server } = flavour;
    let suffix = [(concurrent, "-concurrent"), (server, "-server")]
        .map(|(is, name)| if is { name } else { "" });
    let mut config = Config::new();
    // Our own version string: the engine's and the revision of what follows.
    let version = ModuleVersionStrategy::Custom(format!("{ENGINE}-r{REVISION}{}", suffix.concat()));
    if let Err(error) = config.module_version(version) {
        unreachable!("the version is shorter than 255 bytes: {error}");
    }
    config
        // Heap images are mapped from the compiled file and shared by all pods until they are written to.
        .memory_init_cow(true)
        // WASI 0.3 needs it; with 0.2 it costs a tenth of the requests a second.
        .concurrency_support(concurrent)
        // Lets other requests of a server go on beside one that computes, and SIGTERM end it: 3 % of its requests. Commands
        // have nobody to give way to, and signals end them at once; CPython takes a sixth less to its end without.
        .epoch_interruption(server)
        // Not registered for the system's unwinder: traps walk frame pointers.
        .native_unwind_info(false)
        // File and line of a trap where the guest carries DWARF; read only then.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .collector(Collector::DeferredReferenceCounting)
        // Proposals: all of WebAssembly 3, as wasmtime has it by default (its stability page). Off stay
        // threads, since a worker is one thread, and what is not finished.
        .wasm_features(WasmFeatures::THREADS, false)
        .max_wasm_stack(1 << 20)
        .async_stack_size(2 << 20);
    config
}

/// The engine that compiles.
///
/// # Errors
/// As [`commands`].
#[cfg(feature = "compiler")]
pub fn compiler(flavour: Flavour) -> Result<Engine> {
    let mut config = common(flavour);
    config
        .cranelift_opt_level(wasmtime::OptLevel::Speed)
        .parallel_compilation(true);
    Engine::new(&config)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names in the lock file what the cache key says.
    #[test]
    fn the_cache_key_names_this_engine() {
        let lock = include_str!("../../../Cargo.lock");
        let version = ENGINE.strip_prefix("wasmtime-").unwrap();
        let locked = format!("name = \"wasmtime\"\nversion = \"{version}\"\n");
        assert!(
            lock.contains(&locked),
            "wasmtime was updated: change ENGINE in shim/cache/src/key.rs"
        );
    }

    /// If this fails, a proposal or a setting that is baked into compiled files has changed: raise
    /// REVISION in shim/cache/src/key.rs, then accept the new text here.
    #[test]
    fn the_revision_names_this_configuration() {
        let proposals = |asynchronous| {
            format!(
                "mutable_global saturating_float_to_int sign_extension reference_types multi_value bulk_memory \
                 simd relaxed_simd tail_call floats multi_memory exceptions memory64 extended_const \
                 component_model function_references gc gc_types {asynchronous}call_indirect_overlong \
                 bulk_memory_opt"
            )
        };
        let of = |concurrent, server| described(Flavour { concurrent, server });
        for server in [false, true] {
            let expected = |asynchronous, concurrent| {
                format!(
                    "r3: {}; : true, epoch_interruption: {server}, memory_init_cow: true, \
                     concurrency_support: {concurrent} }}",
                    proposals(asynchronous)
                )
            };
            assert_eq!(of(false, server), expected("", false));
            assert_eq!(of(true, server), expected("cm_async ", true));
        }
    }

    fn described(flavour: Flavour) -> String {
        let config = common(flavour);
        let shown = format!("{config:?}");
        let settings: Vec<_> = shown
            .trim_start_matches("Config {")
            .trim_end_matches('}')
            .split(", ")
            .map(str::trim)
            // Whether a setting is on, but for the many proposals that are off, and what only compiling uses.
            .filter(|setting| !setting.ends_with(": false"))
            .take_while(|setting| !setting.contains("compil"))
            .collect();
        let proposals = settings.join(" ");
        let proposals = proposals.replace("wasm_", "").replace(": true", "");
        let tunables = shown
            .rsplit_once("parse_wasm_debuginfo")
            .map(|(_, rest)| rest);
        format!("r{REVISION}: {proposals}; {}", tunables.unwrap_or(&shown))
    }

    #[test]
    fn both_allocators_and_flavours_are_accepted() {
        for concurrent in [false, true] {
            let server = true;
            let flavour = Flavour { concurrent, server };
            commands(Flavour {
                server: false,
                ..flavour
            })
            .unwrap();
            // One of its functions may be called instead.
            commands(flavour).unwrap();
            servers(flavour, SLOTS, Parts::Few).unwrap();
            servers(flavour, SLOTS, Parts::Many).unwrap();
        }
    }
}
