//! A configuration file as a TOML document that remembers its comments and order.

use std::path::{Path, PathBuf};

use toml_edit::DocumentMut;

use crate::failure::Reason;

/// A file that is not TOML.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A syntax error.
    #[error("{path} does not parse: line {line}, column {column}: {message}")]
    Syntax {
        /// The host path.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// The parser's words.
        message: String,
    },
    /// Not text.
    #[error("{path} is not UTF-8: byte {offset} does not belong there")]
    Encoding {
        /// The host path.
        path: PathBuf,
        /// From 0.
        offset: usize,
    },
}

impl Reason for DocumentError {
    fn reason(&self) -> &'static str {
        "ConfigUnparsable"
    }
}

/// Bytes as text.
pub fn decode(path: &Path, bytes: Vec<u8>) -> Result<String, DocumentError> {
    String::from_utf8(bytes).map_err(|error| DocumentError::Encoding {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}

/// Text as a document.
pub fn parse(path: &Path, text: &str) -> Result<DocumentMut, DocumentError> {
    text.parse::<DocumentMut>().map_err(|error| {
        let offset = error
            .span()
            .map_or(text.len(), |span| span.start)
            .min(text.len());
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        DocumentError::Syntax {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: error.message().lines().collect::<Vec<_>>().join(", "),
        }
    })
}

/// A changed document as text, its lines ended as those of the text that it was.
pub fn render(before: &str, document: &DocumentMut) -> String {
    let text = document.to_string();
    let windows =
        before.contains('\n') && before.matches('\n').count() == before.matches("\r\n").count();
    if windows {
        text.replace("\r\n", "\n").replace('\n', "\r\n")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_names_file_line_and_column() {
        let path = Path::new("/etc/containerd/config.toml");
        let error = parse(path, "version = 2\n[plugins\n").unwrap_err();
        let DocumentError::Syntax { line, column, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!((*line, *column), (2, 9), "{error}");
        assert!(
            error
                .to_string()
                .starts_with("/etc/containerd/config.toml does not parse: line 2, column 9: ")
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        let error = decode(Path::new("/c"), vec![b'a', 0xff]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/c is not UTF-8: byte 1 does not belong there"
        );
    }
}
