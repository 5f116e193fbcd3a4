//! The command line.

use std::path::PathBuf;

use slipway_shim_cache::{Namespace, ParseNamespaceError, key};

/// The text of `--help`.
pub const HELP: &str = "\
slipway-compile: compiles WebAssembly for slipway-worker

usage:
  slipway-compile --cache DIRECTORY [--identity NAMESPACE]   module on fd 3, answer on fd 4
  slipway-compile --output FILE.cwasm FILE.wasm
  slipway-compile --version | --help";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Args {
    /// Print this text.
    Print(String),
    /// Compile the module on fd 3 into the cache.
    Cache {
        /// The cache's directory.
        root: PathBuf,
        /// Where the module lies, if its inode is to be remembered.
        namespace: Option<Namespace>,
    },
    /// Compile one file to another.
    File {
        /// The module.
        wasm: PathBuf,
        /// Where its code goes.
        output: PathBuf,
    },
}

/// A command line that is not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// Neither form.
    #[error("expected --cache DIRECTORY or --output FILE.cwasm FILE.wasm")]
    Form,
    /// An option without what belongs to it.
    #[error("{0}: a value is missing")]
    Value(String),
    /// Something else.
    #[error("unknown argument: {0}")]
    Unknown(String),
    /// `--identity`
    #[error("--identity: {0}")]
    Identity(#[from] ParseNamespaceError),
}

impl Args {
    /// Reads the arguments that follow the program's name.
    ///
    /// # Errors
    /// [`UsageError`] names the argument.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, UsageError> {
        let mut arguments = arguments.into_iter();
        let (mut cache, mut namespace, mut output, mut wasm) = (None, None, None, None);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let missing = || UsageError::Value(argument.clone());
                arguments.next().ok_or_else(missing)
            };
            match argument.as_str() {
                "--help" | "-h" => return Ok(Self::Print(HELP.to_owned())),
                "--version" | "-v" => {
                    let version = env!("CARGO_PKG_VERSION");
                    let engine = key::ENGINE;
                    return Ok(Self::Print(format!("slipway-compile {version} ({engine})")));
                }
                "--cache" => cache = Some(PathBuf::from(value()?)),
                "--identity" => namespace = Some(value()?.parse()?),
                "--output" => output = Some(PathBuf::from(value()?)),
                other if other.starts_with('-') || wasm.is_some() => {
                    return Err(UsageError::Unknown(argument));
                }
                path => wasm = Some(PathBuf::from(path)),
            }
        }
        match (cache, output, wasm, namespace) {
            (Some(root), None, None, namespace) => Ok(Self::Cache { root, namespace }),
            (None, Some(output), Some(wasm), None) => Ok(Self::File { wasm, output }),
            _ => Err(UsageError::Form),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned)).map_err(|error| error.to_string())
    }

    #[test]
    fn both_forms() {
        let root = PathBuf::from("/var/lib/slipway/cache");
        assert_eq!(
            parse("--cache /var/lib/slipway/cache"),
            Ok(Args::Cache {
                root: root.clone(),
                namespace: None
            })
        );
        let namespace = Namespace::new("/layers");
        assert_eq!(
            parse(&format!(
                "--cache /var/lib/slipway/cache --identity {namespace}"
            )),
            Ok(Args::Cache {
                root,
                namespace: Some(namespace)
            })
        );
        assert_eq!(
            parse("--output a.cwasm a.wasm"),
            Ok(Args::File {
                wasm: "a.wasm".into(),
                output: "a.cwasm".into()
            })
        );
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for line in ["", "a.wasm", "--output a", "--cache /a b", "--identity"] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert_eq!(parse("--fast").unwrap_err(), "unknown argument: --fast");
        assert_eq!(parse("--cache").unwrap_err(), "--cache: a value is missing");
        assert!(
            parse("--cache /a --identity /b")
                .unwrap_err()
                .starts_with("--identity: ")
        );
    }
}
