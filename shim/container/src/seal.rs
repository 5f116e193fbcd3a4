//! The spec's seccomp filter.

use std::io;

use slipway_shim_wire::Plan;

use crate::SetupError;
use crate::error::While;

/// Puts the spec's seccomp filter on the calling thread and those it will start; nothing happens without one.
/// Call it with one thread, after [`drop_privileges`](crate::drop_privileges), when all code is mapped.
///
/// # Errors
/// [`SetupError`] when the kernel refuses the program.
pub fn seal(plan: &Plan) -> Result<(), SetupError> {
    if plan.seccomp.is_empty() {
        return Ok(());
    }
    let action = || {
        format!(
            "install a seccomp filter of {} instructions",
            plan.seccomp.len()
        )
    };
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
    let flags = libc::c_ulong::from(plan.seccomp_flags);
    let speculation = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    match install(&program, flags) {
        // Linux before 4.17 does not know that flag, nor the mitigation it is about.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && flags & speculation != 0 => {
            install(&program, flags & !speculation).when(action)
        }
        done => done.when(action),
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
