//! Where the test bed is and which images it was given, from the environment and the files the recipes leave.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The file in which `./just images` says what it built.
const IMAGES_FILE: &str = "images.env";

/// The test bed as this run sees it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cluster's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Tag of `slipway/operator` and `slipway/node-installer`.
    pub tag: String,
    /// Image with the test guests at `/`.
    pub guests: String,
    /// Image of the example HTTP component.
    pub hello: String,
    /// Image of the metrics server.
    pub metrics_server: String,
}

impl Settings {
    /// Reads the environment, then the files under the cache directory.
    ///
    /// # Errors
    /// When a value is nowhere to be found; the message names it and the recipe that makes it.
    pub fn read() -> Result<Self> {
        let cache = cache_dir()?;
        let file = cache.join(IMAGES_FILE);
        let written = match fs::read_to_string(&file) {
            Ok(text) => parse(&text).with_context(|| format!("read {}", file.display()))?,
            Err(_) => BTreeMap::new(),
        };
        let value = |key: &str| -> Result<String> {
            if let Ok(set) = env::var(key)
                && !set.is_empty()
            {
                return Ok(set);
            }
            written.get(key).cloned().with_context(|| {
                format!(
                    "{key} is neither set nor in {}: run ./just images",
                    file.display()
                )
            })
        };
        Ok(Self {
            kubeconfig: env::var_os("SLIPWAY_KUBECONFIG")
                .map_or_else(|| cache.join("kubeconfig"), PathBuf::from),
            tag: value("SLIPWAY_TAG")?,
            guests: value("SLIPWAY_GUESTS_IMAGE")?,
            hello: value("SLIPWAY_HELLO_IMAGE")?,
            metrics_server: value("SLIPWAY_METRICS_SERVER_IMAGE")?,
        })
    }
}

/// `${XDG_CACHE_HOME:-$HOME/.cache}/slipway`, where the recipes keep what they make.
///
/// # Errors
/// When neither variable is set.
pub fn cache_dir() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|set| !set.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    Ok(base.join("slipway"))
}

/// A tool the recipes built: the path in the variable `over`, else the cache's `bin/`, else from `PATH`.
///
/// # Errors
/// As [`cache_dir`].
pub fn tool(name: &str, over: &str) -> Result<PathBuf> {
    if let Some(path) = env::var_os(over).filter(|set| !set.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let built = cache_dir()?.join("bin").join(name);
    Ok(if built.exists() {
        built
    } else {
        PathBuf::from(name)
    })
}

/// `KEY=VALUE` lines; blank lines and comments are skipped, `export` and plain quotes are taken off.
fn parse(text: &str) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.trim_start_matches("export ").split_once('=') else {
            bail!("line {}: expected KEY=VALUE, found: {line}", index + 1);
        };
        values.insert(
            key.trim().to_owned(),
            value.trim_matches(['"', '\'']).to_owned(),
        );
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keys_and_values() {
        let values = parse("# made by a recipe\nexport A=b=c\n\nD=\"e f\"\n").unwrap();
        assert_eq!(values["A"], "b=c");
        assert_eq!(values["D"], "e f");
        assert_eq!(values.len(), 2);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let error = parse("A=b\nnonsense\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: expected KEY=VALUE, found: nonsense"
        );
    }
}
