//! Imports that nobody offers, named all at once.

use std::collections::BTreeSet;

use wasmtime::component::types;
use wasmtime::{Engine, Linker, Module, Store};

use crate::kind::few;
pub use crate::kind::printable;

/// Interfaces of WASI 0.2 that a component can be linked with here, in any 0.2.x: `wasi:cli/command` and
/// `wasi:http/proxy`.
const OFFERED: [&str; 28] = [
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
];
/// The one that does not fit above.
const OFFERED_TOO: &str = "wasi:sockets/udp-create-socket";

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
    let Some((interface, version)) = name.split_once('@') else {
        return false;
    };
    version.starts_with("0.2.")
        && !version.contains('-')
        && (OFFERED.contains(&interface) || interface == OFFERED_TOO)
}

/// Who would provide it.
fn hint(names: &[String]) -> String {
    let any = |prefixes: &[&str]| {
        names
            .iter()
            .any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    };
    let hint = if any(&["wasi_unstable."]) {
        "build the module for wasm32-wasip1; WASI's preview 0 is not offered"
    } else if any(&["fermyon:spin/", "spin:", "fermyon:"]) {
        "they belong to Spin"
    } else if any(&["env.", "gojs.", "go.", "wbg.", "__wbindgen"]) {
        "the module was built for a JavaScript host; build it for wasm32-wasip1 or wasm32-wasip2"
    } else if names.iter().any(|name| name.contains("@0.3.")) {
        "build the component for WASI 0.2"
    } else {
        return String::new();
    };
    format!("; {hint}")
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
            "imports `wasi:keyvalue/store@0.2.0-draft`, which is not offered here"
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
        assert!(
            missing(&["wasi:http/types@0.3.0"])
                .unwrap()
                .ends_with("build the component for WASI 0.2")
        );
    }

    #[cfg(feature = "compiler")]
    #[test]
    fn a_module_is_compared_with_the_linker() {
        let engine = crate::config::commands().unwrap();
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
