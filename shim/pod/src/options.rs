//! The options of the handler, as `Create` brings them: found and bounded here, read by the worker.

use prost::Message;
use slipway_shim_wire::MAX_OPTIONS;

use crate::api::types::{Any, RuntimeOptions};

/// The type of the options of runtimes that containerd does not know itself; whatever stands before it is a
/// resolver's business (`google.protobuf.Any`).
const TYPE: &str = "runtimeoptions.v1.Options";

/// Why the handler's options cannot be passed on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// Not the message that its type says.
    #[error("options of the handler: {0}")]
    Decode(#[from] prost::DecodeError),
    /// More than anybody writes.
    #[error("options of the handler: longer than {MAX_OPTIONS} bytes")]
    TooLong,
    /// No TOML.
    #[error("options of the handler: not UTF-8")]
    NotText,
    /// A file, which this shim does not open.
    #[error(
        "options of the handler: ConfigPath is {0:?}; write the options into the table itself, without ConfigPath"
    )]
    File(String),
}

/// Whether there are options of the handler. Options of other runtimes are none of ours.
#[must_use]
pub fn are_given(options: Option<&Any>) -> bool {
    options.is_some_and(|options| options.type_url.ends_with(TYPE))
}

/// The table `options` of the handler, as TOML; empty where there is none.
///
/// # Errors
/// [`OptionsError`] when there are some and they cannot be passed on.
pub fn body(options: Option<&Any>) -> Result<String, OptionsError> {
    let Some(options) = options.filter(|options| are_given(Some(options))) else {
        return Ok(String::new());
    };
    let options = RuntimeOptions::decode(options.value.as_slice())?;
    if options.config_body.len() > MAX_OPTIONS {
        return Err(OptionsError::TooLong);
    }
    if options.config_body.is_empty() && !options.config_path.is_empty() {
        return Err(OptionsError::File(
            options.config_path.chars().take(200).collect(),
        ));
    }
    String::from_utf8(options.config_body).map_err(|_| OptionsError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(type_url: &str, path: &str, body: &[u8]) -> Any {
        let options = RuntimeOptions {
            type_url: String::new(),
            config_path: path.into(),
            config_body: body.to_vec(),
        };
        Any {
            type_url: type_url.into(),
            value: options.encode_to_vec(),
        }
    }

    #[test]
    fn the_body_is_passed_on() {
        let options = any(TYPE, "", b"root = \"none\"");
        assert_eq!(body(Some(&options)).unwrap(), "root = \"none\"");
        let options = any(
            "type.googleapis.com/runtimeoptions.v1.Options",
            "",
            b"a = 1",
        );
        assert_eq!(body(Some(&options)).unwrap(), "a = 1");
    }

    #[test]
    fn no_options_and_others_are_none() {
        assert_eq!(body(None), Ok(String::new()));
        let others = any("containerd.runc.v1.Options", "", b"x");
        assert_eq!(body(Some(&others)), Ok(String::new()));
    }

    #[test]
    fn what_cannot_be_passed_on_is_refused() {
        let long = vec![b' '; MAX_OPTIONS + 1];
        assert_eq!(
            body(Some(&any(TYPE, "", &long))),
            Err(OptionsError::TooLong)
        );
        assert_eq!(
            body(Some(&any(TYPE, "", b"\xff"))),
            Err(OptionsError::NotText)
        );
        let path = any(TYPE, "/etc/slipway.toml", b"");
        assert!(matches!(body(Some(&path)), Err(OptionsError::File(_))));
        let torn = Any {
            type_url: TYPE.into(),
            value: vec![0x1a, 0x7f],
        };
        assert!(matches!(body(Some(&torn)), Err(OptionsError::Decode(_))));
    }
}
