//! The built worker with small guests: by hand (`run`), and as a container over its control channel.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod by_hand;
mod container;
mod memory;
mod server;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A folder of compiled guests.
struct Guests {
    root: tempfile::TempDir,
}

impl Guests {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    /// Compiles a guest written as text.
    fn compile(&self, wat: &str) -> PathBuf {
        self.compile_binary(&wat::parse_str(wat).unwrap())
    }

    fn compile_binary(&self, wasm: &[u8]) -> PathBuf {
        let code = slipway_shim_engine::compile::compile(wasm).unwrap();
        let path = self.root.path().join("guest.cwasm");
        fs::write(&path, code).unwrap();
        path
    }

    fn run(&self, wat: &str, options: &[&str], arguments: &[&str]) -> Output {
        Command::new(WORKER)
            .arg("run")
            .args(options)
            .arg(self.compile(wat))
            .args(arguments)
            .output()
            .unwrap()
    }
}

const WORKER: &str = env!("CARGO_BIN_EXE_slipway-worker");

/// Waits for something that has to happen soon.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        std::thread::yield_now();
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Prints `hello` and exits with 7.
const HELLO: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\06\00\00\00")
    (data (i32.const 16) "hello\n")
    (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $exit (i32.const 7))))"#;

/// Prints `ready` and spins.
const SPIN: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\06\00\00\00")
    (data (i32.const 16) "ready\n")
    (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (loop $forever (br $forever))))"#;

/// Takes memory by MiB until it gets no more, and exits with the MiB that it got on top of what it began with.
const GROW: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $got i32)
        (loop $more
            (if (i32.ne (memory.grow (i32.const 16)) (i32.const -1))
                (then
                    (local.set $got (i32.add (local.get $got) (i32.const 1)))
                    (br $more))))
        (call $exit (local.get $got))))"#;

/// A command of this version of `wasi:cli/run`, with imports. What its `run` returns is 0 for success and 1 for failure.
fn command(wasi: &str, imports: &str, result: u8) -> String {
    let kind = if wasi.starts_with("0.3.") {
        "async "
    } else {
        ""
    };
    format!(
        r#"(component
            {imports}
            (core module $m (func (export "run") (result i32) i32.const {result}))
            (core instance $i (instantiate $m))
            (func $run {kind}(result (result)) (canon lift (core func $i "run")))
            (instance $export (export "run" (func $run)))
            (export "wasi:cli/run@{wasi}" (instance $export)))"#
    )
}
