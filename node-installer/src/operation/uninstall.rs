//! `uninstall`: takes one shim away. The last one's going gives back every byte an install changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::session::{Session, report_installed};
use super::settle::Found;
use super::{restore, running};
use crate::args::UninstallArgs;
use crate::configuration::{Configuration, Wish};
use crate::failure::{Failure, chain};
use crate::host::files;
use crate::journal::{Installed, InstalledShim};
use crate::payload::collect::{self, Bundle};
use crate::payload::place;
use crate::report::{Outcome, Report, Steps as _};
use crate::spec::Leftovers;

/// How long a pod process may take to leave after its pod; it gives itself 5 s (`shim/pod`).
const LINGER: Duration = Duration::from_secs(30);

/// How often to look whether it has left.
const LINGER_POLL: Duration = Duration::from_millis(200);

/// Uninstalls.
pub(super) fn uninstall(args: &UninstallArgs, report: &mut Report) -> Result<(), Failure> {
    let session = Session::begin(&args.node, report)?;
    session.recover(report, false)?;
    let installed = session
        .journal
        .installed()
        .map_err(|error| Failure::refused(&error))?;
    let install_root = installed
        .as_ref()
        .map_or(&args.node.install_root, |i| &i.install_root)
        .clone();
    let binaries = session
        .root
        .locate(&install_root)
        .map_err(|error| Failure::refused(&error))?;
    let lost = installed.is_none() && binaries.exists();
    let known = installed.as_ref();
    if !lost && known.is_none_or(|installed| !installed.shims.contains_key(&args.shim)) {
        // It was never installed, or all of it is gone: then a broken containerd is not ours to look at.
        session
            .journal
            .remove_state_if_unused()
            .map_err(|error| Failure::failed(&error))?;
        let message = format!("no shim {} is installed on the node", args.shim);
        report.end(Outcome::Unchanged, "NotInstalled", message);
        return Ok(());
    }
    if let Some(installed) = &installed {
        // Without them nothing would be left to go back to, and the journal with their bytes goes at the end.
        restore::lost_files(&session, installed, report)?;
    }
    let found = Found::on(&session, installed, install_root, report)?;
    let leaving = Leaving::of(&found, &args.shim);
    if let Some(shim) = leaving.shim {
        report_installed(report, &args.shim, shim, found.installed.as_ref());
    }
    report.enter("pods");
    if !args.force {
        leaving.refuse_running(&found)?;
    }
    let wish = Wish {
        shims: leaving.rest.clone(),
        leftovers: Leftovers::Keep,
    };
    let configuration = found.configure(wish, report)?;
    let goal = found.goal(&configuration, &[])?;
    if configuration.is_change() || found.installed.is_some() {
        take_away(&found, &configuration, goal, report)?;
    }

    report.enter("collect");
    let kept = leaving.collect(&found)?;
    if !kept.is_empty() {
        return Err(Failure::unfinished(
            "PayloadInUse",
            format!(
                "the configuration is as it was, but processes still run from {}/{}: end them, the next run removes it",
                found.install_root.display(),
                kept.join(", ")
            ),
        ));
    }
    report.shim = None;
    report.handlers.clear();
    let edited: Vec<&Path> = configuration.edited().collect();
    report.end(
        Outcome::Done,
        "Uninstalled",
        farewell(&leaving.rest, &edited),
    );
    Ok(())
}

/// What the node is left with: the bytes of before, unless others have edited since or other shims stand there.
fn farewell(rest: &BTreeMap<String, InstalledShim>, edited: &[&Path]) -> String {
    let names = |paths: &[&Path]| {
        let names = paths.iter().map(|path| path.display().to_string());
        names.collect::<Vec<_>>().join(", ")
    };
    match (rest.is_empty(), edited.is_empty()) {
        (false, _) => {
            let others: Vec<&str> = rest.keys().map(String::as_str).collect();
            format!("the node keeps {}", others.join(", "))
        }
        (true, true) => "every byte is as it was before the install".to_owned(),
        (true, false) => format!(
            "somebody else's edits of {} since the install were kept, and only what is ours was taken out",
            names(edited)
        ),
    }
}

/// The configuration, as a transaction.
fn take_away(
    found: &Found<'_>,
    configuration: &Configuration,
    goal: Option<Installed>,
    report: &mut Report,
) -> Result<(), Failure> {
    let digest = found.any_digest();
    if !found.is_bare(configuration) {
        let folder = place::folder(&found.install_root, &digest);
        place::place_installer(&found.session.root, &folder)
            .map_err(|error| Failure::refused(&error))?;
    }
    found.settle("uninstall", configuration, goal, &digest, report)
}

/// A shim that goes, and those that stay.
struct Leaving<'a> {
    /// `None` if the journal is lost: then all that is ours goes.
    shim: Option<&'a InstalledShim>,
    rest: BTreeMap<String, InstalledShim>,
}

impl<'a> Leaving<'a> {
    fn of(found: &'a Found<'_>, name: &str) -> Self {
        let installed = found.installed.as_ref();
        let mut rest = installed.map(|i| i.shims.clone()).unwrap_or_default();
        rest.remove(name);
        Self {
            shim: installed.and_then(|installed| installed.shims.get(name)),
            rest,
        }
    }

    /// The handlers that go.
    fn handlers(&self, found: &Found<'_>) -> Vec<String> {
        if let Some(shim) = self.shim {
            let written = shim.handlers.iter();
            return written.map(|handler| handler.name.clone()).collect();
        }
        let all = found.dump.runtimes.iter();
        all.filter(|(name, runtime)| found.is_ours(name, &runtime.runtime_type))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The bundles of its pods: an older payload of it has the same file in another folder.
    fn bundles(&self, found: &Found<'_>) -> Result<BTreeSet<Bundle>, Failure> {
        let root = &found.session.root;
        let state = found.state();
        let in_folder = |folder: &Path| {
            collect::bundles(root, &state, folder)
                .map_err(|error| Failure::refusal("HostPathUnreadable", chain(&error)))
        };
        let Some(shim) = self.shim else {
            return in_folder(&found.install_root);
        };
        if shim.digest.is_none() {
            // It stays, and others' tables may serve it, too: containerd's own shim for runc runs all native pods.
            return Ok(BTreeSet::new());
        }
        let mut bundles = in_folder(&found.install_root)?;
        bundles.retain(|bundle| {
            let others = self.rest.values().any(|other| other.path == bundle.shim);
            bundle.shim.file_name() == shim.path.file_name() && !others
        });
        Ok(bundles)
    }

    /// Refuses while pods run on the shim.
    fn refuse_running(&self, found: &Found<'_>) -> Result<(), Failure> {
        let mut pods = running::pods(found, &self.handlers(found))?;
        if pods.is_empty() {
            let bundles = self.bundles(found)?;
            pods = bundles.into_iter().map(|bundle| bundle.id).collect();
        }
        if pods.is_empty() {
            return Ok(());
        }
        Err(Failure::refusal(
            "PodsRunning",
            format!("pods still run on the shim: {}", running::named(&pods)),
        ))
    }

    /// Removes the binaries that no pod needs, and with the last shim the journal and the cache. Returns the payloads
    /// that should have gone and could not.
    fn collect(&self, found: &Found<'_>) -> Result<Vec<String>, Failure> {
        let (session, install_root) = (found.session, &found.install_root);
        let state = found.state();
        let rest: BTreeSet<String> = self
            .rest
            .values()
            .filter_map(|s| s.digest.clone())
            .collect();
        let own = self.shim.and_then(|shim| shim.digest.as_ref());
        // An older payload that a pod of another shim needs is that shim's to wait for.
        let awaited = |digest: &String| {
            !rest.contains(digest) && (self.rest.is_empty() || own.is_none_or(|own| own == digest))
        };
        // No pod is ready any more, but a pod process outlives its pod by the moment it takes to say good-bye. Records
        // of ended sandboxes name the shim too, until the kubelet collects them: without a bundle containerd never
        // looks.
        let deadline = Instant::now() + LINGER;
        let kept = loop {
            let bundles = collect::bundles(&session.root, &state, install_root)
                .map_err(|error| Failure::failed(&error))?;
            let needed = collect::needed(&session.root, install_root, &bundles, &rest);
            let (_, mut kept) = collect::collect(&session.root, install_root, &needed)
                .map_err(|error| Failure::failed(&error))?;
            kept.retain(&awaited);
            if kept.is_empty() || Instant::now() >= deadline {
                break kept;
            }
            thread::sleep(LINGER_POLL);
        };
        if !self.rest.is_empty() {
            return Ok(kept);
        }
        let installed = found.installed.as_ref();
        let folders = installed
            .map(|i| i.created_folders.clone())
            .unwrap_or_default();
        for folder in folders
            .iter()
            .rev()
            .map(PathBuf::as_path)
            .chain([install_root.as_path(), Path::new("/run/slipway")])
        {
            let entry = session.root.entry(folder);
            let entry = entry.map_err(|error| Failure::failed(&error))?;
            files::remove_folder_if_empty(&entry).map_err(|error| Failure::failed(&error))?;
        }
        if kept.is_empty() {
            remove_runtime_folders(&session.root.local(Path::new("/run/slipway")));
        }
        session
            .journal
            .remove_state_if_unused()
            .map_err(|error| Failure::failed(&error))?;
        Ok(kept)
    }
}

/// The shim's `/run/slipway/<namespace>/<pod>`, of which only empty folders can be left.
fn remove_runtime_folders(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = fs::remove_dir(entry.path());
    }
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use clap::Parser as _;
    use rstest::rstest;

    use super::*;
    use crate::args::{Args, Command};
    use crate::containerd::dump::Dump;
    use crate::containerd::layout::Layout;
    use crate::containerd::version::Version;
    use crate::cri::CriStatus;
    use crate::detect::Daemon;
    use crate::detect::distribution::Distribution;
    use crate::operation::session::daemon_record;

    fn daemon() -> Daemon {
        Daemon {
            socket: "/run/containerd/containerd.sock".into(),
            binary: "/usr/bin/containerd".into(),
            config: "/etc/containerd/config.toml".into(),
            state: None,
            unit: "containerd.service".to_owned(),
            version: Version {
                major: 2,
                minor: 1,
                patch: 0,
            },
            distribution: Distribution::Generic,
            layout: Layout::Own,
            status: CriStatus::default(),
            systemd_cgroup: true,
        }
    }

    #[rstest]
    #[case("/data/slipway")]
    #[case("../data/slipway")]
    fn a_link_as_install_root_loses_what_is_ours_and_stays(#[case] target: &str) {
        let dir = tempfile::tempdir().unwrap();
        let local = |path: &str| dir.path().join(path);
        let payload = local("data/slipway").join(crate::digest::of_bytes(b"payload"));
        fs::create_dir_all(&payload).unwrap();
        for folder in ["opt", "run/containerd", "var/lib"] {
            fs::create_dir_all(local(folder)).unwrap();
        }
        symlink(target, local("opt/slipway")).unwrap();
        let host = dir.path().to_str().unwrap();
        let line = ["x", "uninstall", "--shim", "slipway", "--host-root", host];
        let Command::Uninstall(args) = Args::parse_from(line).command else {
            panic!("not an uninstall")
        };
        let mut report = Report::new("uninstall");
        let session = Session::begin(&args.node, &mut report).unwrap();
        let daemon = daemon();
        let found = Found {
            session: &session,
            record: daemon_record(&daemon),
            daemon,
            install_root: "/opt/slipway".into(),
            installed: None,
            dump: Dump::default(),
        };

        assert!(
            Leaving::of(&found, "slipway")
                .collect(&found)
                .unwrap()
                .is_empty()
        );
        assert!(!payload.exists());
        assert!(local("opt/slipway").is_symlink(), "it was there before us");
        assert!(local("data/slipway").exists(), "and so was this");
    }

    #[test]
    fn the_last_word_does_not_claim_more_than_was_done() {
        let none = BTreeMap::new();
        assert_eq!(
            farewell(&none, &[]),
            "every byte is as it was before the install"
        );
        let edited = [Path::new("/etc/containerd/config.toml")];
        let kept = "somebody else's edits of /etc/containerd/config.toml since the install were kept, and only what is \
                    ours was taken out";
        assert_eq!(farewell(&none, &edited), kept);
        let other = InstalledShim {
            digest: None,
            path: "/usr/bin/x".into(),
            handlers: Vec::new(),
            served: BTreeMap::new(),
            local_image_pull: false,
        };
        let rest = BTreeMap::from([("spin".to_owned(), other)]);
        assert_eq!(farewell(&rest, &edited), "the node keeps spin");
    }
}
