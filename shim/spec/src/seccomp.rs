//! `linux.seccomp`: a profile by names to a classic BPF program for this architecture.
//!
//! Meanings are libseccomp's as runc drives it (runc `libcontainer/seccomp/seccomp_linux.go`, libseccomp
//! `src/db.c`):
//! - a name this architecture does not have is skipped; a rule whose action is the default action is skipped;
//! - the conditions of a rule all have to hold, unless two look at the same argument: then any one suffices;
//! - of a call's rules the first without conditions holds, and makes its conditional ones void; conditional
//!   ones are tried in the order given;
//! - a call newer than every call the profile names gets ENOSYS, so that libraries fall back
//!   (runc `libcontainer/seccomp/patchbpf`).
//!
//! A worker makes calls of its own architecture only, so whatever `architectures` allows, a call in another
//! one (i386 or x32 on x86-64) ends the process.

mod program;
mod rules;
#[cfg(test)]
mod simulate;
mod syscalls;

use slipway_shim_oci::{Seccomp, SeccompAction as Action, SeccompFlag as Flag};
use slipway_shim_wire::Instruction;

use crate::SpecError;

/// The longest program the kernel takes (`BPF_MAXINSNS`, linux/bpf_common.h).
const MAX_INSTRUCTIONS: usize = 4096;

/// The program and its `SECCOMP_FILTER_FLAG_*`.
pub(crate) fn compile(profile: &Seccomp) -> Result<(Vec<Instruction>, u32), SpecError> {
    let flags = flags(profile)?;
    let filter = rules::translate(profile)?;
    let program = program::emit(&filter);
    if program.len() > MAX_INSTRUCTIONS {
        return Err(SpecError::invalid(
            "linux.seccomp.syscalls",
            format!(
                "{} instructions are needed, and the kernel takes {MAX_INSTRUCTIONS}; simplify the profile",
                program.len()
            ),
        ));
    }
    Ok((program, flags))
}

fn flags(profile: &Seccomp) -> Result<u32, SpecError> {
    if profile
        .listener_path
        .as_ref()
        .is_some_and(|path| !path.as_os_str().is_empty())
    {
        return Err(SpecError::unsupported(
            "linux.seccomp.listenerPath",
            "a seccomp listener",
        ));
    }
    let Some(flags) = &profile.flags else {
        // As runc since 1.2: without flags, no mitigation that costs every process its speculative stores.
        return Ok(bits(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW));
    };
    let mut translated = 0;
    for (index, flag) in flags.iter().enumerate() {
        translated |= match flag {
            Flag::SeccompFilterFlagLog => bits(libc::SECCOMP_FILTER_FLAG_LOG),
            Flag::SeccompFilterFlagSpecAllow => bits(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW),
            // The filter goes in while the worker has one thread.
            Flag::SeccompFilterFlagTsync => 0,
            Flag::SeccompFilterFlagWaitKillableRecv => {
                return Err(SpecError::unsupported(
                    format!("linux.seccomp.flags[{index}]"),
                    "waiting for a seccomp listener",
                ));
            }
        };
    }
    Ok(translated)
}

/// The flags are small; libc's type for them differs between C libraries.
fn bits(flag: libc::c_ulong) -> u32 {
    u32::try_from(flag).expect("SECCOMP_FILTER_FLAG_* are below 2^32")
}

/// An action as seccomp(2)'s return value.
fn action(field: &str, action: Action, errno: Option<u32>) -> Result<u32, SpecError> {
    let data = match (action, errno) {
        // The kernel caps the number at MAX_ERRNO.
        (Action::ScmpActErrno, Some(errno)) if errno > 4095 => {
            return Err(SpecError::invalid(
                format!("{field}.errnoRet"),
                format!("{errno} is not an errno value"),
            ));
        }
        (Action::ScmpActTrace, Some(data)) if data > 0xffff => {
            return Err(SpecError::invalid(
                format!("{field}.errnoRet"),
                format!("{data} is longer than 16 bits"),
            ));
        }
        (Action::ScmpActErrno | Action::ScmpActTrace, data) => data.unwrap_or(EPERM),
        _ => 0,
    };
    let value = match action {
        Action::ScmpActKill | Action::ScmpActKillThread => libc::SECCOMP_RET_KILL_THREAD,
        Action::ScmpActKillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        Action::ScmpActTrap => libc::SECCOMP_RET_TRAP,
        Action::ScmpActErrno => libc::SECCOMP_RET_ERRNO,
        Action::ScmpActTrace => libc::SECCOMP_RET_TRACE,
        Action::ScmpActLog => libc::SECCOMP_RET_LOG,
        Action::ScmpActAllow => libc::SECCOMP_RET_ALLOW,
        Action::ScmpActNotify => {
            return Err(SpecError::unsupported(
                format!("{field}.action"),
                "SCMP_ACT_NOTIFY",
            ));
        }
    };
    Ok(value | data)
}

const EPERM: u32 = libc::EPERM.unsigned_abs();
const ENOSYS: u32 = libc::ENOSYS.unsigned_abs();
