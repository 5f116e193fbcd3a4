//! Compiling, for the compiler's process only.

use wasmtime::Engine;

use crate::componentize::{ComponentizeError, componentize};
use crate::flavour;
use crate::{Header, config};

/// A module that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The engine could not be made: nothing to do with the module.
    #[error("starting the compiler: {0}")]
    Engine(String),
    /// Not valid WebAssembly, or a proposal that is switched off.
    #[error("{0}")]
    Invalid(String),
    /// A module that says what world it is made for and does not fit it.
    #[error(transparent)]
    World(#[from] ComponentizeError),
}

/// Compiles a module or component to the bytes that [`crate::load`] maps.
///
/// # Errors
/// [`CompileError::Invalid`] with the validator's reason.
pub fn compile(wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
    let componentized = componentize(wasm)?;
    let wasm = componentized.as_deref().unwrap_or(wasm);
    let flavour = flavour::tell(wasm);
    let engine =
        config::compiler(flavour).map_err(|error| CompileError::Engine(format!("{error:#}")))?;
    let code = if wasmparser::Parser::is_component(wasm) {
        engine.precompile_component(wasm)
    } else {
        Engine::precompile_module(&engine, wasm)
    };
    let mut code = code.map_err(|error| CompileError::Invalid(reason(&error)))?;
    Header::mark(&mut code, flavour);
    Ok(code)
}

/// The innermost reason, which is the validator's with its offset; what stands around it repeats that the
/// module is not valid.
fn reason(error: &wasmtime::Error) -> String {
    let text = error.root_cause().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;
    use crate::{Code, Flavour, Kind, load};

    fn loaded(wat: &str) -> (Engine, Code) {
        let code = compile(&wat::parse_str(wat).unwrap()).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&code).unwrap();
        let file = File::open(file.path()).unwrap();
        let header = Header::read(&file).unwrap();
        let engine = config::commands(header.flavour).unwrap();
        // SAFETY: compiled above.
        let code = unsafe { load(&engine, &file, header) }.unwrap();
        (engine, code)
    }

    #[test]
    fn a_module_is_compiled_and_mapped() {
        let (engine, code) =
            loaded(r#"(module (memory 1) (data (i32.const 0) "x") (func (export "_start")))"#);
        assert!(matches!(
            Kind::of(&engine, &code, None),
            Ok(Kind::Module { .. })
        ));
    }

    #[test]
    fn a_component_is_compiled_and_mapped() {
        let (engine, code) = loaded("(component)");
        assert!(matches!(code, Code::Component(_)));
        assert!(Kind::of(&engine, &code, None).is_err());
    }

    #[test]
    fn a_component_of_wasi_0_3_is_mapped_by_its_own_engine() {
        let wat = r#"(component
            (core module $m (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $run async (result (result)) (canon lift (core func $i "run")))
            (instance $export (export "run" (func $run)))
            (export "wasi:cli/run@0.3.0" (instance $export)))"#;
        let (engine, code) = loaded(wat);
        let kind = Kind::of(&engine, &code, None).unwrap();
        assert_eq!(kind, Kind::Command(crate::Wasi::P3));
    }

    #[test]
    fn the_reason_names_proposal_and_offset() {
        let threads = wat::parse_str("(module (memory 1 1 shared))").unwrap();
        let error = compile(&threads).map(drop).unwrap_err().to_string();
        assert!(error.contains("threads must be enabled"), "{error}");
        let mut cut = wat::parse_str("(module (func (export \"_start\") nop))").unwrap();
        cut.truncate(cut.len() - 3);
        let error = compile(&cut).map(drop).unwrap_err().to_string();
        assert!(error.contains("offset"), "{error}");
    }

    #[test]
    fn code_of_another_engine_is_not_loaded() {
        let other = Engine::default();
        let code = other
            .precompile_module(&wat::parse_str("(module)").unwrap())
            .unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&code).unwrap();
        let engine = config::commands(Flavour::default()).unwrap();
        let header = Header::read(file.as_file()).unwrap();
        // SAFETY: compiled above.
        let refused = unsafe { load(&engine, file.as_file(), header) };
        assert!(refused.is_err_and(|error| error.to_string().contains("incompatible version")));
    }
}
