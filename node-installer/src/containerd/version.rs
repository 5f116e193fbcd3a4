//! containerd's version, as its binary prints it.

use std::fmt;

/// Major, minor and patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Patch.
    pub patch: u32,
}

impl Version {
    /// From the output of `containerd --version`: `containerd <module> <version> [<revision>]`, where distributions
    /// write the version as `v2.1.4`, `1.7.24~ds1` or `1.6.20+unknown`.
    pub fn parse(output: &str) -> Option<Self> {
        let mut words = output.split_whitespace();
        if words.next()? != "containerd" {
            return None;
        }
        words.find_map(Self::parse_number)
    }

    /// From a number alone, with or without a `v` before it and whatever a distribution puts behind it.
    pub fn parse_number(word: &str) -> Option<Self> {
        let mut parts = word.strip_prefix('v').unwrap_or(word).splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let patch = parts.next()?;
        let digits = patch
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(patch.len());
        Some(Self {
            major,
            minor,
            patch: patch[..digits].parse().ok()?,
        })
    }

    /// The highest configuration version it accepts (containerd `cmd/containerd/server/config/config.go`: 2 in 1.x, 3
    /// from 2.0, 4 from 2.3).
    pub fn newest_schema(self) -> i64 {
        match (self.major, self.minor) {
            (..=1, _) => 2,
            (2, ..=2) => 3,
            _ => 4,
        }
    }

    /// Whether imported CRI tables are merged into the root's rather than replacing them (2.0 and later).
    pub fn merges_imports(self) -> bool {
        self.major >= 2
    }

    /// Whether it loses the CRI's section of a file without a version or of version 1: 2.0 to 2.2 give it its full name and
    /// then do not split it in two, so that every key in it is unknown (seen with 2.1; 2.3 migrates step by step).
    pub fn loses_version_1(self) -> bool {
        (self.major, self.minor) >= (2, 0) && self.newest_schema() < 4
    }

    /// Whether the shim has to be told that it may answer with version 3, which saves an exec a container: containerd
    /// shares such a shim among a pod's containers from 2.0.6 on (containerd#11793, #11871) and says what it is itself
    /// from 2.3 on (`BootstrapParams`).
    pub fn wants_task_api_hint(self) -> bool {
        let from = Self {
            major: 2,
            minor: 0,
            patch: 6,
        };
        let until = Self {
            major: 2,
            minor: 3,
            patch: 0,
        };
        (from..until).contains(&self)
    }

    /// Whether it has the option that brings back the older way of pulling images (2.1, with the transfer service).
    pub fn knows_local_image_pull(self) -> bool {
        (2, 1) <= (self.major, self.minor)
    }

    /// Whether pulled images of `wasi/wasm` made of tars cannot run without that option: from 2.2.2 on a container's
    /// creation no longer unpacks what the pull did not (containerd 871d58ca8; `docs/images.md`).
    pub fn needs_local_image_pull(self) -> bool {
        (2, 2, 2) <= (self.major, self.minor, self.patch)
    }

    /// Whether it asks a shim of its own kind for a pod's sandbox at all (2.0).
    pub fn has_sandboxer(self) -> bool {
        self.major >= 2
    }

    /// Whether our shim may make the sandbox: 2.1 crashes on such a pod with `hostNetwork`
    /// (`docs/reference/shim.md`), and what is between was not tried.
    pub fn takes_our_sandboxes(self) -> bool {
        (2, 4) <= (self.major, self.minor)
    }

    /// Whether it is one this installer knows: 1.6 is the first with CRI v1.
    pub fn is_supported(self) -> bool {
        (1, 6) <= (self.major, self.minor) && self.major <= 2
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3",
        "1.6.20",
        2
    )]
    #[case(
        "containerd github.com/containerd/containerd/v2 v2.2.0-rc.1 abc",
        "2.2.0",
        3
    )]
    #[case(
        "containerd github.com/containerd/containerd/v2 2.4.2+unknown",
        "2.4.2",
        4
    )]
    #[case(
        "containerd containerd.io 1.7.24 88bf19b2105c8b17560993bee28a01ddc2f97182",
        "1.7.24",
        2
    )]
    fn distributions_versions(#[case] output: &str, #[case] version: &str, #[case] schema: i64) {
        let parsed = Version::parse(output).unwrap();
        assert_eq!(
            (parsed.to_string().as_str(), parsed.newest_schema()),
            (version, schema)
        );
    }

    #[rstest]
    #[case("")]
    #[case("runc version 1.1.5")]
    #[case("containerd")]
    #[case("containerd dev")]
    fn other_output_is_no_version(#[case] output: &str) {
        assert_eq!(Version::parse(output), None);
    }
}
