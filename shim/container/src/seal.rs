//! What seals a process: Landlock and seccomp filters, our own and the spec's.

mod assemble;
mod guest;

use std::io;

use slipway_shim_wire::Plan;

use crate::SetupError;
use crate::error::While;
use crate::landlock;

/// Which filters a process gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Landlock and our own filter, for a guest's process, whose code is mapped, and the spec's filter.
    Guest,
    /// The spec's alone.
    Spec,
}

/// Seals the calling thread and those it will start. Call it with one thread, after
/// [`drop_privileges`](crate::drop_privileges), when all code is mapped.
///
/// Of two filters the stricter answer holds (seccomp(2)), so the spec's may forbid more than ours and cannot allow
/// what ours forbids. Ours comes first, since the spec's may forbid installing another.
///
/// # Errors
/// [`SetupError`] when the kernel refuses a program.
pub fn seal(plan: &Plan, profile: Profile) -> Result<(), SetupError> {
    if profile == Profile::Guest {
        landlock::restrict().when(|| "restrict access to files by Landlock".to_owned())?;
        let program = guest::program();
        install_where_known(&program, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW)
            .when(|| "install the guest's seccomp filter".to_owned())?;
    }
    if plan.seccomp.is_empty() {
        return Ok(());
    }
    let program: Vec<libc::sock_filter> = plan
        .seccomp
        .iter()
        .map(|instruction| libc::sock_filter {
            code: instruction.code,
            jt: instruction.jt,
            jf: instruction.jf,
            k: instruction.k,
        })
        .collect();
    install_where_known(&program, libc::c_ulong::from(plan.seccomp_flags)).when(|| {
        format!(
            "install a seccomp filter of {} instructions",
            plan.seccomp.len()
        )
    })
}

/// Linux before 4.17 does not know SECCOMP_FILTER_FLAG_SPEC_ALLOW, nor the mitigation it is about.
fn install_where_known(program: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<()> {
    let speculation = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    match install(program, flags) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && flags & speculation != 0 => {
            install(program, flags & !speculation)
        }
        done => done,
    }
}

fn install(program: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<()> {
    let length = libc::c_ushort::try_from(program.len())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `program` points to `len` instructions that live until the call returns; the kernel copies and
    // checks them, and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}
