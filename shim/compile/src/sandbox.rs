//! Giving up everything that compiling does not need.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::limits::{self, Limits};

/// Where the two descriptors of the compiling process stand.
const OUTPUT: i32 = 3;
const PIPE: i32 = 4;

/// Turns the calling process, which must have one thread, into one that can compute, and write to
/// `output` and `pipe`. Returns those two.
pub(crate) fn enter(
    output: BorrowedFd<'_>,
    pipe: OwnedFd,
    limits: Limits,
) -> io::Result<(File, File)> {
    // SAFETY: these calls take numbers only.
    unsafe {
        // With the parent dead nobody would rename what is compiled.
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        check(libc::setpriority(libc::PRIO_PROCESS, 0, limits::NICENESS))?;
    }
    let files = keep_only(output, pipe)?;
    limit(libc::RLIMIT_AS, limits.memory, 0)?;
    limit(libc::RLIMIT_FSIZE, limits::CODE, 0)?;
    // SIGXCPU tells what it was; where both are the same, it is SIGKILL, which tells nothing (getrlimit(2)).
    limit(libc::RLIMIT_CPU, limits.processor.as_secs(), 5)?;
    limit(libc::RLIMIT_CORE, 0, 0)?;
    drop_privileges()?;
    filter()?;
    Ok(files)
}

fn keep_only(output: BorrowedFd<'_>, pipe: OwnedFd) -> io::Result<(File, File)> {
    // SAFETY: numbers only. Both are first moved out of the way of both targets; after that nothing in
    // this process uses a descriptor but the two that are returned.
    unsafe {
        let high = PIPE + 1;
        let output = check(libc::fcntl(output.as_raw_fd(), libc::F_DUPFD, high))?;
        let moved = check(libc::fcntl(pipe.as_raw_fd(), libc::F_DUPFD, high))?;
        // Closed below with everything else.
        std::mem::forget(pipe);
        check(libc::dup2(output, OUTPUT))?;
        check(libc::dup2(moved, PIPE))?;
        let closed = libc::syscall(libc::SYS_close_range, high, libc::c_uint::MAX, 0);
        if closed != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((File::from_raw_fd(OUTPUT), File::from_raw_fd(PIPE)))
    }
}

/// Sets a limit, and the hard one so much above it.
fn limit(resource: Resource, value: u64, above: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value + above,
    };
    // SAFETY: `limit` is valid for the call.
    check(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

/// Nobody, in empty namespaces, without a way back.
fn drop_privileges() -> io::Result<()> {
    // SAFETY: numbers and an empty list only.
    unsafe {
        // A developer may run it as themselves, who have nothing to give up.
        if libc::geteuid() == 0 {
            // Best effort: the filter below leaves no call that could reach files, networks or others.
            libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC);
            check(libc::setgroups(0, std::ptr::null()))?;
            check(libc::setresgid(
                limits::NOBODY,
                limits::NOBODY,
                limits::NOBODY,
            ))?;
            check(libc::setresuid(
                limits::NOBODY,
                limits::NOBODY,
                limits::NOBODY,
            ))?;
        }
        check(libc::prctl(libc::PR_SET_DUMPABLE, 0))?;
        // Changing the user has cleared it.
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
    }
    Ok(())
}

/// Allows what the allocator, threads and the two descriptors need. Everything else looks like a kernel
/// that does not know it, which libraries put up with: glibc takes clone instead of clone3, Rust guesses
/// how many processors a cgroup allows.
fn filter() -> io::Result<()> {
    seccompiler::apply_filter(&program()?).map_err(|error| io::Error::other(error.to_string()))
}

fn program() -> io::Result<BpfProgram> {
    let invalid = |error: seccompiler::BackendError| io::Error::other(error.to_string());
    let allowed = [
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_fcntl,
        libc::SYS_fstat,
        libc::SYS_futex,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_lseek,
        libc::SYS_madvise,
        libc::SYS_membarrier,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_nanosleep,
        libc::SYS_prctl,
        libc::SYS_read,
        libc::SYS_rseq,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_set_robust_list,
        libc::SYS_set_tid_address,
        libc::SYS_sigaltstack,
        libc::SYS_write,
        libc::SYS_writev,
    ];
    let mut rules: std::collections::BTreeMap<_, _> =
        allowed.into_iter().map(|call| (call, Vec::new())).collect();
    // abort(3) signals itself, and only itself.
    let own = u64::from(std::process::id());
    let to_itself = || {
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own);
        condition.and_then(|condition| SeccompRule::new(vec![condition]))
    };
    for call in [libc::SYS_tgkill, libc::SYS_tkill] {
        rules.insert(call, vec![to_itself().map_err(invalid)?]);
    }
    // A thread of this process. Another process would not end with the parent, nor count against the same limits.
    let thread = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(THREAD | NAMESPACES),
        THREAD,
    )
    .and_then(|condition| SeccompRule::new(vec![condition]));
    rules.insert(libc::SYS_clone, vec![thread.map_err(invalid)?]);
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(invalid)?;
    let refuse = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)
        .and_then(TryInto::try_into)
        .map_err(invalid)
}

// Of 64 bits, of which the lower ones are flags; they are positive numbers.
const THREAD: u64 = (libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND) as u64;
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_may_be_threads_and_no_other_process() {
        let program = program().unwrap();
        // A filter is a thread's own, and that of the threads it starts.
        let filtered = std::thread::spawn(move || {
            // SAFETY: numbers only.
            check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).unwrap();
            seccompiler::apply_filter(&program).unwrap();
            let forked = [
                libc::SIGCHLD,
                libc::SIGCHLD | libc::CLONE_VM | libc::CLONE_VFORK,
            ];
            let forked = forked.map(|flags| {
                // SAFETY: without a stack this is a fork, or a vfork, and a child that there should not be ends at once.
                let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
                if pid == 0 {
                    // SAFETY: as above.
                    unsafe { libc::_exit(0) }
                }
                (pid, io::Error::last_os_error().raw_os_error())
            });
            let thread = std::thread::spawn(|| 7).join().unwrap();
            (forked, thread)
        });
        let refused = (-1, Some(libc::ENOSYS));
        assert_eq!(filtered.join().unwrap(), ([refused; 2], 7));
    }
}
