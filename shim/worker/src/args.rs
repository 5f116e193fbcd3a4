//! The command line.

use std::path::PathBuf;

use slipway_shim_options::{ANNOTATION_PREFIX, Options, OptionsError};

use crate::Invocation;

const HELP: &str = "\
slipway-worker: runs one WebAssembly guest

usage:
  slipway-worker                                as a container: control channel on fd 3
  slipway-worker run [options] CODE [ARGUMENT...]  here, code from slipway-compile --output
  slipway-worker --version | --help

options of run:
  --env NAME=VALUE       set a variable of the guest
  --dir HOST::GUEST      show the guest a directory
  --function NAME        call this export
  --memory BYTES         the most memory the guest may grow to
  --cpus MILLI           the processor limit, in thousandths of a processor
  --option NAME=VALUE    as the annotation slipway.dev/NAME of a pod";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Args {
    /// Print this text.
    Print(String),
    /// Be a container.
    Serve,
    /// Run compiled code in this very environment, for trying it by hand.
    Run {
        /// The file that `slipway-compile --output` wrote. It is trusted as this program is.
        code: PathBuf,
        /// How to run it.
        invocation: Box<Invocation>,
    },
}

/// A command line that is not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// An option without what belongs to it.
    #[error("{0}: a value is missing")]
    Value(String),
    /// A value that does not fit.
    #[error("{option}: expected {expected}, found {found:?}")]
    Expected {
        /// The option.
        option: &'static str,
        /// What would fit.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// `run` without a file.
    #[error("run: the file of compiled code is missing")]
    NoCode,
    /// A pod's option that does not fit.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Something else.
    #[error("unknown argument: {0}")]
    Unknown(String),
}

impl Args {
    /// Reads the arguments that follow the program's name.
    ///
    /// # Errors
    /// [`UsageError`] names the argument.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, UsageError> {
        let mut arguments = arguments.into_iter();
        match arguments.next().as_deref() {
            None => Ok(Self::Serve),
            Some("--help" | "-h") => Ok(Self::Print(HELP.to_owned())),
            Some("--version" | "-v") => {
                let version = env!("CARGO_PKG_VERSION");
                let engine = slipway_shim_engine::ENGINE;
                Ok(Self::Print(format!("slipway-worker {version} ({engine})")))
            }
            Some("run") => run(arguments),
            Some(other) => Err(UsageError::Unknown(other.to_owned())),
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<Args, UsageError> {
    let mut invocation = Invocation::default();
    let mut options = Vec::new();
    while let Some(argument) = arguments.next() {
        if !argument.starts_with("--") {
            invocation.args = std::iter::once(argument.clone()).chain(arguments).collect();
            let code = argument.into();
            let options = options
                .iter()
                .map(|(name, value): &(String, String)| (name.as_str(), value.as_str()));
            invocation.options = Options::parse("", options)?;
            let invocation = Box::new(invocation);
            return Ok(Args::Run { code, invocation });
        }
        let missing = || UsageError::Value(argument.clone());
        let value = arguments.next().ok_or_else(missing)?;
        let expected = |option, expected| {
            let found = value.clone();
            UsageError::Expected {
                option,
                expected,
                found,
            }
        };
        match argument.as_str() {
            "--env" => {
                let (name, value) = value
                    .split_once('=')
                    .ok_or_else(|| expected("--env", "NAME=VALUE"))?;
                invocation.env.push((name.to_owned(), value.to_owned()));
            }
            "--dir" => {
                let (host, guest) = value
                    .split_once("::")
                    .ok_or_else(|| expected("--dir", "HOST::GUEST"))?;
                invocation.directories.push((host.into(), guest.to_owned()));
            }
            "--function" => invocation.function = Some(value),
            "--memory" => {
                let bytes = value.parse();
                let bytes = bytes.map_err(|_| expected("--memory", "a number of bytes"))?;
                invocation.memory = Some(bytes);
            }
            "--cpus" => {
                let milli = value.parse();
                let milli = milli.map_err(|_| expected("--cpus", "a number of thousandths"))?;
                invocation.milli_cpus = Some(milli);
            }
            "--option" => {
                let (name, value) = value
                    .split_once('=')
                    .ok_or_else(|| expected("--option", "NAME=VALUE"))?;
                options.push((format!("{ANNOTATION_PREFIX}{name}"), value.to_owned()));
            }
            _ => return Err(UsageError::Unknown(argument)),
        }
    }
    Err(UsageError::NoCode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_container_is_the_rule() {
        assert_eq!(parse(""), Ok(Args::Serve));
    }

    #[test]
    fn run_takes_options_before_the_code_only() {
        let line = "run --env A=b=c --dir /tmp::/ --memory 65536 hello.cwasm --env X=y";
        let expected = Invocation {
            args: ["hello.cwasm", "--env", "X=y"].map(str::to_owned).to_vec(),
            env: vec![("A".into(), "b=c".into())],
            directories: vec![("/tmp".into(), "/".into())],
            memory: Some(65_536),
            ..Invocation::default()
        };
        let args = Args::Run {
            code: "hello.cwasm".into(),
            invocation: Box::new(expected),
        };
        assert_eq!(parse(line), Ok(args));
    }

    #[test]
    fn mistakes_are_named() {
        let mistakes = [
            "run",
            "run --env",
            "run --env A b",
            "run --fast 1 b",
            "run --option root b",
            "run --option root=b c",
            "start",
        ];
        assert_eq!(
            mistakes.map(|line| parse(line).unwrap_err()),
            [
                "run: the file of compiled code is missing",
                "--env: a value is missing",
                "--env: expected NAME=VALUE, found \"A\"",
                "unknown argument: --fast",
                "--option: expected NAME=VALUE, found \"root\"",
                "annotation slipway.dev/root: expected preopen or none, found \"b\"",
                "unknown argument: start",
            ]
        );
    }
}
