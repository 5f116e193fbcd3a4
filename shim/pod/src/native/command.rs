//! runc's command lines.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where containerd's own shim keeps runc's state, by namespace (`RuncRoot` in `process/init.go`, containerd 2.4).
/// The same place here: ids are unique in a namespace of containerd's, whichever shim runs them, and
/// `runc --root … list` shows an operator all of a node's containers.
const ROOT: &str = "/run/containerd/runc";

/// The node's runc, and how it is called for one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runc {
    /// The program.
    pub program: PathBuf,
    /// Its state directory.
    pub root: PathBuf,
    /// Whether `cgroupsPath` names a systemd scope.
    pub systemd: bool,
    /// The container.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
}

/// What runc is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Make the container, up to the point where its program would run.
    Create {
        /// Where to send the terminal to, if there is to be one.
        console: Option<PathBuf>,
    },
    /// Run its program.
    Start,
    /// Run another program in it.
    Exec {
        /// Its name, unique in the container.
        exec: String,
        /// As for `Create`.
        console: Option<PathBuf>,
    },
    /// Remove what is left of it, and it, too, if need be.
    Delete,
}

impl Runc {
    /// runc for the container `id` of a namespace of containerd's.
    #[must_use]
    pub fn new(
        program: PathBuf,
        namespace: &str,
        systemd: bool,
        id: String,
        bundle: PathBuf,
    ) -> Self {
        Self {
            program,
            root: Path::new(ROOT).join(namespace),
            systemd,
            id,
            bundle,
        }
    }

    /// The state directory of the container.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.join(&self.id)
    }

    /// Where runc says what went wrong.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.bundle.join("log.json")
    }

    /// Where runc writes the number of the process it made: the names of containerd's own shim.
    #[must_use]
    pub fn pid_file(&self, verb: &Verb) -> Option<PathBuf> {
        match verb {
            Verb::Create { .. } => Some(self.bundle.join("init.pid")),
            Verb::Exec { exec, .. } => Some(self.bundle.join(format!("{exec}.pid"))),
            Verb::Start | Verb::Delete => None,
        }
    }

    /// Where the process of an exec is written down for runc.
    #[must_use]
    pub fn process_file(&self, exec: &str) -> PathBuf {
        self.bundle.join(format!("{exec}.process.json"))
    }

    /// The whole command line, the program's name first.
    ///
    /// # Errors
    /// For a path with a zero byte.
    pub fn arguments(&self, verb: &Verb) -> io::Result<Vec<CString>> {
        let log = self.log();
        let mut line = Line(vec![OsStr::new("runc").to_owned()]);
        line.option("--root", &self.root);
        line.option("--log", &log);
        line.option("--log-format", "json");
        if self.systemd {
            line.word("--systemd-cgroup");
        }
        line.word(verb.name());
        match verb {
            Verb::Create { .. } => line.option("--bundle", &self.bundle),
            Verb::Exec { exec, .. } => {
                line.option("--process", self.process_file(exec));
                line.word("--detach");
            }
            // Also for one that has ended: then it is the same, and one that was never whole goes too.
            Verb::Delete => line.word("--force"),
            Verb::Start => {}
        }
        if let Some(pid_file) = self.pid_file(verb) {
            line.option("--pid-file", pid_file);
        }
        if let Verb::Create { console } | Verb::Exec { console, .. } = verb
            && let Some(console) = console
        {
            line.option("--console-socket", console);
        }
        line.word(&self.id);
        line.0
            .into_iter()
            .map(|word| CString::new(word.into_encoded_bytes()).map_err(io::Error::other))
            .collect()
    }
}

impl Verb {
    /// As on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Start => "start",
            Self::Exec { .. } => "exec",
            Self::Delete => "delete",
        }
    }
}

struct Line(Vec<std::ffi::OsString>);

impl Line {
    fn word(&mut self, word: impl AsRef<OsStr>) {
        self.0.push(word.as_ref().to_owned());
    }

    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.word(name);
        self.word(value);
    }
}

/// The variables that runc gets of the node's: what it needs to find programs and systemd. go-runc passes all of
/// containerd's on but `NOTIFY_SOCKET`, by which runc would wait for a readiness that nobody asked for.
const KEPT: [&str; 4] = [
    "PATH",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DBUS_SYSTEM_BUS_ADDRESS",
];

/// The environment for runc, out of this process's own.
#[must_use]
pub fn environment() -> Vec<CString> {
    let own = KEPT.iter().filter_map(|name| {
        let value = std::env::var_os(name)?;
        let entry = [name.as_bytes(), b"=", value.as_bytes()].concat();
        CString::new(entry).ok()
    });
    own.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(systemd: bool, verb: &Verb) -> String {
        let runc = Runc::new(
            "/usr/bin/runc".into(),
            "k8s.io",
            systemd,
            "c1".into(),
            "/b/c1".into(),
        );
        let words = runc.arguments(verb).unwrap();
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn the_lines_are_those_of_containerds_own_shim() {
        let global =
            "runc --root /run/containerd/runc/k8s.io --log /b/c1/log.json --log-format json";
        let create = |console| Verb::Create { console };
        assert_eq!(
            line(false, &create(None)),
            format!("{global} create --bundle /b/c1 --pid-file /b/c1/init.pid c1")
        );
        assert_eq!(
            line(true, &create(Some("/s".into()))),
            format!(
                "{global} --systemd-cgroup create --bundle /b/c1 --pid-file /b/c1/init.pid --console-socket /s c1"
            )
        );
        assert_eq!(line(false, &Verb::Start), format!("{global} start c1"));
        let exec = Verb::Exec {
            exec: "e1".into(),
            console: None,
        };
        assert_eq!(
            line(false, &exec),
            format!(
                "{global} exec --process /b/c1/e1.process.json --detach --pid-file /b/c1/e1.pid c1"
            )
        );
        assert_eq!(
            line(true, &Verb::Delete),
            format!("{global} --systemd-cgroup delete --force c1")
        );
    }

    #[test]
    fn a_zero_byte_is_refused() {
        let runc = Runc::new("/r".into(), "n", false, "a\0b".into(), "/b".into());
        assert!(runc.arguments(&Verb::Start).is_err());
    }
}
