//! Why runc failed, as it tells: the last error of its log.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// How much of the log's end is read: an error is a line.
const TAIL: u64 = 64 << 10;

/// The longest sentence that is passed on to users.
const MAX: usize = 4 << 10;

/// The last error in a log of runc's, if there is one (`getLastRuntimeError` in `process/utils.go`, containerd 2.4).
#[must_use]
pub fn last(log: &Path) -> Option<String> {
    let mut file = std::fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))
        .ok()?;
    let mut text = Vec::new();
    file.take(TAIL).read_to_end(&mut text).ok()?;
    last_of(&text)
}

fn last_of(text: &[u8]) -> Option<String> {
    let mut lines = text.rsplit(|byte| *byte == b'\n');
    let line = lines.find_map(|line| {
        let line: Value = serde_json::from_slice(line).ok()?;
        matches!(line["level"].as_str(), Some("error" | "fatal")).then_some(line)
    })?;
    let sentence = line["msg"].as_str()?.trim();
    Some(sentence[..sentence.floor_char_boundary(MAX)].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_counts() {
        let log = br#"{"level":"error","msg":"first","time":"2026-01-01T00:00:00Z"}
{"level":"warning","msg":"between"}
{"level":"error","msg":"runc create failed: exec: \"x\": not found\n","time":"t"}
{"level":"info","msg":"after"}
torn {"level":"err
"#;
        assert_eq!(
            last_of(log).unwrap(),
            "runc create failed: exec: \"x\": not found"
        );
        assert_eq!(last_of(b""), None);
        assert_eq!(last_of(br#"{"level":"info","msg":"x"}"#), None);
        assert_eq!(last(Path::new("/nonexistent")), None);
    }

    #[test]
    fn a_long_log_is_read_from_its_end_and_a_long_sentence_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.json");
        let noise = "{\"level\":\"debug\",\"msg\":\"noise\"}\n".repeat(10_000);
        let long = "é".repeat(MAX);
        let text = format!("{noise}{{\"level\":\"error\",\"msg\":\"{long}\"}}\n");
        std::fs::write(&path, text).unwrap();
        assert_eq!(last(&path).unwrap().len(), MAX);
    }
}
