//! The command line.

use std::path::PathBuf;

use slipway_shim_cache::{Namespace, ParseNamespaceError, key};

/// The text of `--help`.
pub const HELP: &str = "\
slipway-compile: compiles WebAssembly for slipway-worker

usage:
  slipway-compile --cache DIRECTORY [--identity NAMESPACE]   module on fd 3, answer on fd 4
  slipway-compile --cache DIRECTORY --containerd SOCKET --namespace NAME --container ID --named COMMAND
                                                             module in the container's image, answer on fd 4
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
    /// Compile a wasm layer of a container's image into the cache.
    Image {
        /// The cache's directory.
        root: PathBuf,
        /// Whose image.
        wanted: Wanted,
    },
    /// Compile one file to another.
    File {
        /// The module.
        wasm: PathBuf,
        /// Where its code goes.
        output: PathBuf,
    },
}

/// A container's wasm layer.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    /// containerd's socket.
    pub containerd: String,
    /// containerd's namespace.
    pub namespace: String,
    /// The container.
    pub container: String,
    /// Its command, without `#function`.
    pub named: String,
}

/// A command line that is not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// Neither form.
    #[error(
        "expected --cache DIRECTORY, with or without a container, or --output FILE.cwasm FILE.wasm"
    )]
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
        let (mut cache, mut identity, mut output, mut wasm) = (None, None, None, None);
        let (mut containerd, mut namespace, mut container, mut named) = (None, None, None, None);
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
                "--identity" => identity = Some(value()?.parse()?),
                "--containerd" => containerd = Some(value()?),
                "--namespace" => namespace = Some(value()?),
                "--container" => container = Some(value()?),
                "--named" => named = Some(value()?),
                "--output" => output = Some(PathBuf::from(value()?)),
                other if other.starts_with('-') || wasm.is_some() => {
                    return Err(UsageError::Unknown(argument));
                }
                path => wasm = Some(PathBuf::from(path)),
            }
        }
        let wanted = match (containerd, namespace, container, named) {
            (None, None, None, None) => None,
            (Some(containerd), Some(namespace), Some(container), Some(named)) => Some(Wanted {
                containerd,
                namespace,
                container,
                named,
            }),
            _ => return Err(UsageError::Form),
        };
        match (cache, output, wasm, identity, wanted) {
            (Some(root), None, None, namespace, None) => Ok(Self::Cache { root, namespace }),
            (Some(root), None, None, None, Some(wanted)) => Ok(Self::Image { root, wanted }),
            (None, Some(output), Some(wasm), None, None) => Ok(Self::File { wasm, output }),
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
    fn each_form() {
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
        let root = PathBuf::from("/c");
        let wanted = Wanted {
            containerd: "/s".into(),
            namespace: "k8s.io".into(),
            container: "c1".into(),
            named: "-".into(),
        };
        let line = "--cache /c --containerd /s --namespace k8s.io --container c1 --named -";
        assert_eq!(parse(line), Ok(Args::Image { root, wanted }));
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
        let half = "--cache /a --container c";
        for line in [
            "",
            "a.wasm",
            "--output a",
            "--cache /a b",
            "--identity",
            half,
        ] {
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
