//! What the process of a guest may still do once it is sealed.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::ptr::null_mut;

use serde_json::json;
use slipway_shim_container::{Profile, drop_privileges, seal};

use crate::child::enter;
use crate::child::{self, text};
use crate::config::Bundle;

/// Runs `work` as a guest's process would, root in its container with everything Kubernetes can grant.
fn sealed(work: impl FnOnce() -> Result<String, String>) -> String {
    let mut bundle = Bundle::new();
    let granted = json!([
        "CAP_DAC_OVERRIDE",
        "CAP_SYS_ADMIN",
        "CAP_SYS_PTRACE",
        "CAP_NET_RAW"
    ]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": granted, "effective": granted, "permitted": granted});
    let plan = bundle.plan();
    child::succeed(|| {
        enter(&plan).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        seal(&plan, Profile::Guest).map_err(text)?;
        work()
    })
}

/// The error of a system call that must not succeed.
fn error(number: libc::c_long, arguments: [u64; 6]) -> i32 {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the calls made here are refused, or fail on the null pointers they are given.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    match result {
        -1 => std::io::Error::last_os_error().raw_os_error().unwrap_or(0),
        _ => 0,
    }
}

/// Name, call, arguments, the error expected.
type Attempt = (&'static str, libc::c_long, [u64; 6], i32);

fn attempts(another: u64) -> Vec<Attempt> {
    let none = [0; 6];
    let (enosys, eperm, eacces) = (libc::ENOSYS, libc::EPERM, libc::EACCES);
    let absent = |name, call| (name, call, none, enosys);
    let code = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let private = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    vec![
        absent("execve", libc::SYS_execve),
        absent("execveat", libc::SYS_execveat),
        absent("clone3", libc::SYS_clone3),
        (
            "fork",
            libc::SYS_clone,
            [libc::SIGCHLD as u64, 0, 0, 0, 0, 0],
            eperm,
        ),
        (
            "a thread in a namespace",
            libc::SYS_clone,
            [
                (libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_NEWNET)
                    as u64,
                0,
                0,
                0,
                0,
                0,
            ],
            eperm,
        ),
        ("kill", libc::SYS_kill, [another, 9, 0, 0, 0, 0], eperm),
        ("kill all", libc::SYS_kill, [u64::MAX, 0, 0, 0, 0, 0], eperm),
        (
            "tgkill",
            libc::SYS_tgkill,
            [another, another, 9, 0, 0, 0],
            eperm,
        ),
        absent("ptrace", libc::SYS_ptrace),
        absent("process_vm_readv", libc::SYS_process_vm_readv),
        absent("process_vm_writev", libc::SYS_process_vm_writev),
        absent("pidfd_open", libc::SYS_pidfd_open),
        absent("pidfd_getfd", libc::SYS_pidfd_getfd),
        ("process_madvise", libc::SYS_process_madvise, none, eperm),
        absent("kcmp", libc::SYS_kcmp),
        absent("mount", libc::SYS_mount),
        absent("umount2", libc::SYS_umount2),
        absent("move_mount", libc::SYS_move_mount),
        absent("open_tree", libc::SYS_open_tree),
        absent("fsopen", libc::SYS_fsopen),
        absent("mount_setattr", libc::SYS_mount_setattr),
        absent("pivot_root", libc::SYS_pivot_root),
        absent("chroot", libc::SYS_chroot),
        absent("unshare", libc::SYS_unshare),
        absent("setns", libc::SYS_setns),
        absent("bpf", libc::SYS_bpf),
        absent("perf_event_open", libc::SYS_perf_event_open),
        absent("userfaultfd", libc::SYS_userfaultfd),
        absent("io_uring_setup", libc::SYS_io_uring_setup),
        absent("keyctl", libc::SYS_keyctl),
        absent("add_key", libc::SYS_add_key),
        absent("request_key", libc::SYS_request_key),
        absent("kexec_load", libc::SYS_kexec_load),
        absent("init_module", libc::SYS_init_module),
        absent("finit_module", libc::SYS_finit_module),
        absent("reboot", libc::SYS_reboot),
        absent("mknodat", libc::SYS_mknodat),
        absent("fchmodat", libc::SYS_fchmodat),
        absent("fchownat", libc::SYS_fchownat),
        absent("setxattr", libc::SYS_setxattr),
        absent("setuid", libc::SYS_setuid),
        absent("capset", libc::SYS_capset),
        absent("memfd_create", libc::SYS_memfd_create),
        absent("shmget", libc::SYS_shmget),
        absent("open_by_handle_at", libc::SYS_open_by_handle_at),
        absent("sethostname", libc::SYS_sethostname),
        absent("personality", libc::SYS_personality),
        absent("a call of the future", 1000),
        (
            "mmap code",
            libc::SYS_mmap,
            [0, 4096, code, private, u64::MAX, 0],
            eacces,
        ),
        (
            "mprotect code",
            libc::SYS_mprotect,
            [0, 4096, code, 0, 0, 0],
            eacces,
        ),
        (
            "prctl",
            libc::SYS_prctl,
            [libc::PR_SET_DUMPABLE as u64, 1, 0, 0, 0, 0],
            libc::EINVAL,
        ),
        (
            "a listener for system calls",
            libc::SYS_seccomp,
            [1, 8, 0, 0, 0, 0],
            libc::EINVAL,
        ),
        ("a limit", libc::SYS_prlimit64, [0, 7, 1, 0, 0, 0], eperm),
        (
            "another's limit",
            libc::SYS_prlimit64,
            [another, 7, 0, 0, 0, 0],
            eperm,
        ),
        (
            "ioctl",
            libc::SYS_ioctl,
            [0, 0x5412, 0, 0, 0, 0],
            libc::ENOTTY,
        ),
    ]
}

#[test]
fn a_guests_process_can_do_nothing_but_serve_its_guest() {
    let refused = sealed(|| {
        // The filter does not ask whether there is such a process: this one is number 1.
        for (name, number, arguments, expected) in attempts(2) {
            let found = error(number, arguments);
            if found != expected {
                return Err(format!("{name}: error {found}, not {expected}"));
            }
        }
        for (family, kind) in [
            (libc::AF_UNIX, libc::SOCK_STREAM),
            (libc::AF_NETLINK, libc::SOCK_RAW),
            (libc::AF_PACKET, libc::SOCK_RAW),
            (libc::AF_INET, libc::SOCK_RAW),
            (libc::AF_VSOCK, libc::SOCK_STREAM),
            (libc::AF_ALG, libc::SOCK_SEQPACKET),
        ] {
            let arguments = [family as u64, kind as u64, 0, 0, 0, 0];
            let found = error(libc::SYS_socket, arguments);
            if found != libc::EAFNOSUPPORT {
                return Err(format!("socket({family}, {kind}): error {found}"));
            }
        }
        Ok("all".to_owned())
    });
    assert_eq!(refused, "all");
}

#[test]
fn a_guests_process_has_files_sockets_threads_and_memory() {
    let done = sealed(|| {
        fs::create_dir("/made").map_err(text)?;
        fs::write("/made/a", "bytes").map_err(text)?;
        fs::rename("/made/a", "/made/b").map_err(text)?;
        fs::hard_link("/made/b", "/made/c").map_err(text)?;
        std::os::unix::fs::symlink("b", "/made/d").map_err(text)?;
        assert_eq!(fs::read_to_string("/made/d").map_err(text)?, "bytes");
        assert_eq!(fs::read_dir("/made").map_err(text)?.count(), 3);
        fs::remove_dir_all("/made").map_err(text)?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let thread = std::thread::Builder::new()
            .name("client".into())
            .spawn(move || {
                use std::io::Write;
                TcpStream::connect(address)?.write_all(b"over the network")
            });
        let mut said = String::new();
        let (mut stream, _) = listener.accept().map_err(text)?;
        stream.read_to_string(&mut said).map_err(text)?;
        thread
            .map_err(text)?
            .join()
            .expect("does not panic")
            .map_err(text)?;
        // SAFETY: a new mapping, which nobody else uses.
        let memory = unsafe {
            libc::mmap(
                null_mut(),
                1 << 20,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(memory, libc::MAP_FAILED);
        Ok(said)
    });
    assert_eq!(done, "over the network");
}

#[test]
fn landlock_refuses_what_the_filter_does_not_see() {
    // SAFETY: asks for the version.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, 1) };
    let done = sealed(|| {
        fs::create_dir_all("/a/b").map_err(text)?;
        fs::write("/a/x", "").map_err(text)?;
        // From one directory to another, which a careless ruleset forbids.
        fs::rename("/a/x", "/a/b/x").map_err(text)?;
        let null = fs::File::options()
            .write(true)
            .open("/dev/null")
            .map_err(text)?;
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&null) as u64;
        // TCGETS passes the filter, and /dev/null is no terminal.
        Ok(error(libc::SYS_ioctl, [descriptor, 0x5401, 0, 0, 0, 0]).to_string())
    });
    let expected = if version >= 5 {
        libc::EACCES
    } else {
        libc::ENOTTY
    };
    assert_eq!(done, expected.to_string());
}

#[test]
fn a_guests_process_can_abort() {
    let bundle = Bundle::new();
    let plan = bundle.plan();
    let ended = child::run(|| {
        enter(&plan).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        seal(&plan, Profile::Guest).map_err(text)?;
        // As PID 1 of its namespace it is killed by what it does to itself only where it cannot go on.
        std::process::abort()
    });
    assert!(matches!(ended, child::Ended::Signalled(_)), "{ended:?}");
}

#[test]
fn the_specs_filter_holds_beside_ours() {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["getppid", "seccomp"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["execve"], "action": "SCMP_ACT_ALLOW"},
        ],
    });
    let plan = bundle.plan();
    child::succeed(|| {
        enter(&plan).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        seal(&plan, Profile::Guest).map_err(text)?;
        assert_eq!(error(libc::SYS_getppid, [0; 6]), libc::EPERM);
        assert_eq!(error(libc::SYS_execve, [0; 6]), libc::ENOSYS);
        assert_eq!(error(libc::SYS_seccomp, [1, 0, 0, 0, 0, 0]), libc::EPERM);
        Ok(String::new())
    });
}
