//! The configuration as it would be without us, from what is on disk and what the journal remembers.
//!
//! Install plans on it and uninstall goes back to it, so that both treat an edit that somebody made in between alike:
//! a file that still holds our bytes goes back to exactly its old ones, any other loses only what is ours.

use std::path::{Path, PathBuf};

use super::Node;
use crate::containerd::document;
use crate::containerd::imports;
use crate::containerd::plan::DROP_IN;
use crate::containerd::rewrite::{self, Additions, RewriteError};
use crate::crio;
use crate::digest;
use crate::failure::Failure;
use crate::host::files::{self, Attributes, MAX_CONFIG_BYTES};

/// A configuration file now and without us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFile {
    /// As containerd names it.
    pub path: PathBuf,
    /// Links resolved.
    pub resolved: PathBuf,
    /// What it holds now; `None` if it is not there.
    pub now: Option<(String, Attributes)>,
    /// What it holds without us; `None` if it would not be there.
    pub base: Option<(String, Attributes)>,
    /// Whether somebody else has changed it since we did, so that it does not go back to recorded bytes.
    pub edited: bool,
    /// Whether containerd reads it, rather than what its distribution makes of it.
    pub loaded: bool,
    /// Whether the distribution writes it, so that nobody else does.
    pub generated: bool,
}

impl BaseFile {
    /// Whether something of ours is in it that we are to take out.
    pub fn is_touched(&self) -> bool {
        !self.generated && self.has_ours()
    }

    /// Whether something of ours is in it.
    pub fn has_ours(&self) -> bool {
        self.now.as_ref().map(|(text, _)| text) != self.base.as_ref().map(|(text, _)| text)
    }
}

/// Every file containerd loads and every file we manage.
pub(super) fn files(node: &Node<'_>) -> Result<Vec<BaseFile>, Failure> {
    let (root, config) = (node.root, &node.daemon.config);
    let installed = node.installed;
    let refused = |error: &dyn std::error::Error, reason| {
        Failure::refusal(reason, crate::failure::chain(error))
    };
    let sources = match node.layout.drop_ins() {
        None => imports::load(root, config),
        Some(folder) => crio::sources::load(root, config, folder),
    };
    let sources = sources.map_err(|error| Failure::refused(&error))?;
    let mut paths: Vec<PathBuf> = sources.into_iter().map(|source| source.path).collect();
    let loaded = paths.len();
    // What the distribution makes containerd's files from.
    paths.extend(node.layout.own_file().filter(|own| !paths.contains(own)));
    let mut resolved_paths = Vec::new();
    for path in &paths {
        resolved_paths.push(
            root.resolve(path)
                .map_err(|error| refused(&error, "HostPathUnreadable"))?,
        );
    }
    // Files of ours that nothing imports any more.
    for file in installed.iter().flat_map(|installed| &installed.files) {
        if !resolved_paths.contains(&file.path) {
            paths.push(file.path.clone());
            resolved_paths.push(file.path.clone());
        }
    }
    let mut found = Vec::new();
    for (at, (path, resolved)) in paths.into_iter().zip(resolved_paths).enumerate() {
        let read = files::read(&root.local(&resolved), MAX_CONFIG_BYTES)
            .map_err(|error| Failure::refused(&error))?;
        let now = match read {
            None => None,
            Some((bytes, attributes)) => {
                let text =
                    document::decode(&path, bytes).map_err(|error| Failure::refused(&error))?;
                Some((text, attributes))
            }
        };
        let (base, edited) = base_of(node, &path, &resolved, now.as_ref())?;
        let generated = node.layout.is_generated(&path);
        found.push(BaseFile {
            path,
            resolved,
            now,
            base,
            edited,
            loaded: at < loaded,
            generated: at < loaded && generated,
        });
    }
    Ok(found)
}

/// What a file holds without us, and whether it holds what somebody else has done since.
fn base_of(
    node: &Node<'_>,
    path: &Path,
    resolved: &Path,
    now: Option<&(String, Attributes)>,
) -> Result<(Option<(String, Attributes)>, bool), Failure> {
    let installed = node.installed;
    let managed =
        installed.and_then(|installed| installed.files.iter().find(|file| file.path == resolved));
    let Some((text, attributes)) = now else {
        return Ok((None, managed.is_some_and(|managed| managed.base.is_some())));
    };
    if let Some(managed) = managed
        && digest::of_bytes(text.as_bytes()) == managed.ours.sha256
    {
        let Some(base) = &managed.base else {
            return Ok((None, false));
        };
        let bytes = node
            .journal
            .bytes(base)
            .map_err(|error| Failure::refused(&error))?;
        let text = document::decode(path, bytes).map_err(|error| Failure::refused(&error))?;
        return Ok((Some((text, base.attributes.clone())), false));
    }
    let additions = match (managed, installed) {
        (Some(_), Some(installed)) => installed.additions.clone(),
        _ => Additions::default(),
    };
    let install_root = installed.map_or(node.install_root, |installed| &installed.install_root);
    let without = without_us(path, text, install_root, &additions)
        .map_err(|error| Failure::refused(&error))?;
    let made_by_us = managed.is_some_and(|managed| managed.base.is_none());
    Ok(match without {
        Some(rest) if made_by_us && rewrite::is_bare(path, &rest) => (None, false),
        Some(rest) => {
            let recorded = managed.and_then(|managed| managed.base.as_ref());
            let edited = match recorded {
                Some(base) => digest::of_bytes(rest.as_bytes()) != base.sha256,
                None => managed.is_some() || rest != *text,
            };
            (Some((rest, attributes.clone())), edited)
        }
        None => (None, false),
    })
}

/// A file's text without what is ours; `None` if all of it was.
fn without_us(
    path: &Path,
    text: &str,
    install_root: &Path,
    additions: &Additions,
) -> Result<Option<String>, RewriteError> {
    let rest = rewrite::withdraw(path, text, install_root, additions)?;
    let is_drop_in = path.file_name().is_some_and(|name| name == DROP_IN)
        && text.starts_with(rewrite::DROP_IN_HEADER);
    Ok(if is_drop_in && rewrite::is_bare(path, &rest) {
        None
    } else {
        Some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerd::handler::Handler;
    use crate::containerd::schema::Schema;

    #[test]
    fn a_drop_in_of_ours_goes_whole_unless_somebody_wrote_into_it() {
        let path = Path::new("/etc/containerd/conf.d/99-slipway.toml");
        let shim = Path::new("/opt/slipway/abc/containerd-shim-slipway-v1");
        for schema in [Schema::One, Schema::Two, Schema::Split(3)] {
            let ours = rewrite::drop_in(schema, &[Handler::plain("wasmtime", shim)], false);
            let without = |text: &str| {
                without_us(path, text, Path::new("/opt/slipway"), &Additions::default()).unwrap()
            };
            assert_eq!(without(&ours), None, "{ours}");
            let rest = without(&format!("{ours}[debug]\nlevel = \"debug\"\n")).unwrap();
            assert!(
                rest.contains("level = \"debug\"") && !rest.contains("wasmtime"),
                "{rest}"
            );
        }
    }
}
