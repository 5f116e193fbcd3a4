//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use slipway_shim_cache::{Namespace, ParseNamespaceError, key};

use crate::Limits;

/// The text of `--help`.
pub const HELP: &str = "\
slipway-compile: compiles WebAssembly for slipway-worker

usage:
  slipway-compile --cache DIRECTORY [--identity NAMESPACE]   module on fd 3, answer on fd 4
  slipway-compile --cache DIRECTORY --containerd SOCKET --namespace NAME --container ID --named COMMAND
                                                             module in the container's image, answer on fd 4
  slipway-compile --output FILE.cwasm FILE.wasm
  slipway-compile --version | --help

options of --cache:
  --memory MIB       less address space than the usual 4096
  --processor NUMBER less processor time than the usual 240 s
  --seconds NUMBER   less time than the usual 300";

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
        /// What compiling may use.
        limits: Limits,
    },
    /// Compile a wasm layer of a container's image into the cache.
    Image {
        /// The cache's directory.
        root: PathBuf,
        /// Whose image.
        wanted: Wanted,
        /// What compiling may use.
        limits: Limits,
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
    /// `--memory`, `--processor` or `--seconds`
    #[error("{option}: expected a number from 1 to {most}, found {found:?}")]
    Limit {
        /// The option.
        option: &'static str,
        /// The usual limit.
        most: u64,
        /// What was given.
        found: String,
    },
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
        let mut limits = Limits::default();
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
                "--memory" => {
                    let mib = less("--memory", &value()?, limits.memory >> 20)?;
                    limits.memory = mib << 20;
                }
                "--processor" => {
                    let most = limits.processor.as_secs();
                    let seconds = less("--processor", &value()?, most)?;
                    limits.processor = Duration::from_secs(seconds);
                }
                "--seconds" => {
                    let seconds = less("--seconds", &value()?, limits.time.as_secs())?;
                    limits.time = Duration::from_secs(seconds);
                }
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
            (Some(root), None, None, namespace, None) => Ok(Self::Cache {
                root,
                namespace,
                limits,
            }),
            (Some(root), None, None, None, Some(wanted)) => Ok(Self::Image {
                root,
                wanted,
                limits,
            }),
            (None, Some(output), Some(wasm), None, None) => Ok(Self::File { wasm, output }),
            _ => Err(UsageError::Form),
        }
    }
}

/// A limit that is at most what it was.
fn less(option: &'static str, text: &str, most: u64) -> Result<u64, UsageError> {
    let number = text.parse().ok();
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| UsageError::Limit {
            option,
            most,
            found: text.to_owned(),
        })
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
                namespace: None,
                limits: Limits::default()
            })
        );
        let namespace = Namespace::new("/layers");
        assert_eq!(
            parse(&format!(
                "--cache /var/lib/slipway/cache --identity {namespace}"
            )),
            Ok(Args::Cache {
                root: root.clone(),
                namespace: Some(namespace),
                limits: Limits::default()
            })
        );
        assert_eq!(
            parse("--cache /var/lib/slipway/cache --memory 96 --processor 2 --seconds 3"),
            Ok(Args::Cache {
                root,
                namespace: None,
                limits: Limits {
                    memory: 96 << 20,
                    processor: Duration::from_secs(2),
                    time: Duration::from_secs(3)
                }
            })
        );
        let root = PathBuf::from("/c");
        let limits = Limits::default();
        let wanted = Wanted {
            containerd: "/s".into(),
            namespace: "k8s.io".into(),
            container: "c1".into(),
            named: "-".into(),
        };
        let line = "--cache /c --containerd /s --namespace k8s.io --container c1 --named -";
        let image = Args::Image {
            root,
            wanted,
            limits,
        };
        assert_eq!(parse(line), Ok(image));
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
        assert_eq!(
            parse("--cache /a --memory 8192").unwrap_err(),
            "--memory: expected a number from 1 to 4096, found \"8192\""
        );
        assert_eq!(parse("--cache").unwrap_err(), "--cache: a value is missing");
        assert!(
            parse("--cache /a --identity /b")
                .unwrap_err()
                .starts_with("--identity: ")
        );
    }
}
