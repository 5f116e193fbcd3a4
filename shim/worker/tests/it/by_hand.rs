//! Guests that run to their end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Guests, HELLO, SPIN, WORKER, lossy};

#[test]
fn output_and_exit_status_are_the_guest_s() {
    let output = Guests::new().run(HELLO, &[], &[]);
    assert_eq!(lossy(&output.stdout), "hello\n");
    assert_eq!(lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn high_exit_statuses_are_kept() {
    let exit = HELLO.replace("(i32.const 7)", "(i32.const 200)");
    assert_eq!(Guests::new().run(&exit, &[], &[]).status.code(), Some(200));
}

#[test]
fn a_trap_is_134_with_reason_and_backtrace() {
    let output = Guests::new().run(
        r#"(module (func $inner unreachable) (func (export "_start") (call $inner)))"#,
        &[],
        &[],
    );
    assert_eq!(output.status.code(), Some(134));
    let text = lossy(&output.stderr);
    assert!(
        text.contains("the guest trapped: wasm trap: wasm `unreachable`"),
        "{text}"
    );
    assert!(text.contains("!inner"), "{text}");
}

#[test]
fn an_endless_recursion_is_a_trap_too() {
    let output = Guests::new().run(
        r#"(module (func $again (export "_start") (call $again)))"#,
        &[],
        &[],
    );
    assert_eq!(output.status.code(), Some(134));
    assert!(lossy(&output.stderr).contains("call stack exhausted"));
}

#[test]
fn every_missing_import_is_in_one_sentence() {
    let output = Guests::new().run(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
            (import "host" "b" (func)) (import "host" "a" (func))
            (func (export "_start")))"#,
        &[],
        &[],
    );
    assert_eq!(output.status.code(), Some(126));
    let text = lossy(&output.stderr);
    assert!(
        text.ends_with("imports `host.a`, `host.b`, which are not offered here\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_function_asked_for_by_name_is_called() {
    let guest = HELLO.replace("_start", "greet");
    let guests = Guests::new();
    let output = guests.run(&guest, &["--function", "greet"], &[]);
    assert_eq!(output.status.code(), Some(7));
    let output = guests.run(&guest, &[], &[]);
    assert_eq!(output.status.code(), Some(126));
    assert!(lossy(&output.stderr).contains("it exports `greet`"));
}

#[test]
fn memory_grows_below_the_limit_only() {
    // Exits with the pages that it got on top of the first.
    let guest = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start") (local $got i32)
            (loop $more
                (if (i32.ne (memory.grow (i32.const 16)) (i32.const -1))
                    (then
                        (local.set $got (i32.add (local.get $got) (i32.const 1)))
                        (br $more))))
            (call $exit (local.get $got))))"#;
    let output = Guests::new().run(guest, &["--memory", "67108864"], &[]);
    // 64 MiB less 4 for the worker.
    assert_eq!(output.status.code(), Some(59));
}

#[test]
fn a_component_without_a_world_is_refused() {
    let output = Guests::new().run("(component)", &[], &[]);
    assert_eq!(output.status.code(), Some(126));
    assert!(lossy(&output.stderr).contains("`wasi:http/incoming-handler@0.2`"));
}

#[test]
fn a_component_s_imports_are_named() {
    let output = Guests::new().run(
        r#"(component
            (import "spin:variables/variables@3.0.0" (instance))
            (core module $m (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $export (export "run" (func $run)))
            (export "wasi:cli/run@0.2.6" (instance $export)))"#,
        &[],
        &[],
    );
    assert_eq!(output.status.code(), Some(126));
    let text = lossy(&output.stderr);
    assert!(text.contains("`spin:variables/variables@3.0.0`"), "{text}");
}

#[test]
fn what_a_command_component_says_is_the_exit_status() {
    for (result, status) in [("0", 0), ("1", 1)] {
        let output = Guests::new().run(
            &format!(
                r#"(component
                (core module $m (func (export "run") (result i32) i32.const {result}))
                (core instance $i (instantiate $m))
                (func $run (result (result)) (canon lift (core func $i "run")))
                (instance $export (export "run" (func $run)))
                (export "wasi:cli/run@0.2.6" (instance $export)))"#
            ),
            &[],
            &[],
        );
        assert_eq!(
            output.status.code(),
            Some(status),
            "{}",
            lossy(&output.stderr)
        );
    }
}

#[test]
fn a_spinning_command_ends_at_a_signal() {
    let guests = Guests::new();
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut child = Command::new(WORKER)
            .arg("run")
            .arg(guests.compile(SPIN))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status));
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn code_that_is_not_ours_is_refused() {
    let guests = Guests::new();
    let path = guests.root.path().join("guest.cwasm");
    std::fs::write(
        &path,
        "not code, though long enough to have a header of sixty-four bytes",
    )
    .unwrap();
    let output = Command::new(WORKER).arg("run").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(126));
    assert_eq!(lossy(&output.stderr).lines().count(), 1);
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    let output = Command::new(WORKER).arg("--fast").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(lossy(&output.stderr).starts_with("slipway-worker: unknown argument: --fast"));
    let output = Command::new(WORKER).arg("--version").output().unwrap();
    assert!(lossy(&output.stdout).starts_with("slipway-worker 0."));
}
