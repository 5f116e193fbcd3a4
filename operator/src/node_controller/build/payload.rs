//! How a shim's files reach the installer: containers that run before it, without rights and without the host.

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, SeccompProfile,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use slipway_crds::node_shim::{Operation, Transaction};
use slipway_crds::shim::{Image, Url};

use super::Frame;
use super::job::small;

/// More than any shim has; beyond it the kubelet evicts the pod.
const MOST: &str = "1Gi";

/// Where they say how it went, as the installer does.
const REPORT: &str = "--report=/dev/termination-log";

/// What the installer's pod has besides the installer.
#[derive(Default)]
pub(super) struct Payload {
    /// Containers before the installer.
    pub(super) containers: Vec<Container>,
    /// Volumes they share with it.
    pub(super) volumes: Vec<Volume>,
    /// Where the installer finds the files; none: in its own image, or on the node.
    pub(super) mount: Option<VolumeMount>,
}

/// Of this transaction.
pub(super) fn of(frame: &Frame<'_>, transaction: &Transaction) -> Payload {
    if transaction.operation == Operation::Uninstall {
        return Payload::default();
    }
    let source = &frame.goal.spec.source;
    match (&source.url, &source.image) {
        (Some(url), _) => fetched(frame, url),
        (_, Some(image)) => copied(frame, image),
        _ => Payload::default(),
    }
}

/// From the URL of the node's platform; a node without one is not taken.
fn fetched(frame: &Frame<'_>, url: &Url) -> Payload {
    let pod = &frame.installer.pod;
    let mut volumes = vec![empty("payload")];
    let mut mounts = vec![mount("payload", "/payload")];
    let mut args = vec!["fetch".to_owned()];
    if let Some(entry) = url
        .platforms
        .iter()
        .find(|entry| entry.platform.architecture() == frame.goal.architecture)
    {
        args.push(format!("--url={}", entry.url));
        args.push(format!("--sha256={}", entry.sha256));
    }
    args.push(format!("--binary={}", url.binary));
    args.push("--out=/payload".to_owned());
    args.push(REPORT.to_owned());
    if !pod.fetch_ca.is_empty() {
        args.push("--ca=/ca/ca.crt".to_owned());
        mounts.push(VolumeMount {
            read_only: Some(true),
            ..mount("ca", "/ca")
        });
        volumes.push(Volume {
            name: "ca".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: pod.fetch_ca.clone(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        });
    }
    let fetch = Container {
        args: Some(args),
        env: Some(pod.fetch_env.clone()).filter(|env| !env.is_empty()),
        volume_mounts: Some(mounts),
        ..own(frame, "fetch")
    };
    Payload {
        containers: vec![fetch],
        volumes,
        mount: Some(mount("payload", "/payload")),
    }
}

/// The user's image need not hold anything that copies: our own program is brought along.
fn copied(frame: &Frame<'_>, image: &Image) -> Payload {
    let words = |words: [&str; 3]| Some(words.map(str::to_owned).to_vec());
    let bring = Container {
        args: words(["copy", "--self", "/tools"]),
        volume_mounts: Some(vec![mount("tools", "/tools")]),
        ..own(frame, "self")
    };
    let copy = Container {
        image: Some(image.reference.clone()),
        image_pull_policy: Some(image.pull_policy.as_str().to_owned()),
        command: Some(vec!["/tools/slipway-node-installer".to_owned()]),
        args: Some(vec![
            "copy".to_owned(),
            format!("--from={}", image.path),
            "--out=/payload".to_owned(),
            REPORT.to_owned(),
        ]),
        volume_mounts: Some(vec![mount("tools", "/tools"), mount("payload", "/payload")]),
        ..own(frame, "copy")
    };
    Payload {
        containers: vec![bring, copy],
        volumes: vec![empty("tools"), empty("payload")],
        mount: Some(mount("payload", "/payload")),
    }
}

/// A container without rights.
fn own(frame: &Frame<'_>, name: &str) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(frame.installer.image.clone()),
        image_pull_policy: Some(frame.installer.pull_policy.as_str().to_owned()),
        resources: Some(small()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(SecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(65532),
            run_as_group: Some(65532),
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn empty(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(MOST.to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}
