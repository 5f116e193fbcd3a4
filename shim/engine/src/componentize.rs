//! Making a component of a core module that carries the type of one: what spin-sdk 3 and older cargo-component
//! build for wasm32-wasip1.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as COMMAND,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as REACTOR,
};
use wasmparser::{ExternalKind, Parser, Payload};
use wit_component::ComponentEncoder;

/// The custom sections that hold the type (wit-component, `metadata.rs`); languages and tools put more behind it.
const SECTION: &str = "component-type";

/// A module that says what component it should be and cannot be made one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "carries the type of a component and cannot be made one: {0}; build it as a component, for wasm32-wasip2"
)]
pub struct ComponentizeError(String);

/// The component of a module that should be one; `None` for all others, which are run as they are.
///
/// # Errors
/// [`ComponentizeError`] says what does not fit.
pub(crate) fn componentize(wasm: &[u8]) -> Result<Option<Vec<u8>>, ComponentizeError> {
    if Parser::is_component(wasm) {
        return Ok(None);
    }
    let outline = Outline::of(wasm);
    // A command that asks for nothing but WASI 0.1 needs no component around it, whatever its libraries left
    // in it.
    if !outline.typed || outline.start && outline.wasi_only {
        return Ok(None);
    }
    let adapter = if outline.start { COMMAND } else { REACTOR };
    let encode = || {
        ComponentEncoder::default()
            .module(wasm)?
            .adapter(WASI, adapter)?
            .encode()
    };
    encode()
        .map(Some)
        .map_err(|error| ComponentizeError(reason(&format!("{error:#}"))))
}

/// What decides, without looking into functions.
#[derive(Debug, Default)]
struct Outline {
    typed: bool,
    start: bool,
    wasi_only: bool,
}

impl Outline {
    fn of(wasm: &[u8]) -> Self {
        let mut outline = Self {
            wasi_only: true,
            ..Self::default()
        };
        for payload in Parser::new(0).parse_all(wasm) {
            match payload {
                Ok(Payload::CustomSection(section)) => {
                    outline.typed |= section.name().starts_with(SECTION);
                }
                Ok(Payload::ImportSection(section)) => {
                    for import in section.into_imports().flatten() {
                        outline.wasi_only &= import.module == WASI;
                    }
                }
                Ok(Payload::ExportSection(section)) => {
                    for export in section.into_iter().flatten() {
                        outline.start |=
                            export.kind == ExternalKind::Func && export.name == "_start";
                    }
                }
                Ok(_) => {}
                // Compiling it says why.
                Err(_) => return Self::default(),
            }
        }
        outline
    }
}

/// One line of what the encoder says, which can be a page.
fn reason(text: &str) -> String {
    const LONGEST: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use wit_component::{StringEncoding, embed_component_metadata};
    use wit_parser::Resolve;

    use super::*;

    const WORLD: &str =
        "package test:guest; world guest { import greet: func(); export run: func() -> u32; }";

    /// The module with the type of [`WORLD`] in it.
    fn typed(wat: &str) -> Vec<u8> {
        let mut wasm = wat::parse_str(wat).unwrap();
        let mut resolve = Resolve::default();
        let package = resolve.push_str("guest.wit", WORLD).unwrap();
        let world = resolve.select_world(&[package], None).unwrap();
        embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).unwrap();
        wasm
    }

    #[test]
    fn a_module_with_a_world_becomes_a_component() {
        let wasm = typed(
            r#"(module
                (import "$root" "greet" (func))
                (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
                (memory (export "memory") 1)
                (func (export "run") (result i32) i32.const 42))"#,
        );
        let component = componentize(&wasm).unwrap().unwrap();
        assert!(Parser::is_component(&component));
        let code = crate::compile::compile(&wasm).unwrap();
        assert!(code.starts_with(b"\x7fELF"));
    }

    #[test]
    fn others_are_left_as_they_are() {
        let start = r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
            (func (export "_start")))"#;
        for wasm in [
            typed(start),
            wat::parse_str(start).unwrap(),
            wat::parse_str("(component)").unwrap(),
            b"no wasm".to_vec(),
        ] {
            assert_eq!(componentize(&wasm), Ok(None));
        }
    }

    #[test]
    fn a_module_that_does_not_fit_its_world_is_told_why() {
        let error = componentize(&typed("(module)")).unwrap_err().to_string();
        assert!(
            error.starts_with("carries the type of a component and cannot be made one: "),
            "{error}"
        );
        assert!(error.contains("run"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}
