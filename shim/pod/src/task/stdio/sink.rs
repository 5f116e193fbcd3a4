//! Where an output goes: what its URI says, read as containerd's own shim reads it (`createIO` in
//! `cmd/containerd-shim-runc-v2/process/io.go`, containerd 2.4).

use std::path::PathBuf;

use super::StdioError;

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sink {
    /// Nowhere.
    Null,
    /// A FIFO or whatever else is at a path.
    Path(PathBuf),
    /// A file, made with its directories if it is not there.
    File(PathBuf),
    /// A program that reads it.
    Logger(LoggerUri),
}

/// A logging program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoggerUri {
    /// The program.
    pub(super) program: PathBuf,
    /// Keys and values of the query, in turn.
    pub(super) arguments: Vec<String>,
    /// Whether it must say that it is ready: `binary-v2`, containerd 2.2. Hanging up is enough otherwise.
    pub(super) strict: bool,
}

impl Sink {
    /// Reads the URI or path of `stream`.
    pub(super) fn parse(stream: &'static str, uri: &str) -> Result<Self, StdioError> {
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Ok(match uri {
                "" => Self::Null,
                path => Self::Path(path.into()),
            });
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // What stands before the path is a host's name, which has no meaning here.
        let path = path.find('/').map_or("", |at| &path[at..]);
        let invalid = |reason| StdioError::Uri {
            stream,
            uri: uri.to_owned(),
            reason,
        };
        let path = decoded(path, false).ok_or_else(|| invalid("a % without two digits"))?;
        if path.is_empty() || path.contains('\0') {
            return Err(invalid("expected an absolute path after ://"));
        }
        match scheme {
            "fifo" => Ok(Self::Path(path.into())),
            "file" => Ok(Self::File(path.into())),
            "binary" | "binary-v2" => Ok(Self::Logger(LoggerUri {
                program: path.into(),
                arguments: arguments(query).ok_or_else(|| invalid("its query is not text"))?,
                strict: scheme == "binary-v2",
            })),
            scheme => Err(StdioError::Scheme {
                stream,
                uri: uri.to_owned(),
                scheme: scheme.to_owned(),
            }),
        }
    }
}

/// Each key and its first value, as `NewBinaryCmd` passes them on.
fn arguments(query: &str) -> Option<Vec<String>> {
    let mut arguments: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decoded(key, true)?, decoded(value, true)?);
        if key.contains('\0') || value.contains('\0') {
            return None;
        }
        let mut known = arguments.iter().step_by(2);
        if !known.any(|known| *known == key) {
            arguments.extend([key, value]);
        }
    }
    Some(arguments)
}

/// Without percent signs; in a query a plus is a space.
fn decoded(text: &str, query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || (rest.next()? as char).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            b'+' if query => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Result<Sink, String> {
        Sink::parse("stdout", uri).map_err(|error| error.to_string())
    }

    #[test]
    fn each_scheme_is_told_apart() {
        assert_eq!(parse(""), Ok(Sink::Null));
        assert_eq!(parse("/run/f"), Ok(Sink::Path("/run/f".into())));
        assert_eq!(parse("fifo:///run/f"), Ok(Sink::Path("/run/f".into())));
        let file = parse("file:///var/log/a%20b.log");
        assert_eq!(file, Ok(Sink::File("/var/log/a b.log".into())));
        assert_eq!(
            parse("ftp://host/x").unwrap_err(),
            "stdout \"ftp://host/x\": ftp logging is not supported; use a FIFO, file://, binary:// or nothing"
        );
    }

    #[test]
    fn a_loggers_query_is_its_arguments() {
        let logger = |uri: &str| match parse(uri) {
            Ok(Sink::Logger(logger)) => logger,
            other => panic!("{other:?}"),
        };
        let plain = logger("binary:///usr/bin/log");
        assert_eq!(plain.program, PathBuf::from("/usr/bin/log"));
        assert_eq!((plain.arguments.len(), plain.strict), (0, false));
        let full = logger("binary-v2:///bin/log?--dir=%2Fvar%2Flog&quiet&a=b+c&a=d&=x#end");
        assert_eq!(
            full.arguments,
            ["--dir", "/var/log", "quiet", "", "a", "b c", "", "x"]
        );
        assert!(full.strict);
    }

    #[test]
    fn nonsense_is_refused_by_stream() {
        for (uri, reason) in [
            ("binary://", "absolute path"),
            ("binary://logger", "absolute path"),
            ("file:///a%zz", "two digits"),
            ("binary:///a?b=%ff", "not text"),
            ("binary:///a?b=%00", "not text"),
            ("file:///a%00b", "absolute path"),
        ] {
            let error = parse(uri).unwrap_err();
            assert!(
                error.starts_with("stdout ") && error.contains(reason),
                "{error}"
            );
        }
    }
}
