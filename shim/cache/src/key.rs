//! The cache key: everything that decides whether a compiled file can be loaded here.

use std::fmt;

use crate::Digest;

/// The engine whose code is cached; an update of the crate must change it (tested in `shim/engine`).
pub const ENGINE: &str = "wasmtime-48.0.8";

/// What the name of every engine's directory begins with; others' folders, a disk's `lost+found`, are left alone.
pub(crate) const PREFIX: &str = "wasmtime-";

/// Counts changes of the engine's configuration that are baked into compiled files. Whoever changes
/// `shim/engine`'s configuration raises it (tested there).
pub const REVISION: u32 = 3;

/// Names the directory of the files that this node's engine can load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The key of the machine this runs on.
    #[must_use]
    pub fn host() -> Self {
        Self::new(ENGINE, REVISION, std::env::consts::ARCH, &processor())
    }

    fn new(engine: &str, revision: u32, arch: &str, processor: &str) -> Self {
        let features = Digest::of(processor.as_bytes()).to_string();
        Self(format!("{engine}-r{revision}-{arch}-{}", &features[..16]))
    }

    /// The directory's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What Cranelift looks at to choose instructions (`cranelift-native` 0.135, `infer_native_flags`), and a
/// few more that it may look at one day: a machine that loses one of them, by a live migration or a moved
/// disk, must not find the old code.
#[cfg(target_arch = "x86_64")]
fn processor() -> String {
    macro_rules! features {
        ($($name:tt),* $(,)?) => {
            [$(($name, std::arch::is_x86_feature_detected!($name))),*]
        };
    }
    listed(&features![
        "sse3",
        "ssse3",
        "sse4.1",
        "sse4.2",
        "cmpxchg16b",
        "popcnt",
        "lzcnt",
        "bmi1",
        "bmi2",
        "movbe",
        "adx",
        "sha",
        "aes",
        "pclmulqdq",
        "f16c",
        "fma",
        "avx",
        "avx2",
        "avxvnni",
        "gfni",
        "vaes",
        "vpclmulqdq",
        "avx512f",
        "avx512bw",
        "avx512cd",
        "avx512dq",
        "avx512vl",
        "avx512ifma",
        "avx512vbmi",
        "avx512vbmi2",
        "avx512vnni",
        "avx512bitalg",
        "avx512vpopcntdq",
    ])
}

/// The kernel's own list of what user space may use (`AT_HWCAP` and `AT_HWCAP2`, getauxval(3)).
#[cfg(target_arch = "aarch64")]
fn processor() -> String {
    let (first, second) = rustix::param::linux_hwcap();
    format!("{first:x} {second:x}")
}

#[cfg(target_arch = "x86_64")]
fn listed(features: &[(&str, bool)]) -> String {
    features
        .iter()
        .filter(|(_, present)| *present)
        .map(|(name, _)| *name)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_makes_another_key() {
        let keys = [
            Key::new("wasmtime-1.0.0", 1, "x86_64", "avx"),
            Key::new("wasmtime-1.0.1", 1, "x86_64", "avx"),
            Key::new("wasmtime-1.0.0", 2, "x86_64", "avx"),
            Key::new("wasmtime-1.0.0", 1, "aarch64", "avx"),
            Key::new("wasmtime-1.0.0", 1, "x86_64", ""),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(keys.iter().position(|other| other == key), Some(index));
        }
    }

    #[test]
    fn this_machine_has_one_key() {
        assert_eq!(Key::host(), Key::host());
        assert!(Key::host().as_str().starts_with("wasmtime-"));
    }
}
