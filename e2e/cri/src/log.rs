//! Container logs in CRI's format: time, stream, tag, text; the tag `P` marks a line that goes on
//! (`pkg/kubelet/kuberuntime/logs`, Kubernetes 1.36).

use std::path::Path;

use anyhow::{Context as _, Result};

/// A whole line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `stdout` or `stderr`.
    pub stream: String,
    /// What the guest wrote, without the line feed.
    pub text: String,
}

/// The lines of a log, pieces joined.
///
/// # Errors
/// When the file cannot be read or is no log.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let text = std::fs::read(path).with_context(|| format!("log {}", path.display()))?;
    parse(&String::from_utf8_lossy(&text)).with_context(|| format!("log {}", path.display()))
}

/// The lines in the text of a log. A last line that is still being written is left out.
///
/// # Errors
/// When a line is not CRI's.
pub fn parse(text: &str) -> Result<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut open: Vec<Line> = Vec::new();
    for line in text.split_inclusive('\n').filter(|l| l.ends_with('\n')) {
        let line = line.trim_end_matches('\n');
        let mut parts = line.splitn(4, ' ');
        let (Some(_), Some(stream), Some(tag)) = (parts.next(), parts.next(), parts.next()) else {
            anyhow::bail!("not a line of a log: {line:?}");
        };
        let piece = parts.next().unwrap_or_default();
        let at = open.iter().position(|line| line.stream == stream);
        let mut whole = at.map_or_else(
            || Line {
                stream: stream.to_owned(),
                text: String::new(),
            },
            |at| open.swap_remove(at),
        );
        whole.text.push_str(piece);
        match tag {
            "F" => lines.push(whole),
            "P" => open.push(whole),
            _ => anyhow::bail!("not a tag of a log: {line:?}"),
        }
    }
    lines.extend(open);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_by_stream() {
        let text = "t stdout P ab\nt stderr F x\nt stdout F c d\nt stdout F \nt stdo";
        let lines = parse(text).unwrap();
        let flat: Vec<_> = lines
            .iter()
            .map(|line| (line.stream.as_str(), line.text.as_str()))
            .collect();
        assert_eq!(flat, [("stderr", "x"), ("stdout", "abc d"), ("stdout", "")]);
        assert!(parse("nonsense\n").is_err());
    }
}
