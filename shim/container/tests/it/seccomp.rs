//! Filters in the kernel.

use serde_json::{Value, json};
use slipway_shim_container::{Profile, drop_privileges, seal};

use crate::child::enter;
use crate::child::{self, Ended, text};
use crate::config::Bundle;

/// A system call's result, negative for an error.
fn call(number: libc::c_long, argument: libc::c_long) -> i64 {
    // SAFETY: the calls made here take numbers, and fail on wrong ones.
    let result = unsafe { libc::syscall(number, argument, 0, 0, 0, 0, 0) };
    if result < 0 {
        return -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    result
}

/// Runs `work` in a container with this profile.
fn with_profile(profile: Value, work: impl FnOnce() -> String) -> Ended {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["seccomp"] = profile;
    let plan = bundle.plan();
    child::run(|| {
        enter(&plan).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        seal(&plan, Profile::Spec).map_err(text)?;
        Ok(work())
    })
}

#[test]
fn a_list_of_what_is_forbidden() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],
        "syscalls": [
            {"names": ["getsid", "no_such_call"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 12,
             "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]},
        ],
    });
    let ended = with_profile(profile, || {
        format!(
            "{} {} {} {}",
            call(libc::SYS_getsid, 0),
            call(libc::SYS_getpgid, 7),
            call(libc::SYS_getpgid, 0x1_0000_0007),
            call(libc::SYS_getpid, 0),
        )
    });
    // A process id is 32 bits for the kernel, an argument 64 for the filter: 7 and "no such process" differ.
    let expected = format!("-{} -12 -{} 1", libc::EPERM, libc::ESRCH);
    assert_eq!(ended, Ended::Returned(Ok(expected)));
}

#[test]
fn a_list_of_what_is_allowed() {
    // What the test's own process needs to return and end; the call it asks about is not among it.
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["write", "exit", "exit_group", "brk", "mmap", "munmap", "mremap", "mprotect",
                "futex", "close", "rt_sigprocmask", "rt_sigaction", "sigaltstack", "madvise"],
             "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["getpgid"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 0xff, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
        ],
    });
    let ended = with_profile(profile, || {
        format!(
            "{} {} {} {} {}",
            call(libc::SYS_getppid, 0),
            call(libc::SYS_clone3, 0),
            call(libc::SYS_getpgid, 0),
            call(libc::SYS_getpgid, 1),
            call(461, 0),
        )
    });
    let (eperm, enosys) = (libc::EPERM, libc::ENOSYS);
    let expected = format!("-{eperm} -{enosys} 0 -{eperm} -{enosys}");
    assert_eq!(ended, Ended::Returned(Ok(expected)));
}

#[test]
fn a_killing_rule_kills() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getsid"], "action": "SCMP_ACT_KILL_PROCESS"}],
    });
    let ended = with_profile(profile, || call(libc::SYS_getsid, 0).to_string());
    assert_eq!(ended, Ended::Signalled(libc::SIGSYS));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn an_x32_call_ends_the_process_whatever_the_profile_allows() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
        "syscalls": [{"names": ["getsid"], "action": "SCMP_ACT_ERRNO"}],
    });
    let ended = with_profile(profile, || {
        call(0x4000_0000 | libc::SYS_getpid, 0).to_string()
    });
    assert_eq!(ended, Ended::Signalled(libc::SIGSYS));
}
