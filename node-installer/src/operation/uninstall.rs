//! `uninstall`: every byte an install changed goes back, and everything it brought goes away.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::base::{self, BaseFile};
use super::session::{Session, report_installed};
use crate::args::UninstallArgs;
use crate::containerd::dump::Dump;
use crate::containerd::validate;
use crate::cri::Cri;
use crate::detect::Daemon;
use crate::failure::{Failure, chain};
use crate::host::files;
use crate::journal::{Change, Expectation, Installed};
use crate::payload::{collect, place};
use crate::report::{Outcome, Report, Steps as _};

/// How long a pod process may take to leave after its pod; it gives itself 5 s (`shim/pod`).
const LINGER: Duration = Duration::from_secs(30);

/// How often to look whether it has left.
const LINGER_POLL: Duration = Duration::from_millis(200);

/// Pods named in a refusal; more would not be read.
const NAMED_PODS: usize = 3;

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
    let has_binaries = session.root.local(&install_root).exists();
    if installed.is_none() && !has_binaries {
        // Nothing was ever installed, or all of it is gone: then a broken containerd is not ours to look at.
        session
            .journal
            .remove_state_if_unused()
            .map_err(|error| Failure::failed(&error))?;
        report.end(
            Outcome::Unchanged,
            "NotInstalled",
            "nothing is installed on the node",
        );
        return Ok(());
    }
    let daemon = session.detect(report)?;
    if let Some(installed) = &installed {
        report_installed(report, installed);
    }
    let dump = session.current_dump(&daemon)?;
    report.enter("pods");
    if !args.force {
        refuse_running(&session, &daemon, &dump, installed.as_ref(), &install_root)?;
    }

    report.enter("plan");
    let files = base::files(
        &session.root,
        &session.journal,
        installed.as_ref(),
        &install_root,
        &daemon,
    )?;
    let changed = files.iter().any(BaseFile::is_touched);
    if changed || installed.is_some() {
        give_back(
            &session,
            &daemon,
            &dump,
            &files,
            installed.as_ref(),
            &install_root,
            report,
        )?;
    }

    report.enter("collect");
    let kept = remove_rest(&session, &daemon, &dump, installed.as_ref(), &install_root)?;
    if !kept.is_empty() {
        return Err(Failure::unfinished(
            "PayloadInUse",
            format!(
                "the configuration is as it was, but processes still run from {}/{}: end them, the next run removes it",
                install_root.display(),
                kept.join(", ")
            ),
        ));
    }
    report.shim = None;
    report.handlers.clear();
    let edited: Vec<&Path> = files
        .iter()
        .filter(|file| file.edited)
        .map(|file| file.path.as_path())
        .collect();
    report.end(Outcome::Done, "Uninstalled", farewell(&edited));
    Ok(())
}

/// What the node is left with: the bytes of before, unless others have edited since.
fn farewell(edited: &[&Path]) -> String {
    if edited.is_empty() {
        return "every byte is as it was before the install".to_owned();
    }
    let names: Vec<String> = edited
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    format!(
        "somebody else's edits of {} since the install were kept, and only what is ours was taken out",
        names.join(", ")
    )
}

/// The configuration, as a transaction.
fn give_back(
    session: &Session<'_>,
    daemon: &Daemon,
    before: &Dump,
    files: &[BaseFile],
    installed: Option<&Installed>,
    install_root: &Path,
    report: &mut Report,
) -> Result<(), Failure> {
    report.enter("validate");
    let touched: Vec<&BaseFile> = files.iter().filter(|file| file.is_touched()).collect();
    // What the distribution writes is seen as it will write it.
    let candidates: Vec<(PathBuf, Option<String>)> = files
        .iter()
        .filter(|file| file.loaded && file.has_ours())
        .map(|file| {
            (
                file.path.clone(),
                file.base.as_ref().map(|(text, _)| text.clone()),
            )
        })
        .collect();
    let after = session
        .judge(daemon)
        .with_changes(&candidates)
        .map_err(|error| Failure::refused(&error))?;
    validate::compare(&daemon.config, before, &after, &[], install_root)
        .map_err(|error| Failure::refused(&error))?;
    for file in &touched {
        files::check_replaceable(&session.root.local(&file.resolved))
            .map_err(|error| Failure::refused(&error))?;
    }
    let handlers = ours(before, install_root);
    let digest = match installed {
        Some(installed) => installed.digest.clone(),
        // The journal is lost; any folder of ours will do.
        None => crate::digest::of_bytes(b"slipway-watchdog"),
    };
    place::place_installer(&session.root, &place::folder(install_root, &digest))
        .map_err(|error| Failure::refused(&error))?;

    let mut changes = Vec::new();
    // The import before the file it names, should somebody restart containerd in between.
    let mut ordered: Vec<&&BaseFile> = touched.iter().collect();
    ordered.sort_by_key(|file| file.base.is_none());
    for file in ordered {
        let keep = |content: &Option<(String, files::Attributes)>| {
            content
                .as_ref()
                .map(|(text, attributes)| session.keep(text, attributes))
                .transpose()
        };
        changes.push(Change {
            path: file.resolved.clone(),
            before: keep(&file.now)?,
            after: keep(&file.base)?,
        });
    }
    let expect = Expectation {
        present: Default::default(),
        absent: handlers,
    };
    let mut transaction = session.transaction("uninstall", daemon, changes, expect, None, &digest);
    transaction.install_root = install_root.to_owned();
    transaction.created_folders = installed
        .map(|i| i.created_folders.clone())
        .unwrap_or_default();
    session.transact(transaction, report)
}

/// Binaries that no pod needs, the journal and the cache.
fn remove_rest(
    session: &Session<'_>,
    daemon: &Daemon,
    dump: &Dump,
    installed: Option<&Installed>,
    install_root: &Path,
) -> Result<Vec<String>, Failure> {
    let file_error = |error: files::FileError| Failure::failed(&error);
    let state = daemon.state_folder(dump.state.as_deref());
    // No pod is ready any more, but a pod process outlives its pod by the moment it takes to say good-bye. Records
    // of ended sandboxes name the shim too, until the kubelet collects them: without a bundle containerd never looks.
    let deadline = Instant::now() + LINGER;
    let kept = loop {
        let bundles = collect::bundles(&session.root, &state, install_root)
            .map_err(|error| Failure::failed(&error))?;
        let needed = collect::needed(&session.root, install_root, &bundles, &BTreeSet::new());
        let (_, kept) =
            collect::collect(&session.root, install_root, &needed).map_err(file_error)?;
        if kept.is_empty() || Instant::now() >= deadline {
            break kept;
        }
        thread::sleep(LINGER_POLL);
    };
    let folders = installed
        .map(|i| i.created_folders.clone())
        .unwrap_or_default();
    for folder in folders
        .iter()
        .rev()
        .map(PathBuf::as_path)
        .chain([install_root, Path::new("/run/slipway")])
    {
        files::remove_folder_if_empty(&session.root.local(folder)).map_err(file_error)?;
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

/// The shim's `/run/slipway/<namespace>/<pod>`, of which only empty folders can be left.
fn remove_runtime_folders(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = fs::remove_dir(entry.path());
    }
    let _ = fs::remove_dir(folder);
}

/// The handlers whose type lies below the install root.
fn ours(dump: &Dump, install_root: &Path) -> Vec<String> {
    let all = dump.runtimes.iter();
    all.filter(|(_, runtime)| Path::new(&runtime.runtime_type).starts_with(install_root))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Refuses while pods run on our shim: without their handler containerd could not restart their containers.
fn refuse_running(
    session: &Session<'_>,
    daemon: &Daemon,
    dump: &Dump,
    installed: Option<&Installed>,
    install_root: &Path,
) -> Result<(), Failure> {
    let cri = Cri::new(&session.runtime, &session.root, &daemon.socket);
    let handlers = installed.map_or_else(
        || ours(dump, install_root),
        |installed| installed.handlers.clone(),
    );
    let sandboxes = cri.sandboxes().map_err(|error| Failure::refused(&error))?;
    let mut pods: Vec<String> = sandboxes
        .into_iter()
        .filter(|sandbox| sandbox.state == 0 && handlers.contains(&sandbox.runtime_handler))
        .map(|sandbox| match sandbox.metadata {
            Some(pod) => format!("{}/{}", pod.namespace, pod.name),
            None => sandbox.id,
        })
        .collect();
    if pods.is_empty() {
        let state = daemon.state_folder(dump.state.as_deref());
        let bundles = collect::bundles(&session.root, &state, install_root)
            .map_err(|error| Failure::refusal("HostPathUnreadable", chain(&error)))?;
        pods = bundles.into_iter().map(|bundle| bundle.id).collect();
    }
    if pods.is_empty() {
        return Ok(());
    }
    let more = pods.len().saturating_sub(NAMED_PODS);
    let named = pods
        .iter()
        .take(NAMED_PODS)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Err(Failure::refusal(
        "PodsRunning",
        format!("pods still run on the shim: {named}{rest}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_does_not_claim_more_than_was_done() {
        assert_eq!(farewell(&[]), "every byte is as it was before the install");
        let edited = [Path::new("/etc/containerd/config.toml")];
        let kept = "somebody else's edits of /etc/containerd/config.toml since the install were kept, and only what is \
                    ours was taken out";
        assert_eq!(farewell(&edited), kept);
    }
}
