//! Which version a configuration file is written in, and where its runtimes then stand.

use std::path::{Path, PathBuf};

use toml_edit::DocumentMut;

use crate::failure::Reason;

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// No `version`, 0 or 1: plugins by short name.
    One,
    /// 2: plugins by full name, one CRI plugin.
    Two,
    /// 3 and later: the CRI plugin split in two. 4 moves server settings only (containerd 2.3,
    /// `cmd/containerd/server/config/config.go`).
    Split(i64),
    /// None of containerd's: CRI-O's.
    CriO,
}

/// A file in no known form.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Not a number.
    #[error("{0}: version is not a whole number")]
    NotANumber(PathBuf),
    /// Full plugin names need a version; containerd would ignore them silently.
    #[error("{path} has no version but the plugin {plugin:?}: add the line 'version = {version}'")]
    Missing {
        /// The file.
        path: PathBuf,
        /// A plugin in it.
        plugin: String,
        /// What it should be.
        version: i64,
    },
    /// containerd itself would refuse it.
    #[error(
        "{path} is of version {found}, and containerd {containerd} knows versions up to {newest}"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// containerd's version.
        containerd: String,
        /// The newest it knows.
        newest: i64,
    },
}

impl Reason for SchemaError {
    fn reason(&self) -> &'static str {
        "ConfigMalformed"
    }
}

impl Schema {
    /// The form of a document.
    pub fn of(path: &Path, document: &DocumentMut) -> Result<Self, SchemaError> {
        let version = match document.get("version") {
            None => 0,
            Some(item) => item
                .as_integer()
                .ok_or_else(|| SchemaError::NotANumber(path.to_owned()))?,
        };
        match version {
            2 => Ok(Self::Two),
            3.. => Ok(Self::Split(version)),
            _ => {
                let plugins = document
                    .get("plugins")
                    .and_then(|item| item.as_table_like());
                let full = plugins.and_then(|table| {
                    table
                        .iter()
                        .map(|(name, _)| name)
                        .find(|name| name.starts_with("io.containerd."))
                });
                match full {
                    None => Ok(Self::One),
                    Some(plugin) => Err(SchemaError::Missing {
                        path: path.to_owned(),
                        plugin: plugin.to_owned(),
                        version: if plugin.starts_with("io.containerd.cri.v1.") {
                            3
                        } else {
                            2
                        },
                    }),
                }
            }
        }
    }

    /// The form of a file that we create for a containerd.
    pub fn for_new_file(containerd: super::version::Version) -> Self {
        if containerd.merges_imports() {
            Self::Split(3)
        } else {
            Self::Two
        }
    }

    /// The number to write, if one is to be written.
    pub fn number(self) -> Option<i64> {
        match self {
            Self::One | Self::CriO => None,
            Self::Two => Some(2),
            Self::Split(version) => Some(version),
        }
    }

    /// Every form by which runtimes can be found in a file whose version is not known: an imported file may have none,
    /// and a root file may have got another since.
    pub const ANY: [Self; 4] = [Self::Split(3), Self::Two, Self::One, Self::CriO];

    /// The keys that lead to the table of runtimes.
    pub fn runtimes(self) -> &'static [&'static str] {
        match self {
            Self::One => &["plugins", "cri", "containerd", "runtimes"],
            Self::Two => &[
                "plugins",
                "io.containerd.grpc.v1.cri",
                "containerd",
                "runtimes",
            ],
            Self::Split(_) => &[
                "plugins",
                "io.containerd.cri.v1.runtime",
                "containerd",
                "runtimes",
            ],
            Self::CriO => &["crio", "runtime", "runtimes"],
        }
    }

    /// The table of runtimes, as a file names it.
    pub fn runtimes_key(self) -> String {
        let quoted = |key: &&str| {
            if key.contains('.') {
                format!("{key:?}")
            } else {
                (*key).to_owned()
            }
        };
        self.runtimes()
            .iter()
            .map(quoted)
            .collect::<Vec<_>>()
            .join(".")
    }

    /// Refuses a file that its containerd does not know.
    pub fn check(
        self,
        path: &Path,
        containerd: super::version::Version,
    ) -> Result<Self, SchemaError> {
        let newest = containerd.newest_schema();
        match self.number() {
            Some(found) if found > newest => Err(SchemaError::TooNew {
                path: path.to_owned(),
                found,
                containerd: containerd.to_string(),
                newest,
            }),
            _ => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerd::document;
    use rstest::rstest;

    #[rstest]
    #[case("", Schema::One)]
    #[case("version = 1\n[plugins.cri]\n", Schema::One)]
    #[case("version = 2\n", Schema::Two)]
    #[case("version = 3\n", Schema::Split(3))]
    #[case("version = 4\n", Schema::Split(4))]
    fn the_version_decides_the_plugin(#[case] text: &str, #[case] schema: Schema) {
        let path = Path::new("/c");
        assert_eq!(
            Schema::of(path, &document::parse(path, text).unwrap()).unwrap(),
            schema
        );
    }

    #[rstest]
    #[case("version = \"2\"", "/c: version is not a whole number")]
    #[case(
        "[plugins.\"io.containerd.grpc.v1.cri\"]",
        "/c has no version but the plugin \"io.containerd.grpc.v1.cri\": add the line 'version = 2'"
    )]
    fn malformed_files_are_refused_with_advice(#[case] text: &str, #[case] message: &str) {
        let path = Path::new("/c");
        let error = Schema::of(path, &document::parse(path, text).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn a_version_that_containerd_does_not_know_is_refused() {
        let version = crate::containerd::version::Version {
            major: 1,
            minor: 7,
            patch: 24,
        };
        assert!(Schema::Split(3).check(Path::new("/c"), version).is_err());
        assert!(Schema::Two.check(Path::new("/c"), version).is_ok());
    }
}
