//! Which of the configurations a module is compiled with: told by its imports, exports and types before it is compiled.

use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::Flavour;
use crate::kind::is_server;

/// Looks at a whole module or component. What is not valid is told anything: compiling it says why.
pub(crate) fn tell(wasm: &[u8]) -> Flavour {
    let mut told = Flavour::default();
    if !Parser::is_component(wasm) {
        return told;
    }
    // Function bodies are not looked into, so this takes a fraction of what compiling does.
    let mut validator = Validator::new_with_features(without_async());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        let Ok(payload) = payload else {
            return told;
        };
        match &payload {
            Payload::Version {
                encoding: Encoding::Component | Encoding::Module,
                ..
            } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) => {
                let mut names = section.clone().into_iter().flatten();
                told.concurrent |= names.any(|import| wants_concurrency(import.name.name));
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone().into_iter().flatten() {
                    let name = export.name.name;
                    told.concurrent |= wants_concurrency(name);
                    // Those of components inside are not its own.
                    told.server |= depth == 1 && is_server(name);
                }
            }
            _ => {}
        }
        told.concurrent = told.concurrent || validator.payload(&payload).is_err();
    }
    told
}

/// All of WASI 0.3 is linked on the concurrent engine only, also what has no asynchronous function.
fn wants_concurrency(name: &str) -> bool {
    name.starts_with("wasi:") && name.contains("@0.3.")
}

fn without_async() -> WasmFeatures {
    WasmFeatures::all()
        - WasmFeatures::CM_ASYNC
        - WasmFeatures::CM_ASYNC_STACKFUL
        - WasmFeatures::CM_MORE_ASYNC_BUILTINS
        - WasmFeatures::CM_THREADING
        - WasmFeatures::CM_ERROR_CONTEXT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_decide() {
        let neither = Flavour::default();
        let concurrent = Flavour {
            concurrent: true,
            server: false,
        };
        let server = Flavour {
            concurrent: false,
            server: true,
        };
        let both = Flavour {
            concurrent: true,
            server: true,
        };
        let cases = [
            ("(module)", neither),
            ("(component)", neither),
            (
                r#"(component (import "wasi:http/types@0.2.3" (instance)))"#,
                neither,
            ),
            (
                r#"(component (import "wasi:random/random@0.3.0" (instance)))"#,
                concurrent,
            ),
            (r#"(component (import "f" (func async)))"#, concurrent),
            (
                r#"(component (import "i" (instance (export "f" (func (param "s" (stream u8)))))))"#,
                concurrent,
            ),
            (
                r#"(component (instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#,
                server,
            ),
            (
                r#"(component (instance $i) (export "wasi:http/handler@0.3.0" (instance $i)))"#,
                both,
            ),
            (
                r#"(component (component (instance $i)
                    (export "wasi:http/incoming-handler@0.2.0" (instance $i))))"#,
                neither,
            ),
        ];
        for (wat, expected) in cases {
            let wasm = wat::parse_str(wat).unwrap();
            assert_eq!(tell(&wasm), expected, "{wat}");
        }
    }

    #[test]
    fn what_is_cut_off_is_told_something() {
        let wasm = wat::parse_str(r#"(component (import "f" (func async)))"#).unwrap();
        for length in 0..wasm.len() {
            let _ = tell(&wasm[..length]);
        }
    }
}
