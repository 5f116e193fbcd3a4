//! From a list of calls to a classic BPF program.

use libc::sock_filter;

// Classic BPF operations (linux/bpf_common.h).
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
#[cfg(target_arch = "x86_64")]
const JUMP_GREATER_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// struct seccomp_data (linux/seccomp.h); both our architectures are little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// AUDIT_ARCH_* (linux/audit.h).
#[cfg(target_arch = "x86_64")]
const THIS_ARCHITECTURE: u32 = 0xc000_003e;
/// AUDIT_ARCH_* (linux/audit.h).
#[cfg(target_arch = "aarch64")]
const THIS_ARCHITECTURE: u32 = 0xc000_00b7;

/// x32 calls come with the architecture of x86-64 and this bit (asm/unistd.h).
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

/// What has to hold of an argument. The kernel takes those asked about here as 32 bits, pointers aside.
#[derive(Debug, Clone, Copy)]
pub(super) enum Test {
    /// One of these.
    OneOf(&'static [u32]),
    /// `argument & mask` is one of these.
    Masked(u32, &'static [u32]),
    /// Exactly this.
    Is(u32),
    /// A null pointer.
    Null,
}

/// A call that is allowed if its arguments pass, and fails with `otherwise` if not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditional<'a> {
    pub(super) call: libc::c_long,
    pub(super) tests: &'a [(u32, Test)],
    pub(super) otherwise: libc::c_int,
}

/// Allows `always` and `conditional`; any other call does not exist (ENOSYS), which libraries put up with. A call
/// of another architecture ends the process.
///
/// Linux since 5.11 remembers which calls are always allowed and runs the program for the others only, so there is
/// no search in it.
pub(super) fn assemble(
    conditional: &[Conditional<'_>],
    always: &[libc::c_long],
) -> Vec<sock_filter> {
    let mut program = Vec::with_capacity(2 * always.len() + 16 * conditional.len());
    program.extend([
        step(LOAD, ARCHITECTURE),
        branch(THIS_ARCHITECTURE, 1, 0),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
        step(LOAD, NUMBER),
    ]);
    #[cfg(target_arch = "x86_64")]
    program.extend([
        sock_filter {
            code: JUMP_GREATER_EQUAL,
            jt: 0,
            jf: 1,
            k: X32_BIT,
        },
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
    ]);
    for one in conditional {
        let body = body(one);
        program.push(branch(number(one.call), 0, distance(body.len())));
        program.extend(body);
    }
    for call in always {
        // The number, then its verdict: short jumps, however long the list becomes.
        program.push(branch(number(*call), 0, 1));
        program.push(step(RETURN, libc::SECCOMP_RET_ALLOW));
    }
    program.push(step(RETURN, errno(libc::ENOSYS)));
    program
}

fn body(one: &Conditional<'_>) -> Vec<sock_filter> {
    // From the end, since jumps to the refusal are counted from where they stand.
    let mut body = vec![
        step(RETURN, libc::SECCOMP_RET_ALLOW),
        step(RETURN, errno(one.otherwise)),
    ];
    for (argument, test) in one.tests.iter().rev() {
        let refusal = body.len() - 1;
        let mut test = check(*argument, *test, refusal);
        test.append(&mut body);
        body = test;
    }
    body
}

/// Goes on behind itself if the test holds, else `refusal` instructions further.
fn check(argument: u32, test: Test, refusal: usize) -> Vec<sock_filter> {
    let low = ARGUMENTS + 8 * argument;
    match test {
        Test::OneOf(values) => any(vec![step(LOAD, low)], values, refusal),
        Test::Masked(mask, values) => any(vec![step(LOAD, low), step(AND, mask)], values, refusal),
        Test::Is(value) => vec![step(LOAD, low), branch(value, 0, distance(refusal))],
        Test::Null => vec![
            step(LOAD, low),
            branch(0, 0, distance(refusal + 2)),
            step(LOAD, low + 4),
            branch(0, 0, distance(refusal)),
        ],
    }
}

/// What is loaded is one of `values`.
fn any(mut program: Vec<sock_filter>, values: &[u32], refusal: usize) -> Vec<sock_filter> {
    for (index, value) in values.iter().enumerate() {
        let behind = values.len() - index - 1;
        let otherwise = if behind == 0 { distance(refusal) } else { 0 };
        program.push(branch(*value, distance(behind), otherwise));
    }
    program
}

fn step(code: u16, k: u32) -> sock_filter {
    sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Compares what is loaded with `k`.
fn branch(k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        code: JUMP_EQUAL,
        jt,
        jf,
        k,
    }
}

fn errno(number: libc::c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | number.unsigned_abs()
}

/// Bodies are a few dozen instructions long.
fn distance(instructions: usize) -> u8 {
    u8::try_from(instructions).unwrap_or(u8::MAX)
}

/// Calls are small positive numbers.
fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}
