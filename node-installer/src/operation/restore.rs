//! Files that we had written into and that are gone altogether.
//!
//! What somebody has edited is theirs, and every operation goes by it. A file that is not there says nothing: without it
//! containerd would run on its own defaults, with another cgroup driver and another sandbox image than the kubelet's. So
//! its bytes from before the install come back first, in an install and in an uninstall, and are what the latter leaves.

use super::session::Session;
use crate::failure::Failure;
use crate::host::files;
use crate::journal::Installed;
use crate::report::Report;

/// Puts them back as they were without us. A crash leaves a file that is whole, or none, as it was found.
pub(super) fn lost_files(
    session: &Session<'_>,
    installed: &Installed,
    report: &mut Report,
) -> Result<(), Failure> {
    for file in &installed.files {
        let local = session.root.local(&file.path);
        let Some(base) = file
            .base
            .as_ref()
            .filter(|_| local.symlink_metadata().is_err())
        else {
            continue;
        };
        let bytes = session
            .journal
            .bytes(base)
            .map_err(|error| Failure::refused(&error))?;
        if let Some(folder) = local.parent() {
            files::create_folders(folder).map_err(|error| Failure::refused(&error))?;
        }
        files::write_atomic(&local, &bytes, &base.attributes)
            .map_err(|error| Failure::refused(&error))?;
        report.note(format!(
            "{} was gone: it came back as it was before the install",
            file.path.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};

    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};
    use crate::host::files::Attributes;
    use crate::journal::{DaemonRecord, InstalledShim, ManagedFile};
    use crate::operation::uninstall;

    const CONFIG: &str = "/etc/containerd/config.toml";

    const MADE: &str = "/etc/containerd/conf.d/99-slipway.toml";

    /// A node in a folder.
    fn host(dir: &Path) -> PathBuf {
        let host = dir.join("host");
        for folder in ["etc/containerd", "var/lib", "run"] {
            fs::create_dir_all(host.join(folder)).unwrap();
        }
        host
    }

    fn parse(command: &str, host: &Path) -> Command {
        let line = format!("x {command} --host-root {}", host.display());
        Args::parse_from(line.split(' ')).command
    }

    /// What an install has put down: a file that it wrote into, and one that it made.
    fn installed(session: &Session<'_>) -> Installed {
        let keep = |text: &str| {
            let attributes = Attributes {
                mode: 0o640,
                ..Attributes::ours()
            };
            session.journal.keep(text.as_bytes(), attributes).unwrap()
        };
        let files = vec![
            ManagedFile {
                path: CONFIG.into(),
                base: Some(keep("theirs")),
                ours: keep("theirs and ours"),
            },
            ManagedFile {
                path: MADE.into(),
                base: None,
                ours: keep("ours"),
            },
        ];
        let shim = InstalledShim {
            digest: None,
            path: "/usr/bin/containerd-shim-x-v1".into(),
            handlers: Vec::new(),
            served: BTreeMap::new(),
            local_image_pull: false,
        };
        Installed {
            version: crate::journal::record::VERSION,
            shims: [("slipway".to_owned(), shim)].into(),
            install_root: "/opt/slipway".into(),
            method: None,
            files,
            additions: crate::containerd::rewrite::Additions::default(),
            created_folders: Vec::new(),
            daemon: DaemonRecord {
                unit: "containerd.service".to_owned(),
                socket: "/run/containerd/containerd.sock".into(),
                config: CONFIG.into(),
                drop_ins: None,
            },
            verified_boot: None,
        }
    }

    #[test]
    fn a_lost_file_comes_back_and_an_edited_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let Command::Install(args) = parse("install --handler a", &host(dir.path())) else {
            panic!("not an install")
        };
        let mut report = Report::new("install");
        let session = Session::begin(&args.node, &mut report).unwrap();
        let installed = installed(&session);
        let config = session.root.local(Path::new(CONFIG));
        lost_files(&session, &installed, &mut report).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), "theirs");
        let mode = config.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert!(
            !session.root.local(Path::new(MADE)).exists(),
            "there was none before us: the install makes it"
        );
        assert_eq!(report.notes.len(), 1, "{:?}", report.notes);

        fs::write(&config, "somebody's").unwrap();
        lost_files(&session, &installed, &mut report).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), "somebody's");
    }

    #[test]
    fn an_uninstall_brings_a_lost_file_back_before_it_looks_for_containerd() {
        let dir = tempfile::tempdir().unwrap();
        let host = host(dir.path());
        let Command::Uninstall(args) = parse("uninstall --shim slipway", &host) else {
            panic!("not an uninstall")
        };
        let mut report = Report::new("uninstall");
        let session = Session::begin(&args.node, &mut report).unwrap();
        let installed = installed(&session);
        session.journal.write_installed(&installed).unwrap();
        let journal = session.journal.clone();
        drop(session);

        let failure = uninstall::uninstall(&args, &mut report).unwrap_err();
        assert_eq!(
            failure.reason, "ContainerdNotFound",
            "this node is a folder"
        );
        let config = host.join(CONFIG.trim_start_matches('/'));
        assert_eq!(fs::read_to_string(config).unwrap(), "theirs");
        assert_eq!(journal.installed().unwrap(), Some(installed));
    }
}
