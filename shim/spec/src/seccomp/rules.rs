//! A profile's rules, sorted by system call number.

use std::collections::{BTreeMap, BTreeSet};

use slipway_shim_oci::{Seccomp, SeccompArg, SeccompOperator, SeccompSyscall};

use super::{ENOSYS, action, syscalls};
use crate::SpecError;

/// A test of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) argument: u32,
    pub(super) test: Test,
    pub(super) value: u64,
}

/// How an argument is compared, unsigned, in 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `argument & mask == value`, the value masked already.
    Masked(u64),
}

/// All conditions hold: this action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: u32,
}

/// What happens on one system call: the first rule that holds, else `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) rules: Vec<Rule>,
    pub(super) otherwise: u32,
}

/// A profile for this architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    /// By system call number.
    pub(super) calls: BTreeMap<u32, Verdict>,
    /// For calls not in `calls`.
    pub(super) default: u32,
    /// For calls above every one the profile names; `None` where that is the default too.
    pub(super) newer: Option<(u32, u32)>,
}

/// The most entries of `syscalls` that are read, and the most names and arguments of one.
const MAX_ENTRIES: usize = 4096;

pub(super) fn translate(profile: &Seccomp) -> Result<Filter, SpecError> {
    let default = action(
        "linux.seccomp.default",
        profile.default_action,
        profile.default_errno_ret,
    )?;
    let entries = profile.syscalls.as_deref().unwrap_or_default();
    if entries.len() > MAX_ENTRIES {
        return Err(SpecError::invalid(
            "linux.seccomp.syscalls",
            format!("{} entries, more than {MAX_ENTRIES}", entries.len()),
        ));
    }
    let mut calls: BTreeMap<u32, Verdict> = BTreeMap::new();
    let numbers = syscalls::numbers();
    let mut settled: BTreeSet<u32> = BTreeSet::new();
    let mut newest = None;
    for (index, entry) in entries.iter().enumerate() {
        let field = format!("linux.seccomp.syscalls[{index}]");
        let action = action(&field, entry.action, entry.errno_ret)?;
        let alternatives = alternatives(&field, entry)?;
        for name in &entry.names {
            let Some(&number) = numbers.get(name.as_str()) else {
                continue;
            };
            newest = newest.max(Some(number));
            if action == default || settled.contains(&number) {
                continue;
            }
            let verdict = calls.entry(number).or_insert(Verdict {
                rules: Vec::new(),
                otherwise: default,
            });
            if alternatives.is_empty() {
                verdict.rules.clear();
                verdict.otherwise = action;
                settled.insert(number);
            } else {
                verdict
                    .rules
                    .extend(alternatives.iter().map(|conditions| Rule {
                        conditions: conditions.clone(),
                        action,
                    }));
            }
        }
    }
    let allowed = [libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_LOG].contains(&default);
    let newer = newest
        .filter(|_| !allowed)
        .map(|newest| (newest, libc::SECCOMP_RET_ERRNO | ENOSYS))
        .filter(|(_, action)| *action != default);
    Ok(Filter {
        calls,
        default,
        newer,
    })
}

/// The sets of conditions of which one has to hold; none at all for "always".
fn alternatives(field: &str, entry: &SeccompSyscall) -> Result<Vec<Vec<Condition>>, SpecError> {
    let args = entry.args.as_deref().unwrap_or_default();
    if args.len() > MAX_ENTRIES || entry.names.len() > MAX_ENTRIES {
        return Err(SpecError::invalid(
            field,
            format!("more than {MAX_ENTRIES} names or arguments"),
        ));
    }
    let mut conditions = Vec::with_capacity(args.len());
    for (index, arg) in args.iter().enumerate() {
        conditions.push(condition(&format!("{field}.args[{index}]"), arg)?);
    }
    let repeated = (0..6).any(|argument| {
        let same = conditions.iter().filter(|one| one.argument == argument);
        same.count() > 1
    });
    Ok(if conditions.is_empty() {
        Vec::new()
    } else if repeated {
        conditions.into_iter().map(|one| vec![one]).collect()
    } else {
        vec![conditions]
    })
}

fn condition(field: &str, arg: &SeccompArg) -> Result<Condition, SpecError> {
    let argument = u32::try_from(arg.index)
        .ok()
        .filter(|argument| *argument < 6)
        .ok_or_else(|| {
            SpecError::invalid(
                format!("{field}.index"),
                format!("{} is not below 6", arg.index),
            )
        })?;
    let mut value = arg.value;
    let test = match arg.op {
        SeccompOperator::ScmpCmpEq => Test::Equal,
        SeccompOperator::ScmpCmpNe => Test::NotEqual,
        SeccompOperator::ScmpCmpLt => Test::Less,
        SeccompOperator::ScmpCmpLe => Test::LessOrEqual,
        SeccompOperator::ScmpCmpGt => Test::Greater,
        SeccompOperator::ScmpCmpGe => Test::GreaterOrEqual,
        SeccompOperator::ScmpCmpMaskedEq => {
            let mask = arg.value;
            value = arg.value_two.unwrap_or(0) & mask;
            Test::Masked(mask)
        }
    };
    Ok(Condition {
        argument,
        test,
        value,
    })
}
