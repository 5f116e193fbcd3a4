//! Programs run on an interpreter and compared with the rules they come from.

use proptest::prelude::*;
use slipway_shim_wire::Instruction;

use super::program::{THIS_ARCHITECTURE, emit};
use super::rules::{self, Condition, Filter, Rule, Test, Verdict};
use super::{ENOSYS, compile};

/// A system call as a filter sees it.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    architecture: u32,
    arguments: [u64; 6],
}

impl Call {
    fn new(number: u32, arguments: [u64; 6]) -> Self {
        Self {
            number,
            architecture: THIS_ARCHITECTURE,
            arguments,
        }
    }

    /// A word of `struct seccomp_data`.
    fn word(&self, offset: u32) -> u32 {
        let argument = |shift: u32| self.arguments[(offset as usize - 16) / 8] >> shift;
        match offset {
            0 => self.number,
            4 => self.architecture,
            16..64 if offset.is_multiple_of(8) => argument(0) as u32,
            16..64 if offset % 8 == 4 => argument(32) as u32,
            _ => panic!("no word at {offset}"),
        }
    }
}

/// Runs a program, counting its steps.
fn run(program: &[Instruction], call: Call) -> (u32, usize) {
    let (mut at, mut accumulator, mut steps) = (0, 0u32, 0);
    loop {
        let instruction = program[at];
        steps += 1;
        at += 1;
        let branch = |taken: bool| {
            usize::from(if taken {
                instruction.jt
            } else {
                instruction.jf
            })
        };
        match instruction.code {
            0x20 => accumulator = call.word(instruction.k),
            0x54 => accumulator &= instruction.k,
            0x05 => at += instruction.k as usize,
            0x15 => at += branch(accumulator == instruction.k),
            0x25 => at += branch(accumulator > instruction.k),
            0x35 => at += branch(accumulator >= instruction.k),
            0x06 => return (instruction.k, steps),
            code => panic!("unknown operation {code:#x}"),
        }
    }
}

/// What the rules say, directly.
fn decide(filter: &Filter, call: Call) -> u32 {
    let holds = |condition: &Condition| {
        let argument = call.arguments[condition.argument as usize];
        match condition.test {
            Test::Equal => argument == condition.value,
            Test::NotEqual => argument != condition.value,
            Test::Less => argument < condition.value,
            Test::LessOrEqual => argument <= condition.value,
            Test::Greater => argument > condition.value,
            Test::GreaterOrEqual => argument >= condition.value,
            Test::Masked(mask) => argument & mask == condition.value,
        }
    };
    match filter.calls.get(&call.number) {
        Some(verdict) => verdict
            .rules
            .iter()
            .find(|rule| rule.conditions.iter().all(holds))
            .map_or(verdict.otherwise, |rule| rule.action),
        None => match filter.newer {
            Some((newest, action)) if call.number > newest => action,
            _ => filter.default,
        },
    }
}

/// Values whose halves are equal, next to each other and far apart.
fn value() -> impl Strategy<Value = u64> {
    let half = prop_oneof![
        Just(0u64),
        Just(1),
        Just(2),
        Just(0xffff_fffe),
        Just(0xffff_ffff)
    ];
    (half.clone(), half).prop_map(|(high, low)| high << 32 | low)
}

fn condition() -> impl Strategy<Value = Condition> {
    let test = prop_oneof![
        Just(Test::Equal),
        Just(Test::NotEqual),
        Just(Test::Less),
        Just(Test::LessOrEqual),
        Just(Test::Greater),
        Just(Test::GreaterOrEqual),
        value().prop_map(Test::Masked),
    ];
    (0..6u32, test, value()).prop_map(|(argument, test, value)| Condition {
        argument,
        test,
        value: match test {
            Test::Masked(mask) => value & mask,
            _ => value,
        },
    })
}

fn action() -> impl Strategy<Value = u32> {
    (0..3u32).prop_map(|errno| libc::SECCOMP_RET_ERRNO | errno)
}

fn filter() -> impl Strategy<Value = Filter> {
    let rule = (prop::collection::vec(condition(), 1..6), action())
        .prop_map(|(conditions, action)| Rule { conditions, action });
    let verdict = (prop::collection::vec(rule, 0..4), action())
        .prop_map(|(rules, otherwise)| Verdict { rules, otherwise });
    let calls = prop::collection::btree_map(0..40u32, verdict, 0..24);
    (calls, action(), any::<bool>(), action()).prop_map(|(calls, default, newer, action)| {
        let newest = calls.keys().next_back().copied();
        Filter {
            newer: newest.filter(|_| newer).map(|newest| (newest + 2, action)),
            calls,
            default,
        }
    })
}

proptest! {
    // Each case is a program of its own with many calls.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_program_decides_as_its_rules_do(
        filter in filter(),
        calls in prop::collection::vec((0..45u32, prop::array::uniform6(value())), 1..24),
    ) {
        let program = emit(&filter);
        for (number, arguments) in calls {
            let call = Call::new(number, arguments);
            prop_assert_eq!(run(&program, call).0, decide(&filter, call));
        }
    }
}

fn profile(json: &str) -> slipway_shim_oci::Seccomp {
    serde_json::from_str(json).unwrap()
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap()
}

#[test]
fn rules_of_one_call_combine_as_with_libseccomp() {
    // Conditional rules are void once an unconditional one comes, and it is the first of those that holds.
    let filter = rules::translate(&profile(
        r#"{"defaultAction":"SCMP_ACT_KILL","syscalls":[
            {"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},
            {"names":["read","no-such-call"],"action":"SCMP_ACT_ALLOW"},
            {"names":["read"],"action":"SCMP_ACT_TRAP"},
            {"names":["write"],"action":"SCMP_ACT_KILL"},
            {"names":["openat"],"action":"SCMP_ACT_ALLOW","args":[
                {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]},
            {"names":["close"],"action":"SCMP_ACT_ALLOW","args":[
                {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":2,"op":"SCMP_CMP_EQ"}]}]}"#,
    ))
    .unwrap();
    let program = emit(&filter);
    let verdict = |call, arguments| run(&program, Call::new(number(call), arguments)).0;
    let (allow, kill) = (libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_KILL_THREAD);
    assert_eq!(verdict(libc::SYS_read, [1, 0, 0, 0, 0, 0]), allow);
    assert_eq!(verdict(libc::SYS_write, [0; 6]), kill);
    assert_eq!(verdict(libc::SYS_openat, [2, 0, 0, 0, 0, 0]), allow);
    assert_eq!(verdict(libc::SYS_openat, [3, 0, 0, 0, 0, 0]), kill);
    assert_eq!(verdict(libc::SYS_close, [1, 2, 0, 0, 0, 0]), allow);
    assert_eq!(verdict(libc::SYS_close, [1, 3, 0, 0, 0, 0]), kill);
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let (program, flags) = compile(&profile(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":13,
            "syscalls":[{"names":["clone3"],"action":"SCMP_ACT_ALLOW"}]}"#,
    ))
    .unwrap();
    let verdict = |number| run(&program, Call::new(number, [0; 6])).0;
    assert_eq!(verdict(435), libc::SECCOMP_RET_ALLOW);
    assert_eq!(verdict(434), libc::SECCOMP_RET_ERRNO | 13);
    assert_eq!(verdict(436), libc::SECCOMP_RET_ERRNO | ENOSYS);
    assert_ne!(flags, 0);
    let mut foreign = Call::new(435, [0; 6]);
    foreign.architecture = 0x4000_0003;
    assert_eq!(run(&program, foreign).0, libc::SECCOMP_RET_KILL_PROCESS);
}

#[test]
fn what_cannot_be_honoured_is_refused_by_field() {
    for (json, expected) in [
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]}"#,
            "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY is not supported",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_KILL",
                "args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
            "linux.seccomp.syscalls[0].args[0].index: 6 is not below 6",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}"#,
            "linux.seccomp.default.errnoRet: 5000 is not an errno value",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/agent.sock"}"#,
            "linux.seccomp.listenerPath: a seccomp listener is not supported",
        ),
    ] {
        let message = compile(&profile(json)).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_long_profile_is_searched_in_few_steps() {
    let names: Vec<String> = super::syscalls::numbers()
        .into_iter()
        .filter(|(_, number)| number % 2 == 0)
        .map(|(name, _)| format!("{name:?}"))
        .collect();
    let json = format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":[{}],"action":"SCMP_ACT_ALLOW"}}]}}"#,
        names.join(",")
    );
    let (program, _) = compile(&profile(&json)).unwrap();
    for number in 0..470 {
        assert!(run(&program, Call::new(number, [0; 6])).1 < 30, "{number}");
    }
}
