//! Who writes the root file, and where what we add then belongs.
//!
//! Some distributions write containerd's root file anew whenever they start it, from a template or from a folder of
//! pieces. What is edited there is lost at the next start, so we write to what they read.

use std::path::{Path, PathBuf};

use super::document;
use super::imports::{self, Source};
use super::plan::DROP_IN;
use super::rewrite::{self, RewriteError};
use super::schema::Schema;
use super::version::Version;
use crate::detect::distribution::Distribution;
use crate::failure::Reason;

/// How a root file comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// People write it; it can be edited, and import a drop-in.
    Own,
    /// Rendered from a template, at whose end there is room for more tables.
    Template(PathBuf),
    /// Put together with every `*.toml` of a folder.
    Folder(PathBuf),
    /// CRI-O's: a root file that is left alone, and a folder of which every file is read.
    DropIns(PathBuf),
}

/// Why nothing can be written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A distribution that has not started containerd yet, or keeps its files elsewhere.
    #[error(
        "{distribution} has no {path}, from which its containerd runs: start it once, or name its file with --config"
    )]
    NoRoot {
        /// The distribution.
        distribution: &'static str,
        /// The root file.
        path: PathBuf,
    },
    /// The root file cannot be read.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
}

impl Reason for LayoutError {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoRoot { .. } => "ConfigUnreadable",
            Self::Rewrite(error) => error.reason(),
        }
    }
}

/// The first line of a root file that k0s writes (`containerdTomlHeader`, k0s `pkg/component/worker/containerd`);
/// without it k0s leaves the file alone.
const K0S_MANAGED: &str = "# k0s_managed=true";

impl Layout {
    /// The layout of a distribution's containerd, by the root file as it is now; `None` if there is none.
    pub fn of(
        distribution: Distribution,
        version: Version,
        config: &Path,
        text: Option<&str>,
    ) -> Result<Self, LayoutError> {
        let folder = config.parent().unwrap_or(Path::new("/"));
        let text = || {
            text.ok_or_else(|| LayoutError::NoRoot {
                distribution: distribution.name(),
                path: config.to_owned(),
            })
        };
        match distribution {
            Distribution::Generic => Ok(Self::Own),
            Distribution::CriO => Ok(Self::DropIns(folder.join("crio.conf.d"))),
            Distribution::K3s | Distribution::Rke2 => rancher(version, config, folder, text()?),
            Distribution::K0s if text()?.lines().next() == Some(K0S_MANAGED) => {
                Ok(Self::Folder(folder.join("containerd.d")))
            }
            Distribution::K0s => Ok(Self::Own),
            Distribution::MicroK8s => Ok(Self::Template(folder.join("containerd-template.toml"))),
        }
    }

    /// Whether a file is written by the distribution, and never by us.
    pub fn is_generated(&self, path: &Path) -> bool {
        match self {
            Self::Own | Self::DropIns(_) => false,
            Self::Template(template) => path != template,
            Self::Folder(folder) => path.parent() != Some(folder),
        }
    }

    /// What we write to besides the files containerd loads.
    pub fn own_file(&self) -> Option<PathBuf> {
        match self {
            Self::Own | Self::DropIns(_) => None,
            Self::Template(template) => Some(template.clone()),
            Self::Folder(folder) => Some(folder.join(DROP_IN)),
        }
    }

    /// CRI-O's folder of drop-ins.
    pub fn drop_ins(&self) -> Option<&Path> {
        match self {
            Self::DropIns(folder) => Some(folder),
            _ => None,
        }
    }

    /// Whether containerd itself reads what we write, by an import of its root file, and merges it.
    pub fn is_imported(
        &self,
        version: Version,
        config: &Path,
        sources: &[Source],
    ) -> Result<bool, RewriteError> {
        let Self::Folder(folder) = self else {
            return Ok(false);
        };
        let Some(root) = sources.iter().find(|source| source.path == config) else {
            return Ok(false);
        };
        Ok(version.merges_imports() && imported_folders(config, &root.text)?.contains(folder))
    }
}

/// K3s and RKE2, in three generations: containerd 1.x and a template of its own version; 2.x the same; 2.x whose root
/// file imports a folder (`config.toml.d` in version 2, `config-v3.toml.d` in version 3). The import may be missing
/// from a template that people made, so what is rendered decides, not the release.
fn rancher(
    version: Version,
    config: &Path,
    folder: &Path,
    text: &str,
) -> Result<Layout, LayoutError> {
    let schema = Schema::of(
        config,
        &document::parse(config, text).map_err(RewriteError::from)?,
    )
    .map_err(RewriteError::from)?;
    let (pieces, template) = match schema {
        Schema::Split(_) => ("config-v3.toml.d", "config-v3.toml.tmpl"),
        Schema::One | Schema::Two | Schema::CriO => ("config.toml.d", "config.toml.tmpl"),
    };
    let pieces = folder.join(pieces);
    // 1.x would replace the whole CRI section by the drop-in's.
    Ok(
        if version.merges_imports() && imported_folders(config, text)?.contains(&pieces) {
            Layout::Folder(pieces)
        } else {
            Layout::Template(folder.join(template))
        },
    )
}

/// The folders of which a root file imports a file of our drop-in's name.
pub(super) fn imported_folders(config: &Path, text: &str) -> Result<Vec<PathBuf>, RewriteError> {
    let patterns = rewrite::imports(config, &document::parse(config, text)?)?;
    Ok(patterns
        .iter()
        .map(|pattern| imports::absolute(config, pattern))
        .filter(|pattern| {
            pattern
                .file_name()
                .is_some_and(|name| imports::matches(&name.to_string_lossy(), DROP_IN))
        })
        .filter_map(|pattern| Some(pattern.parent()?.to_owned()))
        .filter(|folder| !folder.to_string_lossy().contains(['*', '?', '[', '\\']))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const K3S: &str = "/var/lib/rancher/k3s/agent/etc/containerd";

    fn layout(
        distribution: Distribution,
        minor: (u32, u32),
        config: &str,
        text: Option<&str>,
    ) -> Layout {
        let version = Version {
            major: minor.0,
            minor: minor.1,
            patch: 0,
        };
        Layout::of(distribution, version, Path::new(config), text).unwrap()
    }

    #[rstest]
    #[case((1, 7), "version = 2\n", Layout::Template(format!("{K3S}/config.toml.tmpl").into()))]
    #[case((2, 0), "version = 3\n", Layout::Template(format!("{K3S}/config-v3.toml.tmpl").into()))]
    #[case((2, 1), "version = 2\n", Layout::Template(format!("{K3S}/config.toml.tmpl").into()))]
    #[case((2, 1), "version = 3\nimports = ['/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/*.toml']\n",
        Layout::Folder(format!("{K3S}/config-v3.toml.d").into()))]
    #[case((2, 1), "version = 2\nimports = ['config.toml.d/*.toml']\n", Layout::Folder(format!("{K3S}/config.toml.d").into()))]
    // An import of something else is no place for us, and 1.x does not merge.
    #[case((2, 1), "version = 3\nimports = ['/etc/nvidia/*.toml']\n", Layout::Template(format!("{K3S}/config-v3.toml.tmpl").into()))]
    #[case((1, 7), "version = 2\nimports = ['config.toml.d/*.toml']\n", Layout::Template(format!("{K3S}/config.toml.tmpl").into()))]
    fn k3s_has_three_generations(
        #[case] minor: (u32, u32),
        #[case] text: &str,
        #[case] expected: Layout,
    ) {
        let config = format!("{K3S}/config.toml");
        assert_eq!(
            layout(Distribution::K3s, minor, &config, Some(text)),
            expected
        );
    }

    #[test]
    fn k0s_leaves_a_root_file_alone_whose_first_line_is_gone() {
        let of = |text| {
            layout(
                Distribution::K0s,
                (1, 7),
                "/etc/k0s/containerd.toml",
                Some(text),
            )
        };
        assert_eq!(
            of("# k0s_managed=true\nversion = 2\n"),
            Layout::Folder("/etc/k0s/containerd.d".into())
        );
        assert_eq!(of("version = 2\n"), Layout::Own);
    }

    #[test]
    fn a_distribution_without_its_root_file_is_named() {
        let version = Version {
            major: 2,
            minor: 1,
            patch: 0,
        };
        let config = Path::new("/var/lib/rancher/rke2/agent/etc/containerd/config.toml");
        let error = Layout::of(Distribution::Rke2, version, config, None).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("RKE2 has no /var/lib/rancher/rke2/"),
            "{error}"
        );
        assert_eq!(
            layout(
                Distribution::Generic,
                (2, 1),
                "/etc/containerd/config.toml",
                None
            ),
            Layout::Own
        );
    }

    #[test]
    fn what_the_distribution_writes_is_told_from_what_we_write() {
        let layout = Layout::Folder("/etc/k0s/containerd.d".into());
        assert!(layout.is_generated(Path::new("/etc/k0s/containerd.toml")));
        assert!(layout.is_generated(Path::new("/run/k0s/containerd-cri.toml")));
        assert!(!layout.is_generated(Path::new("/etc/k0s/containerd.d/99-slipway.toml")));
        let layout = Layout::Template("/s/containerd-template.toml".into());
        assert!(layout.is_generated(Path::new("/s/containerd.toml")));
        assert!(!layout.is_generated(Path::new("/s/containerd-template.toml")));
        assert!(!Layout::Own.is_generated(Path::new("/etc/containerd/config.toml")));
    }
}
