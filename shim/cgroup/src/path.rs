//! `cgroupsPath`: where the container belongs, and who keeps that place.

use std::fmt;

use thiserror::Error;

/// Longest `cgroupsPath` taken: the kernel's PATH_MAX.
const MAX_LEN: usize = 4096;
/// Longest name of one directory: the kernel's NAME_MAX, and systemd's UNIT_NAME_MAX.
const MAX_NAME: usize = 255;
/// Where a relative path is put. The OCI runtime spec leaves the place to the runtime ("MAY interpret the path
/// relative to a runtime-determined location", config-linux.md).
const RELATIVE_BASE: &str = "slipway";

/// Why a `cgroupsPath` was not taken.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PathError {
    /// Nothing was given.
    #[error("cgroupsPath is empty")]
    Empty,
    /// Longer than any path can be.
    #[error("cgroupsPath is {0} bytes long, more than {MAX_LEN}")]
    TooLong(usize),
    /// A directory name of the path is `..`, too long, or holds a control character.
    #[error("cgroupsPath {path:?}: {name:?} cannot be the name of a cgroup")]
    Name {
        /// The whole path.
        path: String,
        /// The part at fault.
        name: String,
    },
    /// The slice of a `slice:prefix:name` path is not a slice.
    #[error("cgroupsPath {path:?}: {slice:?} is not the name of a systemd slice")]
    Slice {
        /// The whole path.
        path: String,
        /// The part at fault.
        slice: String,
    },
    /// The prefix and name of a `slice:prefix:name` path make no unit name.
    #[error("cgroupsPath {path:?}: {unit:?} cannot be the name of a systemd scope")]
    Unit {
        /// The whole path.
        path: String,
        /// The unit name they would make.
        unit: String,
    },
}

/// A parsed `cgroupsPath`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupsPath {
    /// `slice:prefix:name`: systemd keeps the cgroup, as a scope.
    Systemd(Scope),
    /// A path below the root of every hierarchy, without a leading slash: nobody but us.
    Cgroupfs(String),
}

/// A systemd scope and the slice it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The slice, such as `kubepods-besteffort-pod1.slice`.
    pub slice: String,
    /// The scope, such as `cri-containerd-4f3a.scope`.
    pub unit: String,
}

impl CgroupsPath {
    /// Reads a `cgroupsPath`. A relative path is put below `/slipway`.
    pub fn parse(value: &str) -> Result<Self, PathError> {
        if value.is_empty() {
            return Err(PathError::Empty);
        }
        if value.len() > MAX_LEN {
            return Err(PathError::TooLong(value.len()));
        }
        // The form decides, as in containerd's getCgroupsPath (internal/cri/server/podsandbox/helpers.go@v2.1).
        if !value.contains('/') {
            let parts: Vec<&str> = value.split(':').collect();
            if let [slice, prefix, name] = parts[..] {
                return Scope::new(value, slice, prefix, name).map(Self::Systemd);
            }
        }
        let mut names = Vec::new();
        if !value.starts_with('/') {
            names.push(RELATIVE_BASE);
        }
        for name in value
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".")
        {
            if name == ".." || name.len() > MAX_NAME || name.chars().any(char::is_control) {
                return Err(PathError::Name {
                    path: value.to_owned(),
                    name: name.to_owned(),
                });
            }
            names.push(name);
        }
        if names.is_empty() {
            return Err(PathError::Name {
                path: value.to_owned(),
                name: "/".to_owned(),
            });
        }
        Ok(Self::Cgroupfs(names.join("/")))
    }

    /// The directory of the cgroup below the root of each hierarchy, without a leading slash.
    pub fn relative(&self) -> String {
        match self {
            Self::Systemd(scope) => scope.relative(),
            Self::Cgroupfs(path) => path.clone(),
        }
    }
}

impl Scope {
    fn new(path: &str, slice: &str, prefix: &str, name: &str) -> Result<Self, PathError> {
        // No slice means system.slice, as in runc (libcontainer/specconv/spec_linux.go@v1.2).
        let slice = if slice.is_empty() {
            "system.slice"
        } else {
            slice
        };
        if !is_slice(slice) {
            return Err(PathError::Slice {
                path: path.to_owned(),
                slice: slice.to_owned(),
            });
        }
        let unit = format!("{prefix}-{name}.scope");
        if prefix.is_empty() || name.is_empty() || !is_unit_name(&unit) {
            return Err(PathError::Unit {
                path: path.to_owned(),
                unit,
            });
        }
        Ok(Self {
            slice: slice.to_owned(),
            unit,
        })
    }

    /// `a-b.slice` is the directory `a.slice/a-b.slice`: systemd writes the nesting of slices with dashes
    /// (systemd.slice(5)).
    fn relative(&self) -> String {
        let mut path = String::new();
        let stem = self.slice.strip_suffix(".slice").unwrap_or(&self.slice);
        if stem != "-" {
            for (end, _) in stem.match_indices('-').chain([(stem.len(), "")]) {
                path.push_str(&stem[..end]);
                path.push_str(".slice/");
            }
        }
        path.push_str(&self.unit);
        path
    }
}

impl fmt::Display for CgroupsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.relative())
    }
}

/// `-.slice`, or names joined by single dashes and ended by `.slice`.
fn is_slice(slice: &str) -> bool {
    let Some(stem) = slice.strip_suffix(".slice") else {
        return false;
    };
    is_unit_name(slice) && (stem == "-" || stem.split('-').all(|part| !part.is_empty()))
}

/// The characters systemd takes in a unit name (systemd.unit(5)), and its length.
fn is_unit_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
        && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn relative(value: &str) -> String {
        CgroupsPath::parse(value).expect("is taken").relative()
    }

    #[test]
    fn systemd_paths_are_nested_by_dashes() {
        assert_eq!(
            relative("kubelet-kubepods-besteffort-pod12_34.slice:cri-containerd:abc"),
            "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/\
             kubelet-kubepods-besteffort-pod12_34.slice/cri-containerd-abc.scope"
        );
        assert_eq!(
            relative("system.slice:cri-containerd:abc"),
            "system.slice/cri-containerd-abc.scope"
        );
        assert_eq!(
            relative(":cri-containerd:abc"),
            "system.slice/cri-containerd-abc.scope"
        );
        assert_eq!(relative("-.slice:p:abc"), "p-abc.scope");
    }

    #[test]
    fn plain_paths_are_taken_as_they_are() {
        assert_eq!(
            relative("/kubepods/besteffort/pod1/abc"),
            "kubepods/besteffort/pod1/abc"
        );
        assert_eq!(relative("//k8s.io/./abc/"), "k8s.io/abc");
        assert_eq!(relative("/a:b:c/d"), "a:b:c/d");
        assert_eq!(relative("abc"), "slipway/abc");
    }

    #[test]
    fn hostile_paths_are_refused() {
        for value in ["/../x", "/a/../../x", "..", "/a\n/b", "/", "/./"] {
            assert!(
                matches!(CgroupsPath::parse(value), Err(PathError::Name { .. })),
                "{value:?}"
            );
        }
        for value in [
            "a:b:c",
            "a--b.slice:p:n",
            ".slice:p:n",
            "-a.slice:p:n",
            "a b.slice:p:n",
        ] {
            assert!(
                matches!(CgroupsPath::parse(value), Err(PathError::Slice { .. })),
                "{value:?}"
            );
        }
        for value in ["a.slice::n", "a.slice:p:", "a.slice:p:n\nx", "a.slice:p:é"] {
            assert!(
                matches!(CgroupsPath::parse(value), Err(PathError::Unit { .. })),
                "{value:?}"
            );
        }
        assert_eq!(CgroupsPath::parse(""), Err(PathError::Empty));
        assert_eq!(
            CgroupsPath::parse(&"x".repeat(5000)),
            Err(PathError::TooLong(5000))
        );
        assert!(CgroupsPath::parse(&format!("/{}", "x".repeat(300))).is_err());
    }

    proptest! {
        #[test]
        fn a_path_never_leaves_the_hierarchy(value in "[a.:/\\-\\x00s]{0,40}") {
            if let Ok(path) = CgroupsPath::parse(&value) {
                let relative = path.relative();
                prop_assert!(!relative.starts_with('/') && !relative.is_empty());
                prop_assert!(relative.split('/').all(|name| name != ".." && !name.is_empty()));
            }
        }
    }
}
