//! What the process of a guest may ask of the kernel once its code is mapped: what wasmtime, WASI, tokio and the
//! C library need, and nothing by which somebody who has broken out of the engine would get further.
//!
//! Not among it: other programs (execve), other processes (fork, kill, ptrace, pidfd, process_vm), executable
//! memory, namespaces, mounts, devices, keys, BPF, perf, io_uring, userfaultfd, System V IPC, file modes, owners
//! and extended attributes, raw, packet and netlink sockets, resource limits.

use libc::{EACCES, EAFNOSUPPORT, EINVAL, ENOTTY, EPERM};

use super::assemble::{Conditional, Test, assemble};

/// The program for this process.
pub(super) fn program() -> Vec<libc::sock_filter> {
    let own = std::process::id();
    let to_itself = [(0, Test::Is(own))];
    let own_limits = [(0, Test::OneOf(&[0])), (2, Test::Null)];
    let conditional = [
        // Wasmtime maps and protects memory of guests all the time, so these come first.
        when(libc::SYS_mprotect, NO_CODE, EACCES),
        when(libc::SYS_mmap, NO_CODE, EACCES),
        when(libc::SYS_ioctl, IOCTL, ENOTTY),
        when(libc::SYS_process_madvise, ON_ITSELF, EPERM),
        when(libc::SYS_clone, A_THREAD, EPERM),
        when(libc::SYS_socket, INTERNET, EAFNOSUPPORT),
        when(libc::SYS_socketpair, LOCAL, EAFNOSUPPORT),
        when(libc::SYS_prctl, NAMES, EINVAL),
        when(libc::SYS_seccomp, STRICTER, EINVAL),
        // abort(3) signals its own process, musl's its own thread: the first one has the process's number.
        when(libc::SYS_kill, &to_itself, EPERM),
        when(libc::SYS_tgkill, &to_itself, EPERM),
        when(libc::SYS_tkill, &to_itself, EPERM),
        when(libc::SYS_prlimit64, &own_limits, EPERM),
    ];
    assemble(&conditional, &[ALWAYS, OF_ARCHITECTURE].concat())
}

fn when(call: libc::c_long, tests: &[(u32, Test)], otherwise: libc::c_int) -> Conditional<'_> {
    Conditional {
        call,
        tests,
        otherwise,
    }
}

/// Code that no compiler of ours wrote never becomes executable.
const NO_CODE: &[(u32, Test)] = &[(2, Test::Masked(bits(libc::PROT_EXEC), &[0]))];

/// `PAGEMAP_SCAN` (linux/fs.h), by which wasmtime finds the pages of a memory that a guest has touched. The
/// others are the C library's for terminals and the standard library's for sockets.
const IOCTL: &[(u32, Test)] = &[(
    1,
    Test::OneOf(&[0xc060_6610, FIONBIO, FIOCLEX, FIONREAD, TCGETS, TIOCGWINSZ]),
)];
// asm-generic/ioctls.h, which both our architectures use; their type differs between C libraries.
const FIONBIO: u32 = 0x5421;
const FIOCLEX: u32 = 0x5451;
const FIONREAD: u32 = 0x541b;
const TCGETS: u32 = 0x5401;
const TIOCGWINSZ: u32 = 0x5413;

/// `PIDFD_SELF` (linux/pidfd.h), with which wasmtime gives back many pieces of memory at once.
const ON_ITSELF: &[(u32, Test)] = &[(0, Test::Is((-10000_i32).cast_unsigned()))];

/// A thread of this process, in the namespaces it has.
const A_THREAD: &[(u32, Test)] = &[(0, Test::Masked(THREAD | NAMESPACES, &[THREAD]))];
const THREAD: u32 = bits(libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND);
const NAMESPACES: u32 = bits(
    libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET,
);

/// `wasi:sockets` has TCP and UDP. The type comes with SOCK_NONBLOCK and SOCK_CLOEXEC.
const INTERNET: &[(u32, Test)] = &[
    (0, Test::OneOf(&[bits(libc::AF_INET), bits(libc::AF_INET6)])),
    // SOCK_TYPE_MASK (linux/net.h)
    (
        1,
        Test::Masked(0xf, &[bits(libc::SOCK_STREAM), bits(libc::SOCK_DGRAM)]),
    ),
];

/// tokio's signal handlers write to one. Not a pair of datagram sockets: those may be connected to others later
/// (`unix_dgram_connect` in net/unix/af_unix.c), to a socket in a mounted directory, say.
const LOCAL: &[(u32, Test)] = &[
    (0, Test::Is(bits(libc::AF_UNIX))),
    (1, Test::Masked(0xf, &[bits(libc::SOCK_STREAM)])),
];

/// Threads have names.
const NAMES: &[(u32, Test)] = &[(
    0,
    Test::OneOf(&[bits(libc::PR_SET_NAME), bits(libc::PR_GET_NAME)]),
)];

/// Another filter can only forbid more; a listener would let this process decide about its own calls.
const STRICTER: &[(u32, Test)] = &[
    // SECCOMP_SET_MODE_FILTER (linux/seccomp.h)
    (0, Test::Is(1)),
    // SECCOMP_FILTER_FLAG_NEW_LISTENER
    (1, Test::Masked(8, &[0])),
];

const fn bits(number: libc::c_int) -> u32 {
    number.cast_unsigned()
}

const ALWAYS: &[libc::c_long] = &[
    // Bytes.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_pipe2,
    // Waiting.
    libc::SYS_futex,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_setitimer,
    libc::SYS_getitimer,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_restart_syscall,
    // Memory.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    // Connections.
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    // Files.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_utimensat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    // The process itself.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getcpu,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
];

/// The older names of the same, which musl still uses.
#[cfg(target_arch = "x86_64")]
const OF_ARCHITECTURE: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_time,
];

/// renameat, which musl still uses; the libc crate has no name for it here.
#[cfg(target_arch = "aarch64")]
const OF_ARCHITECTURE: &[libc::c_long] = &[38];
