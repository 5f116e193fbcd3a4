//! How a CRI-O was started, and which one it is.

use std::path::{Path, PathBuf};

use crate::containerd::version::Version;
use crate::detect::flag;

/// The root file unless the command line names another (`CrioConfigPath`, `pkg/config`@v1.34.0).
pub const CONFIG: &str = "/etc/crio/crio.conf";

/// The folder of drop-ins, likewise (`CrioConfigDropInPath`).
pub const FOLDER: &str = "/etc/crio/crio.conf.d";

/// The root file that a command line and an environment name (`getCrioFlags`, `internal/criocli`@v1.34.0); the former
/// counts.
pub fn config(arguments: &[String], environment: &[String]) -> PathBuf {
    flag(arguments, &["--config", "-c"])
        .or_else(|| variable(environment, "CONTAINER_CONFIG"))
        .unwrap_or_else(|| PathBuf::from(CONFIG))
}

/// The folder of drop-ins that they name.
pub fn folder(arguments: &[String], environment: &[String]) -> PathBuf {
    flag(arguments, &["--config-dir", "-d"])
        .or_else(|| variable(environment, "CONTAINER_CONFIG_DIR"))
        .unwrap_or_else(|| PathBuf::from(FOLDER))
}

fn variable(environment: &[String], name: &str) -> Option<PathBuf> {
    let values = environment.iter();
    let mut values = values.filter_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
    values
        .next()
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// From the output of `crio --version`, whose first line is `crio version 1.34.0`.
pub fn version(output: &str) -> Option<Version> {
    let mut words = output.split_whitespace();
    if words.next()? != "crio" || words.next()? != "version" {
        return None;
    }
    Version::parse_number(words.next()?)
}

/// The folder in which a file waits before it is renamed to its place: beside the folder of drop-ins, of which CRI-O
/// reads every file, whatever its name (`UpdateFromPath`, `pkg/config`@v1.34.0).
pub fn waiting_room(path: &Path) -> &Path {
    let folder = path.parent().unwrap_or(path);
    folder.parent().unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[rstest]
    #[case("crio", "", CONFIG, FOLDER)]
    #[case("crio -c /a -d /b", "CONTAINER_CONFIG=/x", "/a", "/b")]
    #[case("crio --config=/a --config-dir=/b", "", "/a", "/b")]
    #[case("crio", "CONTAINER_CONFIG_DIR=/y CONTAINER_CONFIG=/x", "/x", "/y")]
    #[case("crio", "CONTAINER_CONFIG= CONTAINER_CONFIG_DIRS=/y", CONFIG, FOLDER)]
    fn flags_count_before_variables_and_these_before_the_default(
        #[case] arguments: &str,
        #[case] environment: &str,
        #[case] file: &str,
        #[case] drop_ins: &str,
    ) {
        let (arguments, environment) = (words(arguments), words(environment));
        assert_eq!(config(&arguments, &environment), Path::new(file));
        assert_eq!(folder(&arguments, &environment), Path::new(drop_ins));
    }

    #[test]
    fn its_version_is_in_the_first_line() {
        let version = version("crio version 1.34.0\n   GitCommit:      unknown\n").unwrap();
        assert_eq!(version.to_string(), "1.34.0");
        assert_eq!(super::version("containerd v2.4.2"), None);
    }

    #[test]
    fn nothing_waits_where_cri_o_reads() {
        let path = Path::new("/etc/crio/crio.conf.d/99-slipway.toml");
        assert_eq!(waiting_room(path), Path::new("/etc/crio"));
    }
}
