//! What `start` learns from its standard input and environment, and how it answers.
//!
//! containerd up to 2.2 writes the runtime's options (an `Any`) or nothing; from 2.3 on it writes `BootstrapParams`.
//! Both have a string as field 1: the options a type URL, the parameters the id that also stands in `-id`.

use prost::Message;

use crate::api::bootstrap::BootstrapParams;
use crate::api::types::Any;
use crate::args::Flags;
use crate::options;

/// Where containerd keeps shim sockets unless it says otherwise (`defaults.DefaultStateDir` + `s`).
pub const DEFAULT_SOCKET_DIR: &str = "/run/containerd/s";

/// The longest standard input of `start` that is read; options are a few lines of TOML.
pub const MAX_INPUT: usize = 4 << 20;

/// What is known about the containerd that called `start`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// containerd's own API; empty if containerd did not say.
    pub address: String,
    /// Where events go; `None` if containerd did not say.
    pub events_address: Option<String>,
    /// Where the socket belongs.
    pub socket_dir: String,
    /// How to answer.
    pub reply: Reply,
    /// Whether to log more.
    pub debug: bool,
}

/// The forms of an answer to `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The bare address: every containerd takes it and speaks `containerd.task.v2` then.
    Plain,
    /// JSON with version 3. containerd 1.7 calls that an error, so it takes proof of 2.0 or later.
    Version3,
}

/// Tells the inputs apart. `ttrpc_address` is the environment variable `TTRPC_ADDRESS`.
#[must_use]
pub fn read(input: &[u8], flags: &Flags, ttrpc_address: Option<&str>) -> Bootstrap {
    let params = BootstrapParams::decode(input)
        .ok()
        .filter(|params| params.instance_id == flags.id);
    let from_environment = ttrpc_address.filter(|address| !address.is_empty());
    match params {
        Some(params) => Bootstrap {
            // The flag goes one day (`core/runtime/v2/command.go`, containerd 2.4).
            address: Some(params.containerd_grpc_address)
                .filter(|address| !address.is_empty())
                .unwrap_or_else(|| flags.address.clone()),
            events_address: Some(params.containerd_ttrpc_address)
                .filter(|address| !address.is_empty())
                .or_else(|| from_environment.map(str::to_owned)),
            socket_dir: params
                .socket_dir
                .filter(|dir| !dir.is_empty())
                .unwrap_or_else(|| DEFAULT_SOCKET_DIR.to_owned()),
            reply: Reply::Version3,
            debug: flags.debug || params.log_level < 0,
        },
        None => Bootstrap {
            address: flags.address.clone(),
            events_address: from_environment.map(str::to_owned),
            socket_dir: DEFAULT_SOCKET_DIR.to_owned(),
            reply: if says_version_3(input) {
                Reply::Version3
            } else {
                Reply::Plain
            },
            debug: flags.debug,
        },
    }
}

/// Whether the handler's options hold the installer's line for containerd 2.0.6 to 2.2, which take version 3 but do
/// not say so. The line is looked for as containerd writes it; missed, it costs an exec a container.
fn says_version_3(input: &[u8]) -> bool {
    let Ok(any) = Any::decode(input) else {
        return false;
    };
    options::body(Some(&any)).is_ok_and(|body| {
        body.lines()
            .map(str::trim)
            .take_while(|line| !line.starts_with('['))
            .any(|line| line == "task_api = 3")
    })
}

impl Reply {
    /// The bytes for the standard output of `start`.
    #[must_use]
    pub fn render(self, address: &str) -> String {
        match self {
            Self::Plain => address.to_owned(),
            Self::Version3 => {
                serde_json::json!({"version": 3, "address": address, "protocol": "ttrpc"})
                    .to_string()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::RuntimeOptions;

    fn flags() -> Flags {
        Flags {
            namespace: "k8s.io".into(),
            id: "0123abc".into(),
            address: "/run/containerd/containerd.sock".into(),
            ..Flags::default()
        }
    }

    #[test]
    fn an_empty_input_is_an_old_containerd() {
        let bootstrap = read(b"", &flags(), Some("/run/containerd/containerd.sock.ttrpc"));
        assert_eq!(bootstrap.reply, Reply::Plain);
        assert_eq!(
            bootstrap.events_address.as_deref(),
            Some("/run/containerd/containerd.sock.ttrpc")
        );
        assert_eq!(bootstrap.socket_dir, "/run/containerd/s");
        assert_eq!(bootstrap.reply.render("unix:///s/1"), "unix:///s/1");
    }

    #[test]
    fn options_are_no_parameters_though_they_parse_as_such() {
        let options = Any {
            type_url: "runtimeoptions.v1.Options".into(),
            value: b"\x1a\x01x".to_vec(),
        };
        let bootstrap = read(&options.encode_to_vec(), &flags(), None);
        assert_eq!(bootstrap.reply, Reply::Plain);
        assert_eq!(bootstrap.events_address, None);
        assert_eq!(bootstrap.address, "/run/containerd/containerd.sock");
    }

    #[test]
    fn parameters_prove_a_containerd_that_takes_version_3() {
        let params = BootstrapParams {
            instance_id: "0123abc".into(),
            containerd_ttrpc_address: "/run/c.ttrpc".into(),
            containerd_grpc_address: "/run/c".into(),
            log_level: -4,
            socket_dir: Some("/run/other/s".into()),
            ..BootstrapParams::default()
        };
        let bootstrap = read(&params.encode_to_vec(), &flags(), Some("/else"));
        assert_eq!(
            bootstrap,
            Bootstrap {
                address: "/run/c".into(),
                events_address: Some("/run/c.ttrpc".into()),
                socket_dir: "/run/other/s".into(),
                reply: Reply::Version3,
                debug: true,
            }
        );
        assert_eq!(
            bootstrap.reply.render("unix:///s/1"),
            r#"{"address":"unix:///s/1","protocol":"ttrpc","version":3}"#
        );
    }

    #[test]
    fn the_installer_tells_of_containerds_that_take_version_3_and_do_not_say_so() {
        let reply = |config_body: &str| {
            let options = RuntimeOptions {
                type_url: "io.containerd.cri.v1.runtime".into(),
                config_path: String::new(),
                config_body: config_body.into(),
            };
            let any = Any {
                type_url: "runtimeoptions.v1.Options".into(),
                value: options.encode_to_vec(),
            };
            read(&any.encode_to_vec(), &flags(), None).reply
        };
        assert_eq!(reply("network = \"none\"\ntask_api = 3\n"), Reply::Version3);
        assert_eq!(reply("  task_api = 3\n"), Reply::Version3);
        assert_eq!(reply("task_api = 2\n"), Reply::Plain);
        assert_eq!(reply("[of.another]\ntask_api = 3\n"), Reply::Plain);
        assert_eq!(reply(""), Reply::Plain);
    }

    #[test]
    fn garbage_is_an_old_containerd_too() {
        assert_eq!(read(b"\xff\xff\xff", &flags(), None).reply, Reply::Plain);
    }
}
