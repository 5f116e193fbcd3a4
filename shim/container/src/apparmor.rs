//! `process.apparmorProfile`.
//!
//! runc asks for a change of profile at its next `execve`. A worker executes nothing more, so it changes at
//! once (aa_change_profile(2)), while it is still allowed to: before its ids change and before
//! `no_new_privs`. The files are opened before the pivot, in the node's own `/proc`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use slipway_shim_wire::Plan;

use crate::SetupError;
use crate::error::While;
use crate::namespaces::open_proc;

/// A change of profile that has been made ready.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    profile: &'a str,
    file: File,
}

/// Opens what is needed to change to the plan's profile, if it names one.
pub(crate) fn wanted(plan: &Plan) -> Result<Option<Change<'_>>, SetupError> {
    let profile = plan.process.apparmor_profile.as_deref();
    profile.map(prepare).transpose()
}

fn prepare(profile: &str) -> Result<Change<'_>, SetupError> {
    let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled");
    if !enabled.is_ok_and(|text| text.first() == Some(&b'Y')) {
        return Err(SetupError::refused(
            format!("apply the AppArmor profile {profile:?}"),
            "AppArmor is not enabled on this node",
        ));
    }
    let file = open_attribute().when(|| format!("apply the AppArmor profile {profile:?}"))?;
    Ok(Change { profile, file })
}

/// Linux 5.8 gave each security module its own directory.
fn open_attribute() -> io::Result<File> {
    match open_proc(Path::new("/proc/self/attr/apparmor/current")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            open_proc(Path::new("/proc/self/attr/current"))
        }
        opened => opened,
    }
}

impl Change<'_> {
    /// Changes the profile.
    pub(crate) fn apply(mut self) -> Result<(), SetupError> {
        let command = format!("changeprofile {}", self.profile);
        self.file
            .write_all(command.as_bytes())
            .when(|| format!("apply the AppArmor profile {:?}", self.profile))
    }
}
