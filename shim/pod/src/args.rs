//! The command line of containerd's runtime v2 contract (`core/runtime/v2/command.go`, containerd 2.4):
//! flags as Go's `flag` package reads them, then an action.

use std::path::PathBuf;

/// What `--help` prints.
pub const USAGE: &str = "\
containerd-shim-slipway-v1: containerd's shim for WebAssembly pods

containerd starts it; the useful calls for people are:
  containerd-shim-slipway-v1 -v       the version
  containerd-shim-slipway-v1 -info    the same as protobuf, for containerd

usage: containerd-shim-slipway-v1 [flags] start|delete
  -namespace NAME       containerd namespace of the container
  -id ID                container id
  -address PATH         containerd's gRPC socket
  -publish-binary PATH  containerd itself; not used, events go to TTRPC_ADDRESS
  -bundle PATH          bundle directory, for delete
  -debug                log more
";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `start`: become the shim of a pod, or find it.
    Start(Flags),
    /// `delete`: clean up what a shim left behind.
    Delete(Flags),
    /// `-info`
    Info,
    /// `-v`
    Version,
    /// `-h`
    Help,
}

/// The flags of `start` and `delete`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `-namespace`
    pub namespace: String,
    /// `-id`
    pub id: String,
    /// `-address`
    pub address: String,
    /// `-bundle`
    pub bundle: Option<PathBuf>,
    /// `-debug`
    pub debug: bool,
}

/// A command line that says nothing sensible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// Not ours.
    #[error("unknown flag {0:?}; see -help")]
    UnknownFlag(String),
    /// `-id` at the end.
    #[error("flag {0:?} needs a value")]
    NoValue(String),
    /// `-debug=perhaps`
    #[error("flag {name:?}: {value:?} is neither true nor false")]
    NotABool {
        /// Which flag.
        name: String,
        /// What it was given.
        value: String,
    },
    /// Neither `start` nor `delete`.
    #[error("no action: expected start or delete; see -help")]
    NoAction,
    /// Something else.
    #[error("unknown action {0:?}: expected start or delete")]
    UnknownAction(String),
    /// An id or namespace that is no name.
    #[error("flag {name:?}: {value:?} is no containerd identifier")]
    NotAnIdentifier {
        /// Which flag.
        name: &'static str,
        /// What it was given.
        value: String,
    },
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// [`ArgsError`], one sentence each.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Action, ArgsError> {
    let mut arguments = arguments.into_iter();
    let mut flags = Flags::default();
    while let Some(argument) = arguments.next() {
        let Some(flag) = argument.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            return action(&argument, flags);
        };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let mut value = || {
            inline
                .clone()
                .or_else(|| arguments.next())
                .ok_or_else(|| ArgsError::NoValue(name.to_owned()))
        };
        match name {
            "namespace" => flags.namespace = value()?,
            "id" => flags.id = value()?,
            "address" => flags.address = value()?,
            "bundle" => flags.bundle = Some(value()?.into()),
            // Flags of other shims that containerd or its users may pass; accepted and of no effect.
            "publish-binary" | "socket" | "env" => drop(value()?),
            "debug" => flags.debug = boolean(name, inline.as_deref())?,
            "v" | "version" if boolean(name, inline.as_deref())? => return Ok(Action::Version),
            "info" if boolean(name, inline.as_deref())? => return Ok(Action::Info),
            "h" | "help" => return Ok(Action::Help),
            "v" | "version" | "info" => {}
            _ => return Err(ArgsError::UnknownFlag(argument)),
        }
    }
    Err(ArgsError::NoAction)
}

fn action(word: &str, flags: Flags) -> Result<Action, ArgsError> {
    let action = match word {
        "start" => Action::Start,
        "delete" => Action::Delete,
        other => return Err(ArgsError::UnknownAction(other.to_owned())),
    };
    for (name, value) in [("-namespace", &flags.namespace), ("-id", &flags.id)] {
        if !is_identifier(value) {
            return Err(ArgsError::NotAnIdentifier {
                name,
                value: value.clone(),
            });
        }
    }
    Ok(action(flags))
}

fn boolean(name: &str, value: Option<&str>) -> Result<bool, ArgsError> {
    match value {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some(value) => Err(ArgsError::NotABool {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
    }
}

/// Whether `id` is what containerd takes for an identifier (`pkg/identifiers`, containerd 2.4): at most 76
/// characters, words of letters and digits with `.`, `_` or `-` between them. Ids become parts of paths.
#[must_use]
pub fn is_identifier(id: &str) -> bool {
    id.len() <= 76
        && id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && id.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(line: &str) -> Result<Action, ArgsError> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn containerds_own_command_lines_are_understood() {
        let line = "-namespace k8s.io -address /run/containerd/containerd.sock -publish-binary /usr/bin/containerd -id abc -debug start";
        assert_eq!(
            parse_words(line),
            Ok(Action::Start(Flags {
                namespace: "k8s.io".into(),
                id: "abc".into(),
                address: "/run/containerd/containerd.sock".into(),
                bundle: None,
                debug: true,
            }))
        );
        let line = "--namespace=k8s.io --id=abc -bundle /run/b delete";
        assert!(
            matches!(parse_words(line), Ok(Action::Delete(flags)) if flags.bundle == Some("/run/b".into()))
        );
        assert_eq!(parse_words("-v"), Ok(Action::Version));
        assert_eq!(parse_words("--version"), Ok(Action::Version));
        assert_eq!(parse_words("-info"), Ok(Action::Info));
        assert_eq!(parse_words("--help"), Ok(Action::Help));
    }

    #[test]
    fn nonsense_is_one_sentence() {
        for (line, sentence) in [
            ("", "no action: expected start or delete; see -help"),
            ("-id", "flag \"id\" needs a value"),
            ("-bogus start", "unknown flag \"-bogus\"; see -help"),
            (
                "-namespace k8s.io -id ../../etc start",
                "flag \"-id\": \"../../etc\" is no containerd identifier",
            ),
            (
                "-namespace n -id a run",
                "unknown action \"run\": expected start or delete",
            ),
            (
                "-debug=perhaps start",
                "flag \"debug\": \"perhaps\" is neither true nor false",
            ),
        ] {
            let error = parse_words(line).unwrap_err();
            assert_eq!(error.to_string(), sentence, "for {line:?}");
        }
    }

    #[test]
    fn identifiers_are_those_of_containerd() {
        for good in ["a", "k8s.io", "a-b_c.d", &"a".repeat(76)] {
            assert!(is_identifier(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "-a", "a-", &"a".repeat(77), "a b"] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }
}
