//! Pods that find no compiled code.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Does something while the cache is set aside, and puts it back whatever happened.
///
/// # Errors
/// The action's, or when folders cannot be moved.
pub(crate) fn without<T>(cache: &Path, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let aside = cache.with_extension("aside");
    std::fs::rename(cache, &aside).with_context(|| cache.display().to_string())?;
    let result = action();
    match std::fs::remove_dir_all(cache) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| cache.display().to_string());
        }
        _ => {}
    }
    std::fs::rename(&aside, cache).with_context(|| aside.display().to_string())?;
    result
}
