//! The process of an exec, as it is written down for runc.

use serde_json::{Map, Value};
use slipway_shim_spec::MAX_SPEC_BYTES;

/// What `Exec` brings and runc could not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// No JSON, or none of an object.
    #[error("the process to run: {0}; expected the process of the OCI runtime specification")]
    Json(#[from] serde_json::Error),
    /// More than anybody writes.
    #[error("the process to run: longer than {MAX_SPEC_BYTES} bytes")]
    TooLong,
}

/// The process with the terminal that the request asks for, whatever it says itself, as containerd's own shim has it
/// (`Init.exec` in `process/init.go`, containerd 2.4). The rest is runc's to check.
///
/// # Errors
/// [`ExecError`] for what is no process.
pub fn process(json: &[u8], terminal: bool) -> Result<Vec<u8>, ExecError> {
    if u64::try_from(json.len()).unwrap_or(u64::MAX) > MAX_SPEC_BYTES {
        return Err(ExecError::TooLong);
    }
    let mut process: Map<String, Value> = serde_json::from_slice(json)?;
    process.insert("terminal".to_owned(), terminal.into());
    Ok(serde_json::to_vec(&process)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_decides_about_the_terminal_and_nothing_else() {
        let json = br#"{"terminal":true,"args":["a"],"x":{"y":1}}"#;
        let written = process(json, false).unwrap();
        let read: Value = serde_json::from_slice(&written).unwrap();
        let expected = serde_json::json!({"terminal": false, "args": ["a"], "x": {"y": 1}});
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_no_process_is_refused() {
        for json in [&b""[..], b"[]", b"{", b"null"] {
            let error = process(json, false).unwrap_err().to_string();
            assert!(error.starts_with("the process to run: "), "{error}");
        }
        let long = vec![b' '; usize::try_from(MAX_SPEC_BYTES).unwrap() + 1];
        assert!(matches!(process(&long, false), Err(ExecError::TooLong)));
    }
}
