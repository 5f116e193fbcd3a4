//! `linux.seccomp`: whatever the profile says, the program is one that the kernel takes and that ends.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use slipway_shim_spec::Spec;
use slipway_shim_wire::Instruction;

fuzz_target!(|bytes: &[u8]| {
    let mut json = br#"{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"cwd":"/"},
        "linux":{"namespaces":[{"type":"mount"}],"seccomp":"#
        .to_vec();
    json.extend_from_slice(bytes);
    json.extend_from_slice(b"}}");
    let Ok(spec) = Spec::parse(Path::new("/bundle"), &json) else {
        return;
    };
    if let Ok(plan) = spec.sandbox_plan("id") {
        check(&plan.seccomp);
    }
});

/// The rules of the kernel's own check (net/core/filter.c `bpf_check_classic`, kernel/seccomp.c
/// `seccomp_check_filter`), as far as programs like ours go.
fn check(program: &[Instruction]) {
    assert!(program.len() <= 4096);
    for (at, instruction) in program.iter().enumerate() {
        let within = |distance: usize| assert!(at + 1 + distance < program.len(), "a jump at {at}");
        match instruction.code {
            // BPF_LD | BPF_W | BPF_ABS: a word of struct seccomp_data.
            0x20 => assert!(instruction.k.is_multiple_of(4) && instruction.k < 64),
            // BPF_ALU | BPF_AND | BPF_K
            0x54 => {}
            // BPF_JMP | BPF_JA
            0x05 => within(instruction.k as usize),
            // BPF_JMP | BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET | BPF_K
            0x15 | 0x25 | 0x35 | 0x45 => {
                within(instruction.jt.into());
                within(instruction.jf.into());
            }
            // BPF_RET | BPF_K
            0x06 => {}
            code => panic!("an instruction of code {code:#x} at {at}"),
        }
    }
    if let Some(last) = program.last() {
        assert_eq!(last.code, 0x06, "it does not end in a verdict");
    }
}
