//! `install`: detect, plan for all shims of the node, validate, place, and hand the rest to a transaction.

use std::path::Path;

use super::session::{Session, report_installed};
use super::settle::Found;
use super::{adopt, leftovers, placed, restore, running};
use crate::args::InstallArgs;
use crate::configuration::Wish;
use crate::containerd::handler::{Handler, Sandboxer};
use crate::containerd::version::Version;
use crate::crio::crun;
use crate::detect;
use crate::detect::server::Server;
use crate::failure::Failure;
use crate::host::mounts;
use crate::journal::{Installed, InstalledShim};
use crate::payload::place;
use crate::payload::source::{self, Payload};
use crate::report::{Outcome, Report, Steps as _};
use crate::spec::Spec;

/// Installs.
pub(super) fn install(args: &InstallArgs, report: &mut Report) -> Result<(), Failure> {
    let session = Session::begin(&args.node, report)?;
    session.recover(report, false)?;
    let result = install_locked(&session, args, &args.wanted(), report);
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
    spec: &Spec,
    report: &mut Report,
) -> Result<(), Failure> {
    let (root, install_root) = (&session.root, &args.node.install_root);
    let installed = session
        .journal
        .installed()
        .map_err(|error| Failure::refused(&error))?;
    refuse_other_root(installed.as_ref(), install_root)?;
    if let Some(installed) = &installed {
        restore::lost_files(session, installed, report)?;
    }
    let found = Found::on(session, installed, install_root.clone(), report)?;
    let (mut shim, payload) = match &spec.adopt {
        Some(path) => {
            report.enter("adopt");
            adopt::verify(&session.runtime, root, path)?;
            if found.daemon.server() == Server::CriO {
                crun::check(&session.runtime, root, path)?;
            }
            let is_ours = |name: &str, kind: &str| found.is_ours(name, kind);
            (
                adopt::shim(&found.dump.runtimes, is_ours, spec, path)?,
                None,
            )
        }
        None if found.daemon.server() == Server::CriO => return Err(no_shims()),
        None => {
            report.enter("payload");
            let payload = source::read(&args.payload, &spec.binary)
                .map_err(|error| Failure::refused(&error))?;
            mounts::check_install_root(root, install_root)
                .map_err(|error| Failure::refused(&error))?;
            detect::check_install_root(root, found.daemon.distribution, install_root)
                .map_err(|error| Failure::refused(&error))?;
            (placed_shim(spec, install_root, &payload), Some(payload))
        }
    };
    match found.daemon.server() {
        Server::Containerd => refuse_sandboxer(&shim.handlers, found.daemon.version)?,
        Server::CriO => crun::check_handlers(&shim.handlers)?,
    }
    let names = shim.names().join(", ");
    keep_used(&found, &args.shim, &mut shim, report)?;

    let mut shims = found
        .installed
        .as_ref()
        .map(|i| i.shims.clone())
        .unwrap_or_default();
    shims.insert(args.shim.clone(), shim.clone());
    let wish = Wish {
        shims,
        leftovers: spec.leftovers,
    };
    let configuration = found.configure(wish, report)?;
    leftovers::note(&found, &configuration, spec.leftovers, report);
    note_images(&found, spec, report);

    let placed = placed::place(
        &found,
        payload.as_ref(),
        found.is_bare(&configuration),
        report,
    )?;
    let unplace = |failure: Failure| {
        placed.undo(root);
        failure
    };
    if payload.is_some() {
        report.enter("probe");
        place::probe(&session.runtime, root, &shim.path)
            .map_err(|error| unplace(Failure::refused(&error)))?;
    }

    let goal = found
        .goal(&configuration, &placed.folders)
        .map_err(unplace)?;
    report_installed(report, &args.shim, &shim, goal.as_ref());
    if found
        .is_settled(&configuration, goal.as_ref())
        .map_err(unplace)?
    {
        leftovers::remove(&found, &configuration, spec.leftovers, report);
        placed::collect_old(&found, goal.as_ref(), report);
        return unchanged(&names, report);
    }
    match found.settle(
        "install",
        &configuration,
        goal.clone(),
        &placed.digest,
        report,
    ) {
        Ok(()) => {}
        Err(failure) if failure.outcome == Outcome::Refused => {
            forget(report);
            return Err(unplace(failure));
        }
        Err(failure) if failure.outcome == Outcome::RolledBack => {
            forget(report);
            if let Some(folder) = placed.undo_unless_used(root, placed::in_use(&found).as_ref()) {
                report.note(format!(
                    "{} stays: pods may run from it, which were started before the change was undone",
                    folder.display()
                ));
            }
            return Err(failure);
        }
        Err(failure) => return Err(failure),
    }
    leftovers::remove(&found, &configuration, spec.leftovers, report);
    placed::collect_old(&found, goal.as_ref(), report);
    report.end(
        Outcome::Done,
        "Installed",
        format!("{} serves {names}", found.daemon.server()),
    );
    Ok(())
}

/// Why CRI-O gets no shim (`docs/adr/0009`).
fn no_shims() -> Failure {
    Failure::refusal(
        "RuntimeUnsupported",
        "the kubelet uses CRI-O, which runs no shims of containerd: choose nodes with containerd, or a Shim with the source \
         adopt that names a crun with a Wasm engine on the node",
    )
}

/// A shim that does not stand on the node after all is not reported.
fn forget(report: &mut Report) {
    report.shim = None;
    report.handlers.clear();
}

fn unchanged(names: &str, report: &mut Report) -> Result<(), Failure> {
    let message = format!("the node already serves {names}");
    report.end(Outcome::Unchanged, "Unchanged", message);
    Ok(())
}

/// Handlers that are not asked for any more stay as long as pods run through them, and go with a later install: without
/// its table containerd could not restart a pod's containers.
fn keep_used(
    found: &Found<'_>,
    name: &str,
    shim: &mut InstalledShim,
    report: &mut Report,
) -> Result<(), Failure> {
    let before = found.installed.as_ref();
    let before = before.and_then(|installed| installed.shims.get(name));
    let asked = shim.names();
    for handler in before.into_iter().flat_map(|before| &before.handlers) {
        if asked.contains(&handler.name) {
            continue;
        }
        let pods = running::pods(found, std::slice::from_ref(&handler.name))?;
        if pods.is_empty() {
            continue;
        }
        report.note(format!(
            "handler {}, which is not asked for any more, stays for {}",
            handler.name,
            running::named(&pods)
        ));
        shim.handlers.push(Handler {
            shim: shim.path.clone(),
            ..handler.clone()
        });
    }
    Ok(())
}

fn refuse_other_root(installed: Option<&Installed>, install_root: &Path) -> Result<(), Failure> {
    match installed {
        Some(installed) if installed.install_root != install_root => Err(Failure::refusal(
            "InstallRootChanged",
            format!(
                "the node has an install below {}: uninstall it before using {}",
                installed.install_root.display(),
                install_root.display()
            ),
        )),
        _ => Ok(()),
    }
}

/// A shim of a payload, where it will be.
fn placed_shim(spec: &Spec, install_root: &Path, payload: &Payload) -> InstalledShim {
    let path = place::folder(install_root, &payload.digest).join(&spec.binary);
    InstalledShim {
        digest: Some(payload.digest.clone()),
        handlers: spec.tables(&path),
        path,
        served: Default::default(),
        local_image_pull: spec.local_image_pull,
    }
}

/// Refuses sandboxes by the shim where containerd cannot have them.
fn refuse_sandboxer(handlers: &[Handler], version: Version) -> Result<(), Failure> {
    let refused = handlers.iter().find(|handler| {
        let able = if handler.is_ours() {
            version.takes_our_sandboxes()
        } else {
            version.has_sandboxer()
        };
        handler.sandboxer == Sandboxer::Shim && !able
    });
    let Some(handler) = refused else {
        return Ok(());
    };
    let least = if handler.is_ours() { "2.4" } else { "2.0" };
    Err(Failure::refusal(
        "SandboxerUnsupported",
        format!(
            "the handler {} asks for sandboxer \"shim\", which takes containerd {least}, and this is {version}: use \"podsandbox\"",
            handler.name
        ),
    ))
}

/// Says what the node's way of pulling images means for those of Wasm.
fn note_images(found: &Found<'_>, spec: &Spec, report: &mut Report) {
    if found.daemon.server() == Server::CriO {
        if spec.local_image_pull {
            report.note("CRI-O has no option for local image pull and needs none".to_owned());
        }
        return;
    }
    let version = found.daemon.version;
    if spec.local_image_pull && !version.knows_local_image_pull() {
        report.note(format!(
            "containerd {version} has no option for local image pull and needs none: it pulls no other way"
        ));
    } else if !spec.local_image_pull
        && version.needs_local_image_pull()
        && !found.dump.local_image_pull
    {
        report.note(format!(
            "on containerd {version} images of the platform wasi/wasm made of tar layers need localImagePull; those for linux or with wasm layers do not"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::SHIM;
    use rstest::rstest;

    #[rstest]
    #[case(SHIM, (2, 4), None)]
    #[case(SHIM, (2, 3), Some("the handler h asks for sandboxer \"shim\", which takes containerd 2.4, and this is 2.3.1: use \"podsandbox\""))]
    #[case("containerd-shim-other-v1", (2, 0), None)]
    #[case("containerd-shim-other-v1", (1, 7), Some("the handler h asks for sandboxer \"shim\", which takes containerd 2.0, and this is 1.7.1: use \"podsandbox\""))]
    fn sandboxes_by_the_shim_take_a_containerd_that_can(
        #[case] binary: &str,
        #[case] version: (u32, u32),
        #[case] refusal: Option<&str>,
    ) {
        let mut handler = Handler::plain("h", &Path::new("/opt/x").join(binary));
        let version = Version {
            major: version.0,
            minor: version.1,
            patch: 1,
        };
        assert!(refuse_sandboxer(std::slice::from_ref(&handler), version).is_ok());
        handler.sandboxer = Sandboxer::Shim;
        let result = refuse_sandboxer(&[handler], version);
        assert_eq!(
            result.err().map(|failure| failure.message).as_deref(),
            refusal
        );
    }
}
