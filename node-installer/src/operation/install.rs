//! `install`: detect, plan, validate, place, and hand the rest to a transaction.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::base::{self, BaseFile};
use super::session::{Session, daemon_record, report_installed};
use crate::args::InstallArgs;
use crate::containerd::handler::Handler;
use crate::containerd::plan::{self, Observed, Plan};
use crate::containerd::validate;
use crate::cri::Cri;
use crate::detect::Daemon;
use crate::failure::Failure;
use crate::host::files::{self, Attributes};
use crate::host::{mounts, process};
use crate::journal::{Change, Expectation, Installed, ManagedFile, Snapshot};
use crate::payload::place::{self, Placed};
use crate::payload::source::{self, Payload};
use crate::payload::{SHIM, collect};
use crate::report::{Outcome, Report, Steps as _};
use crate::transaction::Control as _;

/// Installs.
pub(super) fn install(args: &InstallArgs, report: &mut Report) -> Result<(), Failure> {
    let handlers = unique(&args.handlers);
    let session = Session::begin(&args.node, report)?;
    session.recover(report, false)?;
    let result = install_locked(&session, args, &handlers, report);
    if result.is_err() {
        // A refusal leaves nothing behind, not even an empty folder.
        let _ = session.journal.prune();
        let _ = session.journal.remove_if_unused();
    }
    result
}

fn install_locked(
    session: &Session<'_>,
    args: &InstallArgs,
    handlers: &[String],
    report: &mut Report,
) -> Result<(), Failure> {
    let (root, install_root) = (&session.root, &args.node.install_root);
    let daemon = session.detect(report)?;
    report.enter("payload");
    let payload = source::read(&args.payload).map_err(|error| Failure::refused(&error))?;
    mounts::check_install_root(root, install_root).map_err(|error| Failure::refused(&error))?;
    let shim = place::folder(install_root, &payload.digest).join(SHIM);

    report.enter("plan");
    let installed = session
        .journal
        .installed()
        .map_err(|error| Failure::refused(&error))?;
    if let Some(installed) = &installed
        && installed.install_root != *install_root
    {
        return Err(Failure::refusal(
            "InstallRootChanged",
            format!(
                "the node has an install below {}: uninstall it before using {}",
                installed.install_root.display(),
                install_root.display()
            ),
        ));
    }
    let files = base::files(
        root,
        &session.journal,
        installed.as_ref(),
        install_root,
        &daemon,
    )?;
    let tables: Vec<Handler> = handlers
        .iter()
        .map(|name| Handler::plain(name, &shim))
        .collect();
    let observed = Observed {
        version: daemon.version,
        config: &daemon.config,
        sources: &base::sources(&files),
        layout: &daemon.layout,
        own: base::own(&files, &daemon.layout),
        handlers: &tables,
    };
    let plan = plan::plan(&observed).map_err(|error| Failure::refused(&error))?;
    let targets = targets(session, &files, &plan)?;

    report.enter("validate");
    let before = session.current_dump(&daemon)?;
    let candidates: Vec<(PathBuf, Option<String>)> = match &plan.preview {
        Some(preview) => preview
            .iter()
            .map(|file| (file.path.clone(), Some(file.after.clone())))
            .collect(),
        None => targets
            .iter()
            .map(|target| (target.path.clone(), target.after.clone()))
            .collect(),
    };
    let after = session
        .judge(&daemon)
        .with_changes(&candidates)
        .map_err(|error| Failure::refused(&error))?;
    validate::compare(&daemon.config, &before, &after, &tables, install_root)
        .map_err(|error| Failure::refused(&error))?;
    for target in targets.iter().filter(|target| target.is_change()) {
        files::check_replaceable(&root.local(&target.resolved))
            .map_err(|error| Failure::refused(&error))?;
    }

    report.enter("place");
    let placed =
        place::place(root, install_root, &payload).map_err(|error| Failure::refused(&error))?;
    let unplace = |failure: Failure| {
        if placed.new {
            let _ = place::remove(root, &placed.folder, &placed.created_folders);
        }
        failure
    };
    report.enter("probe");
    place::probe(&session.runtime, root, &placed.folder)
        .map_err(|error| unplace(Failure::refused(&error)))?;

    let order = Order {
        daemon: &daemon,
        payload: &payload,
        placed: &placed,
        shim: &shim,
        handlers,
        plan: &plan,
    };
    let goal = goal(session, &order, &targets, installed.as_ref()).map_err(unplace)?;
    report_installed(report, &goal);
    if is_unchanged(session, &order, &targets, installed.as_ref(), &goal).map_err(unplace)? {
        report.end(
            Outcome::Unchanged,
            "Unchanged",
            format!("the node already serves {}", handlers.join(", ")),
        );
        return Ok(());
    }
    match transact(session, &order, &targets, goal, report) {
        Ok(()) => {}
        Err(failure) if matches!(failure.outcome, Outcome::Refused | Outcome::RolledBack) => {
            report.shim = None;
            report.handlers.clear();
            return Err(unplace(failure));
        }
        Err(failure) => return Err(failure),
    }
    collect_old(session, &daemon, &payload.digest, report);
    report.end(
        Outcome::Done,
        "Installed",
        format!("containerd serves {}", handlers.join(", ")),
    );
    Ok(())
}

/// A file, what it holds, and what it shall hold.
struct Target {
    path: PathBuf,
    resolved: PathBuf,
    now: Option<(String, Attributes)>,
    base: Option<(String, Attributes)>,
    after: Option<String>,
}

impl Target {
    fn is_change(&self) -> bool {
        self.now.as_ref().map(|(text, _)| text) != self.after.as_ref()
    }
}

/// What is decided so far.
struct Order<'a> {
    daemon: &'a Daemon,
    payload: &'a Payload,
    placed: &'a Placed,
    shim: &'a Path,
    handlers: &'a [String],
    plan: &'a Plan,
}

/// The planned files, and those of an earlier install that are not in the plan any more, which go back.
fn targets(session: &Session<'_>, files: &[BaseFile], plan: &Plan) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for planned in &plan.files {
        let resolved = session
            .root
            .resolve(&planned.path)
            .map_err(|error| Failure::refused(&error))?;
        let known = files.iter().find(|file| file.resolved == resolved);
        targets.push(Target {
            path: planned.path.clone(),
            now: known.and_then(|file| file.now.clone()),
            base: known.and_then(|file| file.base.clone()),
            resolved,
            after: Some(planned.after.clone()),
        });
    }
    for file in files.iter().filter(|file| file.is_touched()) {
        if !targets
            .iter()
            .any(|target| target.resolved == file.resolved)
        {
            targets.push(Target {
                path: file.path.clone(),
                resolved: file.resolved.clone(),
                now: file.now.clone(),
                base: file.base.clone(),
                after: file.base.as_ref().map(|(text, _)| text.clone()),
            });
        }
    }
    // A file that is not among those containerd loads may still be there, under the very name we want.
    for target in targets.iter().filter(|target| target.now.is_none()) {
        if session.root.local(&target.resolved).exists() {
            return Err(Failure::refused(&plan::PlanError::DropInTaken(
                target.path.clone(),
            )));
        }
    }
    Ok(targets)
}

/// What will stand on the node, with the bytes without us kept in the journal.
fn goal(
    session: &Session<'_>,
    order: &Order<'_>,
    targets: &[Target],
    installed: Option<&Installed>,
) -> Result<Installed, Failure> {
    let mut managed = Vec::new();
    let mut folders: Vec<PathBuf> = installed
        .map(|i| i.created_folders.clone())
        .unwrap_or_default();
    let mut add = |folder: PathBuf| {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    };
    order
        .placed
        .created_folders
        .iter()
        .cloned()
        .for_each(&mut add);
    for target in targets {
        let planned = order
            .plan
            .files
            .iter()
            .any(|planned| planned.path == target.path);
        let (Some(after), true) = (&target.after, planned) else {
            continue;
        };
        let base = match &target.base {
            Some((text, attributes)) => Some(session.keep(text, attributes)?),
            None => None,
        };
        let like = target
            .now
            .as_ref()
            .map_or_else(Attributes::ours, |(_, attributes)| attributes.clone());
        managed.push(ManagedFile {
            path: target.resolved.clone(),
            base,
            ours: session.keep(after, &like)?,
        });
        missing_folders(session, &target.resolved)
            .into_iter()
            .for_each(&mut add);
    }
    Ok(Installed {
        version: crate::journal::record::VERSION,
        digest: order.payload.digest.clone(),
        install_root: session.args.install_root.clone(),
        shim: order.shim.to_owned(),
        handlers: order.handlers.to_vec(),
        method: order.plan.method,
        files: managed,
        additions: order.plan.additions.clone(),
        created_folders: folders,
        daemon: daemon_record(order.daemon),
        verified_boot: process::boot_id(&session.root),
    })
}

fn missing_folders(session: &Session<'_>, file: &Path) -> Vec<PathBuf> {
    let missing = file
        .ancestors()
        .skip(1)
        .take_while(|folder| !session.root.local(folder).exists());
    let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    missing.reverse();
    missing
}

/// Whether nothing is to be done: every byte is as it should be, the journal says so, and the running containerd has
/// read it.
fn is_unchanged(
    session: &Session<'_>,
    order: &Order<'_>,
    targets: &[Target],
    installed: Option<&Installed>,
    goal: &Installed,
) -> Result<bool, Failure> {
    let recorded = installed.is_some_and(|installed| {
        let known = Installed {
            verified_boot: goal.verified_boot.clone(),
            ..installed.clone()
        };
        known == *goal
    });
    if !recorded || targets.iter().any(Target::is_change) {
        return Ok(false);
    }
    let served = order.handlers.iter().all(|handler| {
        order
            .daemon
            .status
            .runtimes
            .get(handler)
            .is_some_and(|kind| Path::new(kind) == order.shim)
    });
    let mut control = session.control(daemon_record(order.daemon), PathBuf::new());
    let active_since = control
        .active_since_us()
        .map_err(|error| Failure::refused(&error))?;
    let read = active_since.is_some_and(|active_since| {
        targets.iter().all(|target| {
            let modified = crate::transaction::modified_us(&session.root.local(&target.resolved));
            modified.is_some_and(|modified| modified < active_since)
        })
    });
    Ok(served && read)
}

fn transact(
    session: &Session<'_>,
    order: &Order<'_>,
    targets: &[Target],
    goal: Installed,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut changes = Vec::new();
    for target in targets.iter().filter(|target| target.is_change()) {
        changes.push(change(session, target)?);
    }
    let shim = order.shim.to_string_lossy().into_owned();
    let kept = order
        .handlers
        .iter()
        .map(|handler| (handler.clone(), shim.clone()))
        .collect();
    let expect = Expectation {
        present: kept,
        absent: Vec::new(),
    };
    let created = targets
        .iter()
        .flat_map(|target| missing_folders(session, &target.resolved))
        .collect::<Vec<_>>();
    let mut transaction = session.transaction(
        "install",
        order.daemon,
        changes,
        expect,
        Some(goal),
        &order.payload.digest,
    );
    for folder in created {
        if !transaction.created_folders.contains(&folder) {
            transaction.created_folders.push(folder);
        }
    }
    session.transact(transaction, report)
}

fn change(session: &Session<'_>, target: &Target) -> Result<Change, Failure> {
    let keep = |text: &Option<String>, like: &Attributes| -> Result<Option<Snapshot>, Failure> {
        text.as_ref()
            .map(|text| session.keep(text, like))
            .transpose()
    };
    let ours = Attributes::ours();
    let like = target
        .now
        .as_ref()
        .map_or(&ours, |(_, attributes)| attributes);
    Ok(Change {
        path: target.resolved.clone(),
        before: keep(&target.now.as_ref().map(|(text, _)| text.clone()), like)?,
        after: keep(&target.after, like)?,
    })
}

/// Removes older payloads that no pod needs. Not being able to is no reason to fail: the next run tries again.
fn collect_old(session: &Session<'_>, daemon: &Daemon, digest: &str, report: &mut Report) {
    report.enter("collect");
    let install_root = &session.args.install_root;
    let state = daemon.state_folder(None);
    let Ok(bundles) = collect::bundles(&session.root, &state, install_root) else {
        return;
    };
    let Ok(mut recorded) = recorded(session, daemon) else {
        return;
    };
    recorded.insert(digest.to_owned());
    let needed = collect::needed(&session.root, install_root, &bundles, &recorded);
    match collect::collect(&session.root, install_root, &needed) {
        Ok((removed, _)) if removed.is_empty() => {}
        Ok((removed, _)) => tracing::info!("removed {} old payloads", removed.len()),
        Err(error) => tracing::warn!(
            "cannot remove old payloads: {}",
            crate::failure::chain(&error)
        ),
    }
}

/// Digests that containerd's records of sandboxes name.
fn recorded(
    session: &Session<'_>,
    daemon: &Daemon,
) -> Result<BTreeSet<String>, crate::cri::CriError> {
    let cri = Cri::new(&session.runtime, &session.root, &daemon.socket);
    let mut digests = BTreeSet::new();
    for sandbox in cri
        .sandboxes()?
        .into_iter()
        .filter(|sandbox| !sandbox.runtime_handler.is_empty())
    {
        if let Ok(Some(kind)) = cri.sandbox_runtime(&sandbox.id) {
            digests.extend(collect::digest_of(
                &session.args.install_root,
                Path::new(&kind),
            ));
        }
    }
    Ok(digests)
}

fn unique(handlers: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    handlers
        .iter()
        .filter(|handler| seen.insert(handler.as_str()))
        .cloned()
        .collect()
}
