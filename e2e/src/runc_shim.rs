//! A second real shim: containerd's own `containerd-shim-runc-v2`, as the node has it, packed in the ways in which shims
//! are brought.

use anyhow::{Context, Result};

use crate::file_server::FileServer;
use crate::scene::Scene;

/// The file's name.
pub const BINARY: &str = "containerd-shim-runc-v2";

/// An archive among the served files.
pub const ARCHIVE: &str = "runc-shim.tar.gz";

/// An image with the shim at `/` and nothing else.
pub const IMAGE: &str = "docker.io/slipway/e2e-runc-shim:node";

/// Where the node's own is, and what it is.
#[derive(Debug, Clone)]
pub struct RuncShim {
    /// Its path on the node.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-256 of the archive.
    pub archive_sha256: String,
}

/// The scripts' own image builder: no daemon is on a node.
const IMAGE_TAR: &str = include_str!("../testbed/image-tar.sh");

impl RuncShim {
    /// Puts an archive of it among the files of the server, and an image of it into the node's containerd. Each node has
    /// the shim of its containerd: one of 2.x does not serve 1.7.
    ///
    /// # Errors
    /// When the node cannot be entered, or has no such shim.
    pub async fn pack(scene: &Scene, server: &FileServer, architecture: &str) -> Result<Self> {
        let folder = server.folder();
        let script = format!(
            "path=$(type -P {BINARY})\n\
             tar -czf {folder}/{ARCHIVE} -C \"${{path%/*}}\" {BINARY}\n\
             cat >{folder}/image-tar.sh <<'END'\n{IMAGE_TAR}\nEND\n\
             bash {folder}/image-tar.sh {IMAGE} {architecture} {folder}/image.tar /{BINARY} \"$path\"\n\
             ctr -n k8s.io images import {folder}/image.tar >&2\n\
             rm {folder}/image.tar {folder}/image-tar.sh\n\
             echo \"$path\"\n\
             sha256sum <\"$path\"\n\
             sha256sum <{folder}/{ARCHIVE}\n"
        );
        let said = scene.worker.inside.bash(&script).await?;
        let mut lines = said.lines();
        let mut word = || -> Result<String> {
            let line = lines.next().context("the shim was not packed")?;
            Ok(line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned())
        };
        Ok(Self {
            path: word()?,
            sha256: word()?,
            archive_sha256: word()?,
        })
    }
}
