//! Mapping compiled code.

use std::fs::File;
use std::os::fd::AsRawFd;

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::Header;

/// Loaded code.
#[derive(Clone)]
pub enum Code {
    /// A core module.
    Module(Module),
    /// A component.
    Component(Component),
}

/// Code that could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error("reading compiled code: {0}")]
    Read(#[from] std::io::Error),
    /// The file is not of this engine.
    #[error("the compiled code is not of this engine")]
    Foreign,
    /// The file does not suit this engine or machine.
    #[error("loading compiled code: {0:#}")]
    Unsuited(wasmtime::Error),
}

/// Maps the code in `file`, so that its pages are shared by all who run it. `header` is the file's, and
/// `engine` of its flavour.
///
/// # Safety
/// `file` must come out of the node's cache (`slipway_shim_cache::Cache`), or be code that the caller has
/// compiled: it is run as it is.
///
/// # Errors
/// When the file cannot be read or was made by another engine.
pub unsafe fn load(engine: &Engine, file: &File, header: Header) -> Result<Code, LoadError> {
    if header.component {
        // Components have no call that takes a descriptor (wasmtime 48); the path names this very file.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: the caller vouches for the file.
        let component = unsafe { Component::deserialize_file(engine, path) };
        component.map(Code::Component).map_err(LoadError::Unsuited)
    } else {
        let file = file.try_clone()?;
        // SAFETY: the caller vouches for the file.
        let module = unsafe { Module::deserialize_open_file(engine, file) };
        module.map(Code::Module).map_err(LoadError::Unsuited)
    }
}
