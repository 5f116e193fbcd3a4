//! Writes the files a shim has to refuse readably: `make-bad-modules GOOD.wasm OUT_DIR`.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

/// Imports a function nobody offers.
const UNKNOWN_IMPORT: &str = r#"
(module
  (import "example:rockets/pad" "launch" (func $launch (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $proc_exit (call $launch (i32.const 1)))))
"#;

/// Uses shared memory and atomics, of the threads proposal: off in Slipway's engine.
const PROPOSAL_OFF: &str = r#"
(module
  (memory (export "memory") 1 1 shared)
  (func (export "_start") (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))))
"#;

/// Has 256 MiB from the start and writes to all of them: more than the limit of its container.
const GLUTTON: &str = r#"
(module
  (memory (export "memory") 4096)
  (func (export "_start") (memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 0x10000000))))
"#;

/// Neither a command nor a component: valid, with nothing to start.
const NO_ENTRY: &str = r#"(module (func (export "run_me_not")))"#;

const TEXT: &str = "#!/bin/sh\necho this is not WebAssembly\n";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let [_, good, out] = &args[..] else {
        eprintln!("usage: make-bad-modules GOOD.wasm OUT_DIR");
        return ExitCode::from(64);
    };
    match write_all(Path::new(good), Path::new(out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn write_all(good: &Path, out: &Path) -> Result<(), String> {
    let whole = fs::read(good).map_err(|error| format!("read {}: {error}", good.display()))?;
    let module = |text: &str| wat::parse_str(text).map_err(|error| error.to_string());
    for (name, bytes) in [
        ("unknown-import.wasm", module(UNKNOWN_IMPORT)?),
        ("proposal-off.wasm", module(PROPOSAL_OFF)?),
        ("glutton.wasm", module(GLUTTON)?),
        ("no-entry.wasm", module(NO_ENTRY)?),
        ("text.wasm", TEXT.into()),
        ("empty.wasm", Vec::new()),
        ("truncated.wasm", whole[..whole.len() / 2].to_vec()),
        ("foreign.wasm", aarch64_elf()),
    ] {
        let path = out.join(name);
        fs::write(&path, bytes).map_err(|error| format!("write {}: {error}", path.display()))?;
    }
    Ok(())
}

/// A static ELF executable for aarch64 with one segment holding `exit(0)`: complete, and of the wrong architecture.
fn aarch64_elf() -> Vec<u8> {
    const EHDR: u16 = 64;
    const PHDR: u16 = 56;
    const EM_AARCH64: u16 = 183;
    const BASE: u64 = 0x40_0000;
    let code: [u32; 3] = [
        0xd280_0ba8, // mov x8, #93 (exit)
        0xd280_0000, // mov x0, #0
        0xd400_0001, // svc #0
    ];
    let start = u64::from(EHDR + PHDR);
    let size = start + 4 * code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |bytes: &[u8]| elf.extend_from_slice(bytes);
    for half in [2u16, EM_AARCH64] {
        put(&half.to_le_bytes()); // type EXEC, machine
    }
    put(&1u32.to_le_bytes()); // version
    for word in [BASE + start, u64::from(EHDR), 0] {
        put(&word.to_le_bytes()); // entry, program headers, section headers
    }
    put(&0u32.to_le_bytes()); // flags
    for half in [EHDR, PHDR, 1, 0, 0, 0] {
        put(&half.to_le_bytes());
    }
    for word in [1u32, 5] {
        put(&word.to_le_bytes()); // PT_LOAD, read and execute
    }
    for word in [0, BASE, BASE, size, size, 0x1000] {
        put(&word.to_le_bytes());
    }
    for instruction in code {
        put(&instruction.to_le_bytes());
    }
    elf
}
