//! The options themselves.

use std::num::NonZeroU32;
use std::time::Duration;

use toml_edit::Document;

use crate::setting::{Origin, Setting};
use crate::{ANNOTATION_PREFIX, OptionsError, value};

/// What may be chosen, with everything that was not chosen at its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `network`
    pub network: Network,
    /// `root`
    pub root: Root,
    /// `seccomp`
    pub seccomp: Seccomp,
    /// `http-…`
    pub http: Http,
    /// Sentences about names that are not known.
    pub warnings: Vec<String>,
}

/// What a guest may connect to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// `pod`: what the pod's network reaches, as for any container.
    #[default]
    Pod,
    /// `none`: no sockets, no names, no outbound HTTP. A server is still served.
    None,
}

/// Whether a guest sees the container's root directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Root {
    /// `preopen`: as `/`.
    #[default]
    Preopen,
    /// `none`: mounts only.
    None,
}

/// Which system calls a worker keeps for itself once its guest is loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// `guest`: those that running a guest takes, and of them only what the pod's profile allows.
    #[default]
    Guest,
    /// `spec`: what the pod's profile allows.
    Spec,
}

/// How a server treats requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// `http-request-timeout`: how long a guest may take to begin its answer; `None` is for ever.
    pub request_timeout: Option<Duration>,
    /// `http-idle-timeout`: how long a connection may be silent, or a body not move; `None` is for ever.
    pub idle_timeout: Option<Duration>,
    /// `http-concurrency`: how many requests are worked on at once; `None` leaves it to the memory limit.
    pub concurrency: Option<NonZeroU32>,
    /// `http-reuse`: how many requests an instance serves, one after the other.
    pub reuse: NonZeroU32,
}

impl Http {
    /// The default of [`Http::request_timeout`].
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
    /// The default of [`Http::idle_timeout`]: longer than load balancers keep their idle connections.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
    /// The most that [`Http::concurrency`] may be: as many instances as wasmtime has in a pool by default.
    pub const MAX_CONCURRENCY: u32 = 1000;
    /// The most that [`Http::reuse`] may be.
    pub const MAX_REUSE: u32 = 1_000_000;
}

impl Default for Http {
    fn default() -> Self {
        Self {
            request_timeout: Some(Self::REQUEST_TIMEOUT),
            idle_timeout: Some(Self::IDLE_TIMEOUT),
            concurrency: None,
            reuse: NonZeroU32::MIN,
        }
    }
}

impl Options {
    /// Reads a handler's options, which are TOML, and a pod's annotations, which win. Annotations that do
    /// not begin with [`ANNOTATION_PREFIX`] are not ours.
    ///
    /// # Errors
    /// [`OptionsError`] names what is wrong, what was found and what is expected.
    pub fn parse<'a>(
        config_body: &str,
        annotations: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        // Nearly always.
        if !config_body.trim().is_empty() {
            options.read_body(config_body)?;
        }
        for (name, text) in annotations {
            let Some(key) = name.strip_prefix(ANNOTATION_PREFIX) else {
                continue;
            };
            options.set(&Setting::annotation(key, text))?;
        }
        Ok(options)
    }

    fn read_body(&mut self, body: &str) -> Result<(), OptionsError> {
        let document = Document::parse(body).map_err(|error| OptionsError::not_toml(&error))?;
        for (name, item) in document.iter() {
            // `SystemdCgroup`, `BinaryName` and the like: runc's, which configurations are copied from.
            if name.starts_with(|first: char| first.is_ascii_uppercase()) {
                continue;
            }
            let key = name.replace('_', "-");
            self.set(&Setting::option(&key, name, item))?;
        }
        Ok(())
    }

    fn set(&mut self, setting: &Setting<'_>) -> Result<(), OptionsError> {
        match setting.key {
            "network" => {
                self.network = setting.one_of(&[("pod", Network::Pod), ("none", Network::None)])?;
            }
            "root" => {
                self.root = setting.one_of(&[("preopen", Root::Preopen), ("none", Root::None)])?;
            }
            "seccomp" => {
                self.seccomp =
                    setting.one_of(&[("guest", Seccomp::Guest), ("spec", Seccomp::Spec)])?;
            }
            "http-request-timeout" => {
                self.http.request_timeout = setting.read(value::timeout, value::A_TIMEOUT)?;
            }
            "http-idle-timeout" => {
                self.http.idle_timeout = setting.read(value::timeout, value::A_TIMEOUT)?;
            }
            "http-concurrency" => {
                self.http.concurrency = Some(setting.number(Http::MAX_CONCURRENCY)?);
            }
            "http-reuse" => self.http.reuse = setting.number(Http::MAX_REUSE)?,
            // The installer's, for `start`.
            "task-api" if matches!(setting.origin, Origin::Option(_)) => {}
            _ => {
                let warning = match setting.origin {
                    Origin::Annotation => "is no annotation of slipway's shim",
                    Origin::Option(_) => "is no option of slipway's shim",
                };
                self.warnings.push(format!("{setting} {warning}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str, annotations: &[(&str, &str)]) -> Result<Options, String> {
        Options::parse(body, annotations.iter().copied()).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_chosen_is_the_default() {
        assert_eq!(parse(" \n", &[]), Ok(Options::default()));
        assert_eq!(
            parse("# nothing\n", &[("other", "x")]),
            Ok(Options::default())
        );
    }

    #[test]
    fn every_option_is_read_from_both() {
        let body = "network = \"none\"\nroot = \"none\"\nseccomp = \"spec\"\nhttp_request_timeout = \"5m\"\n\
                    http_idle_timeout = \"0\"\nhttp_concurrency = 7\nhttp_reuse = \"9\"\n";
        let annotations = [
            ("slipway.dev/network", "none"),
            ("slipway.dev/root", "none"),
            ("slipway.dev/seccomp", "spec"),
            ("slipway.dev/http-request-timeout", "5m"),
            ("slipway.dev/http-idle-timeout", "0"),
            ("slipway.dev/http-concurrency", "7"),
            ("slipway.dev/http-reuse", "9"),
        ];
        let expected = Options {
            network: Network::None,
            root: Root::None,
            seccomp: Seccomp::Spec,
            http: Http {
                request_timeout: Some(Duration::from_secs(300)),
                idle_timeout: None,
                concurrency: NonZeroU32::new(7),
                reuse: NonZeroU32::new(9).unwrap(),
            },
            warnings: Vec::new(),
        };
        assert_eq!(parse(body, &[]), Ok(expected.clone()));
        assert_eq!(parse("", &annotations), Ok(expected));
    }

    #[test]
    fn annotations_win() {
        let annotations = [("slipway.dev/network", "pod")];
        let options = parse("network = \"none\"", &annotations).unwrap();
        assert_eq!(options.network, Network::Pod);
    }

    #[test]
    fn names_that_are_not_known_are_warned_about() {
        let body = "SystemdCgroup = true\ntask_api = 3\nspeed = 11\n[plugins]\nx = 1\n";
        let options = parse(body, &[("slipway.dev/netwrok", "none")]).unwrap();
        assert_eq!(
            options.warnings,
            [
                "option speed is no option of slipway's shim",
                "option plugins is no option of slipway's shim",
                "annotation slipway.dev/netwrok is no annotation of slipway's shim",
            ]
        );
        assert_eq!(options.network, Network::Pod);
    }

    #[test]
    fn values_that_are_wrong_are_named() {
        let refused = [
            ("", "network", "host"),
            ("", "http-concurrency", "0"),
            ("", "http-concurrency", "1001"),
            ("", "http-request-timeout", "fast"),
            ("root = true", "", ""),
            ("http_reuse = [1]", "", ""),
        ]
        .map(|(body, key, text)| {
            let name = format!("slipway.dev/{key}");
            let annotations = [(name.as_str(), text)];
            let given = if key.is_empty() {
                &[][..]
            } else {
                &annotations
            };
            parse(body, given).unwrap_err()
        });
        assert_eq!(
            refused,
            [
                "annotation slipway.dev/network: expected pod or none, found \"host\"",
                "annotation slipway.dev/http-concurrency: expected a number from 1 to 1000, found \"0\"",
                "annotation slipway.dev/http-concurrency: expected a number from 1 to 1000, found \"1001\"",
                "annotation slipway.dev/http-request-timeout: expected a time like 30s or 5m, at most 24h, or 0 \
                 for none, found \"fast\"",
                "option root of the handler in containerd's configuration: expected preopen or none, found \
                 a boolean",
                "option http_reuse of the handler in containerd's configuration: expected a number from 1 to \
                 1000000, found an array",
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_refused_in_one_line() {
        let error = parse("network = ", &[]).unwrap_err();
        assert!(
            error.starts_with("options of the handler in containerd's configuration: line 1: "),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn long_values_are_not_repeated_in_full() {
        let long = "ä".repeat(5000);
        let error = parse("", &[("slipway.dev/root", &long)]).unwrap_err();
        assert!(error.len() < 400, "{error}");
    }
}
