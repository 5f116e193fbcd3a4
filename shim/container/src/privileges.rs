//! Giving up root.

use std::path::Path;

use rustix::fs::{Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, chdir, getcwd, set_dumpable_behavior, setrlimit, umask,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use slipway_shim_wire::{Plan, Process};

use crate::SetupError;
use crate::error::While;

/// The capabilities a guest can make use of, by what WASI offers: file permissions (CAP_DAC_OVERRIDE 1,
/// CAP_DAC_READ_SEARCH 2, CAP_FOWNER 3, CAP_FSETID 4) and ports below 1024 (CAP_NET_BIND_SERVICE 10). The
/// others a spec may grant (Kubernetes grants 14 by default) serve nobody but somebody who has broken out of
/// the engine, so a worker keeps the intersection.
pub const USABLE_CAPABILITIES: u64 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 10;

/// Gives up everything the spec does not grant, for good: `no_new_privs` is always set. Resource limits,
/// umask, ids, capabilities and working directory are those of the spec afterwards.
///
/// # Errors
/// [`SetupError`] saying what was being done. The process is of no use then and should end.
pub fn drop_privileges(plan: &Plan) -> Result<(), SetupError> {
    let process = &plan.process;
    set_limits(process)?;
    umask(Mode::from_raw_mode(process.umask.unwrap_or(0o022)));

    let capabilities = Granted::from(process);
    drop_bounding(capabilities.bounding)?;
    // Early and late: a directory only root may enter works as it does with runc, and so does one on a
    // file system that root may not enter (runc `libcontainer/init_linux.go`, finalizeNamespace).
    let early = chdir(&process.cwd);
    set_ids(process)?;
    if early.is_err() {
        chdir(&process.cwd)
            .when(|| format!("change to the working directory {}", process.cwd.display()))?;
    }
    check_cwd(&process.cwd)?;
    capabilities.apply()?;
    set_no_new_privs(true).when(|| "set no_new_privs".to_owned())?;
    // After the ids, since changing those changes this.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .when(|| "forbid core dumps and tracing".to_owned())
}

/// `RLIM_INFINITY` of the spec is the kernel's.
pub(crate) fn set_limits(process: &Process) -> Result<(), SetupError> {
    for limit in &process.rlimits {
        let action = || {
            format!(
                "set resource limit {} to {}, {}",
                limit.resource, limit.soft, limit.hard
            )
        };
        let resource = resource(limit.resource).ok_or(Errno::INVAL).when(action)?;
        let value = |number: u64| (number != u64::MAX).then_some(number);
        setrlimit(
            resource,
            Rlimit {
                current: value(limit.soft),
                maximum: value(limit.hard),
            },
        )
        .when(action)?;
    }
    Ok(())
}

/// asm-generic/resource.h, which both our architectures use.
fn resource(number: u32) -> Option<Resource> {
    Some(match number {
        0 => Resource::Cpu,
        1 => Resource::Fsize,
        2 => Resource::Data,
        3 => Resource::Stack,
        4 => Resource::Core,
        5 => Resource::Rss,
        6 => Resource::Nproc,
        7 => Resource::Nofile,
        8 => Resource::Memlock,
        9 => Resource::As,
        10 => Resource::Locks,
        11 => Resource::Sigpending,
        12 => Resource::Msgqueue,
        13 => Resource::Nice,
        14 => Resource::Rtprio,
        15 => Resource::Rttime,
        _ => return None,
    })
}

/// Capability sets as they will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Granted {
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

impl From<&Process> for Granted {
    fn from(process: &Process) -> Self {
        let sets = process.capabilities;
        let inheritable = sets.inheritable & USABLE_CAPABILITIES;
        let ambient = sets.ambient & sets.permitted & inheritable;
        // A native container loses what is not ambient when runc executes its program as an ordinary user; nothing is
        // executed here (capabilities(7), "Transformation of capabilities during execve()").
        let permitted = match process.uid {
            0 => sets.permitted & USABLE_CAPABILITIES,
            _ => ambient,
        };
        Self {
            bounding: sets.bounding & USABLE_CAPABILITIES,
            // The kernel refuses sets that are not subsets of the permitted one (capset(2), prctl(2)).
            effective: sets.effective & permitted,
            permitted,
            inheritable,
            ambient,
        }
    }
}

impl Granted {
    fn apply(self) -> Result<(), SetupError> {
        let set = CapabilitySet::from_bits_retain;
        set_capabilities(
            None,
            CapabilitySets {
                effective: set(self.effective),
                permitted: set(self.permitted),
                inheritable: set(self.inheritable),
            },
        )
        .when(|| "set the capabilities".to_owned())?;
        clear_ambient_capability_set().when(|| "clear the ambient capabilities".to_owned())?;
        for capability in each(self.ambient) {
            configure_capability_in_ambient_set(capability, true)
                .when(|| format!("make {capability:?} ambient"))?;
        }
        Ok(())
    }
}

fn each(bits: u64) -> impl Iterator<Item = CapabilitySet> {
    (0..64)
        .map(|number| 1u64 << number)
        .filter(move |bit| bits & bit != 0)
        .map(CapabilitySet::from_bits_retain)
}

fn drop_bounding(kept: u64) -> Result<(), SetupError> {
    for capability in each(!kept) {
        match capability_is_in_bounding_set(capability) {
            // Above what this kernel knows.
            Err(Errno::INVAL) => break,
            Ok(false) => {}
            Ok(true) | Err(_) => {
                remove_capability_from_bounding_set(capability)
                    .when(|| format!("drop {capability:?} from the bounding set"))?;
            }
        }
    }
    Ok(())
}

fn set_ids(process: &Process) -> Result<(), SetupError> {
    // Otherwise capabilities go with the user id 0, before the wanted ones are set.
    set_keep_capabilities(true).when(|| "keep capabilities".to_owned())?;
    let groups: Vec<Gid> = process
        .additional_gids
        .iter()
        .map(|gid| Gid::from_raw(*gid))
        .collect();
    set_thread_groups(&groups).when(|| format!("set the groups {:?}", process.additional_gids))?;
    let gid = Gid::from_raw(process.gid);
    set_thread_res_gid(gid, gid, gid).when(|| format!("set the group id {}", process.gid))?;
    let uid = Uid::from_raw(process.uid);
    set_thread_res_uid(uid, uid, uid).when(|| format!("set the user id {}", process.uid))?;
    set_keep_capabilities(false).when(|| "keep no capabilities".to_owned())
}

/// CVE-2024-21626: a working directory outside the root shows as a path that does not start with `/`.
fn check_cwd(cwd: &Path) -> Result<(), SetupError> {
    let action = || format!("change to the working directory {}", cwd.display());
    let here = getcwd(Vec::new()).when(action)?;
    if here.as_bytes().first() != Some(&b'/') {
        return Err(SetupError::refused(
            action(),
            "it lies outside the container",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use slipway_shim_wire::Capabilities;

    use super::*;

    /// What Kubernetes grants by default.
    const DEFAULT: u64 = 0xa804_25fb;

    #[test]
    fn only_what_a_guest_can_use_is_kept() {
        let process = Process {
            capabilities: Capabilities {
                bounding: DEFAULT,
                effective: DEFAULT,
                permitted: DEFAULT,
                inheritable: 0,
                ambient: DEFAULT,
            },
            ..Process::default()
        };
        let granted = Granted::from(&process);
        // CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_NET_BIND_SERVICE.
        assert_eq!(granted.effective, 1 << 1 | 1 << 3 | 1 << 4 | 1 << 10);
        assert_eq!(granted.bounding, granted.permitted);
        assert_eq!(granted.ambient, 0);
    }

    #[test]
    fn an_ordinary_user_keeps_what_is_ambient_only() {
        let bind = 1 << 10;
        let process = Process {
            uid: 1234,
            capabilities: Capabilities {
                bounding: DEFAULT,
                effective: DEFAULT,
                permitted: DEFAULT,
                inheritable: bind,
                ambient: bind,
            },
            ..Process::default()
        };
        let granted = Granted::from(&process);
        assert_eq!((granted.effective, granted.permitted), (bind, bind));
    }

    #[test]
    fn nothing_granted_is_nothing_kept() {
        let granted = Granted::from(&Process::default());
        assert_eq!((granted.bounding, granted.permitted), (0, 0));
    }
}
