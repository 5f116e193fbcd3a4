//! Where a shim comes from.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Exactly one of its fields is set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.bundled), has(self.url), has(self.image), has(self.adopt)].filter(given, given).size() == 1").message("source: want exactly one of bundled, url, image and adopt"))]
pub struct Source {
    /// Slipway's own shim, from the installer image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundled: Option<Bundled>,
    /// An archive or a binary, fetched by each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
    /// A container image that holds the binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// A binary that is on the nodes already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
}

/// Slipway's own shim: nothing to say about it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundled {}

/// An archive (.tar.gz, .tgz, .tar) or a plain binary at a URL, one a platform.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Url {
    /// File name of the shim, in the archive and on the node.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    )]
    pub binary: String,
    /// One entry a platform; nodes of another platform are not taken.
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["platform".into()]))]
    pub platforms: Vec<PlatformUrl>,
}

/// What is fetched on nodes of one platform.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlatformUrl {
    /// Operating system and architecture of the node.
    pub platform: Platform,
    /// Where it is.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^/\s]+/\S*$"))]
    pub url: String,
    /// SHA-256 of what is fetched, checked before anything is unpacked.
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// Platforms a shim can be fetched for.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// x86-64.
    #[serde(rename = "linux/amd64")]
    LinuxAmd64,
    /// 64-bit ARM.
    #[serde(rename = "linux/arm64")]
    LinuxArm64,
}

impl Platform {
    /// The node's architecture, as the kubelet reports it.
    #[must_use]
    pub const fn architecture(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "amd64",
            Self::LinuxArm64 => "arm64",
        }
    }
}

/// A container image that holds the shim's binary.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The image; a digest in it makes sure that all nodes get the same.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub reference: String,
    /// File or folder in the image that is copied.
    #[serde(default = "root")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/"))]
    #[x_kube(validation = Rule::new("!self.split('/').exists(part, part == '..')").message("path: want one without '..'"))]
    pub path: String,
    /// File name of the shim among what is copied.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    )]
    pub binary: String,
    /// When to pull it.
    #[serde(default)]
    pub pull_policy: PullPolicy,
    /// Secrets in the namespace of the installer's pods to pull it with, besides those of the installer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub pull_secrets: Vec<PullSecret>,
}

/// Kubernetes' image pull policies.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask the registry each time.
    Always,
    /// Pull what the node has not.
    #[default]
    IfNotPresent,
    /// Use what the node has.
    Never,
}

impl PullPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Always, Self::IfNotPresent, Self::Never];

    /// As the API spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// A secret to pull with.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PullSecret {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A shim that is on the nodes already: nothing is placed, it is configured if it is not, and proven.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// Its absolute path on the nodes.
    #[schemars(length(min = 2, max = 512), regex(pattern = r"^/[^/]"))]
    #[x_kube(validation = Rule::new("!self.split('/').exists(part, part == '..')").message("path: want one without '..'"))]
    pub path: String,
}

fn root() -> String {
    "/".to_owned()
}

impl Source {
    /// The field that is set, by its name in the API.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        if self.url.is_some() {
            "url"
        } else if self.image.is_some() {
            "image"
        } else if self.adopt.is_some() {
            "adopt"
        } else {
            "bundled"
        }
    }
}
