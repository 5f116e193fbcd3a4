//! From sorted rules to instructions: a binary search over ranges of call numbers, a chain of tests at the
//! leaves. A call costs about ten instructions instead of one for each name of the profile.

use slipway_shim_wire::Instruction;

use super::rules::{Condition, Filter, Rule, Test, Verdict};

// Classic BPF operations (linux/bpf_common.h), those the seccomp checker takes (kernel/seccomp.c).
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JUMP_GREATER_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// struct seccomp_data (linux/seccomp.h); both our architectures are little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// AUDIT_ARCH_* (linux/audit.h).
#[cfg(target_arch = "x86_64")]
pub(super) const THIS_ARCHITECTURE: u32 = 0xc000_003e;
/// AUDIT_ARCH_* (linux/audit.h).
#[cfg(target_arch = "aarch64")]
pub(super) const THIS_ARCHITECTURE: u32 = 0xc000_00b7;

/// x32 calls come with the architecture of x86-64 and this bit (asm/unistd.h).
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

fn step(code: u16, k: u32) -> Instruction {
    branch(code, k, 0, 0)
}

fn branch(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// The whole program.
pub(super) fn emit(filter: &Filter) -> Vec<Instruction> {
    let mut program = vec![
        step(LOAD, ARCHITECTURE),
        branch(JUMP_EQUAL, THIS_ARCHITECTURE, 1, 0),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
        step(LOAD, NUMBER),
    ];
    #[cfg(target_arch = "x86_64")]
    program.extend([
        branch(JUMP_GREATER_EQUAL, X32_BIT, 0, 1),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
    ]);
    program.extend(search(&ranges(filter)));
    program
}

/// From this number on, up to the next range: this verdict.
type Range = (u32, Verdict);

/// The verdicts of all numbers, neighbours of the same verdict put together; the first range starts at 0.
fn ranges(filter: &Filter) -> Vec<Range> {
    let always = |action| Verdict {
        rules: Vec::new(),
        otherwise: action,
    };
    let mut ranges: Vec<Range> = vec![(0, always(filter.default))];
    let mut push = |start: u32, verdict: Verdict| match ranges.last_mut() {
        Some(last) if last.0 == start => last.1 = verdict,
        Some(last) if last.1 == verdict => {}
        _ => ranges.push((start, verdict)),
    };
    let mut next = 0;
    for (number, verdict) in &filter.calls {
        if *number > next {
            push(next, always(filter.default));
        }
        push(*number, verdict.clone());
        next = number + 1;
    }
    push(next, always(filter.default));
    if let Some((newest, action)) = filter.newer {
        push(newest + 1, always(action));
    }
    merge(ranges)
}

/// Replacing a range's verdict can make it equal to the one before.
fn merge(ranges: Vec<Range>) -> Vec<Range> {
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        if merged.last().is_none_or(|last| last.1 != range.1) {
            merged.push(range);
        }
    }
    merged
}

/// With the call number loaded: finds its range and gives its verdict. Every path ends in a return.
fn search(ranges: &[Range]) -> Vec<Instruction> {
    let [first, .., _] = ranges else {
        return ranges.first().map_or_else(Vec::new, |range| leaf(&range.1));
    };
    debug_assert!(ranges.iter().all(|range| range.0 >= first.0));
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let boundary = right[0].0;
    let (left, right) = (search(left), search(right));
    let mut program = Vec::with_capacity(2 + left.len() + right.len());
    match u8::try_from(left.len()) {
        Ok(distance) => program.push(branch(JUMP_GREATER_EQUAL, boundary, distance, 0)),
        Err(_) => {
            // A conditional jump reaches 255 instructions, an unconditional one any distance.
            let distance = u32::try_from(left.len()).unwrap_or(u32::MAX);
            program.push(branch(JUMP_GREATER_EQUAL, boundary, 0, 1));
            program.push(step(JUMP, distance));
        }
    }
    program.extend(left);
    program.extend(right);
    program
}

fn leaf(verdict: &Verdict) -> Vec<Instruction> {
    let mut program = Vec::new();
    for rule in &verdict.rules {
        program.extend(conditional(rule));
    }
    program.push(step(RETURN, verdict.otherwise));
    program
}

/// Returns the rule's action if all its conditions hold, else goes on behind it. At most six conditions of
/// six instructions, so every jump fits.
fn conditional(rule: &Rule) -> Vec<Instruction> {
    let mut program = vec![step(RETURN, rule.action)];
    for condition in rule.conditions.iter().rev() {
        let behind = u8::try_from(program.len()).unwrap_or(u8::MAX);
        let mut test = test(condition, behind);
        test.extend(program);
        program = test;
    }
    program
}

/// Goes on if the condition holds, else jumps over the `behind` instructions that follow this test.
fn test(condition: &Condition, behind: u8) -> Vec<Instruction> {
    let low_at = ARGUMENTS + 8 * condition.argument;
    let high_at = low_at + 4;
    let (high, low) = halves(condition.value);
    // In the comparisons below: `high half decides` jumps of the second instruction count the two or three
    // after it, then `behind` to fail.
    match condition.test {
        Test::Equal => vec![
            step(LOAD, high_at),
            branch(JUMP_EQUAL, high, 0, behind + 2),
            step(LOAD, low_at),
            branch(JUMP_EQUAL, low, 0, behind),
        ],
        Test::NotEqual => vec![
            step(LOAD, high_at),
            branch(JUMP_EQUAL, high, 0, 2),
            step(LOAD, low_at),
            branch(JUMP_EQUAL, low, behind, 0),
        ],
        Test::Masked(mask) => {
            let (mask_high, mask_low) = halves(mask);
            vec![
                step(LOAD, high_at),
                step(AND, mask_high),
                branch(JUMP_EQUAL, high, 0, behind + 3),
                step(LOAD, low_at),
                step(AND, mask_low),
                branch(JUMP_EQUAL, low, 0, behind),
            ]
        }
        Test::Greater => above(JUMP_GREATER, high_at, low_at, condition.value, behind),
        Test::GreaterOrEqual => above(JUMP_GREATER_EQUAL, high_at, low_at, condition.value, behind),
        Test::LessOrEqual => below(JUMP_GREATER, high_at, low_at, condition.value, behind),
        Test::Less => below(JUMP_GREATER_EQUAL, high_at, low_at, condition.value, behind),
    }
}

/// Holds if the high half is above, or equal and `low_test` holds for the low half.
fn above(low_test: u16, high_at: u32, low_at: u32, value: u64, behind: u8) -> Vec<Instruction> {
    let (high, low) = halves(value);
    vec![
        step(LOAD, high_at),
        branch(JUMP_GREATER, high, 3, 0),
        branch(JUMP_EQUAL, high, 0, behind + 2),
        step(LOAD, low_at),
        branch(low_test, low, 0, behind),
    ]
}

/// Holds if `above` with the same test does not.
fn below(low_test: u16, high_at: u32, low_at: u32, value: u64, behind: u8) -> Vec<Instruction> {
    let (high, low) = halves(value);
    vec![
        step(LOAD, high_at),
        branch(JUMP_GREATER, high, behind + 3, 0),
        branch(JUMP_EQUAL, high, 0, 2),
        step(LOAD, low_at),
        branch(low_test, low, behind, 0),
    ]
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "taking the low half is the purpose"
)]
fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}
