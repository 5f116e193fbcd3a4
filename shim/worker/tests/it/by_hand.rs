//! Guests that run to their end.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Guests, HELLO, SPIN, WORKER, command, lossy};

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
fn a_trap_names_file_and_line_where_the_guest_has_dwarf() {
    let guest =
        "(module\n  (func $inner\n    unreachable)\n  (func (export \"_start\")\n    call $inner))";
    let wasm = wat::Parser::new()
        .generate_dwarf(wat::GenerateDwarf::Lines)
        .parse_str(Some(Path::new("/src/guest.wat")), guest)
        .unwrap();
    let guests = Guests::new();
    let output = Command::new(WORKER)
        .arg("run")
        .arg(guests.compile_binary(&wasm))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(134));
    let text = lossy(&output.stderr);
    for place in ["inner", "/src/guest.wat:3", "/src/guest.wat:5"] {
        assert!(text.contains(place), "{place}: {text}");
    }
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
fn a_module_s_function_takes_arguments_and_its_result_is_printed() {
    let guest = r#"(module (func (export "add") (param i32 i64) (result i64)
        (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1))))"#;
    let guests = Guests::new();
    let output = guests.run(guest, &["--function", "add"], &["-2", "44"]);
    assert_eq!(lossy(&output.stdout), "42\n");
    assert_eq!(output.status.code(), Some(0));
    for (arguments, said) in [
        (&["1"][..], "takes 2 arguments (i32, i64), found 1"),
        (&["1", "x"], "`x` is no value for parameter 2"),
    ] {
        let output = guests.run(guest, &["--function", "add"], arguments);
        assert_eq!(output.status.code(), Some(126));
        let text = lossy(&output.stderr);
        assert!(text.contains(said), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}

#[test]
fn a_component_s_function_takes_arguments_and_its_result_is_printed() {
    // A number becomes `ok(number)`, but 0 `err(7)`.
    let guest = r#"(component
        (core module $m (memory (export "memory") 1)
            (func (export "check") (param i32) (result i32)
                (if (local.get 0)
                    (then (i32.store (i32.const 4) (local.get 0)))
                    (else (i32.store (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 7))))
                (i32.const 0)))
        (core instance $i (instantiate $m))
        (func (export "check") (param "number" u32) (result (result u32 (error u32)))
            (canon lift (core func $i "check") (memory (core memory $i "memory")))))"#;
    let guests = Guests::new();
    let run = |argument: &str| guests.run(guest, &["--function", "check"], &[argument]);
    let output = run("42");
    assert_eq!(
        (output.status.code(), &*lossy(&output.stdout)),
        (Some(0), "42\n")
    );
    let output = run("0");
    assert_eq!(
        (output.status.code(), &*lossy(&output.stderr)),
        (Some(1), "7\n")
    );
    let output = run("-1");
    assert_eq!(output.status.code(), Some(126));
    let text = lossy(&output.stderr);
    assert!(
        text.contains("(number: u32): `-1` is no value for parameter number"),
        "{text}"
    );
}

#[test]
fn what_a_command_component_says_is_the_exit_status() {
    for wasi in ["0.2.6", "0.3.0"] {
        for result in [0, 1] {
            let output = Guests::new().run(&command(wasi, "", result), &[], &[]);
            assert_eq!(
                output.status.code(),
                Some(result.into()),
                "{wasi}: {}",
                lossy(&output.stderr)
            );
        }
    }
}

#[test]
fn a_command_of_wasi_0_3_runs_beside_imports_of_0_2() {
    let imports = r#"(import "wasi:cli/environment@0.3.0" (instance))
        (import "wasi:cli/environment@0.2.6" (instance))"#;
    let output = Guests::new().run(&command("0.3.0", imports, 0), &[], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", lossy(&output.stderr));
}

#[test]
fn configuration_comes_from_the_environment() {
    // Fails unless there are two values.
    let guest = r#"(component
        (import "wasi:config/store@0.2.0-rc.1" (instance $config
            (type $error' (variant (case "upstream" string) (case "io" string)))
            (export "error" (type $error (eq $error')))
            (export "get-all" (func (result
                (result (list (tuple string string)) (error $error)))))))
        (core module $libc
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $next)
                (global.set $next (i32.and (i32.add (i32.add (global.get $next) (local.get 3))
                    (i32.const 7)) (i32.const -8)))))
        (core instance $libc (instantiate $libc))
        (core func $get-all (canon lower (func $config "get-all")
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (core module $m
            (import "config" "get-all" (func $get-all (param i32)))
            (import "libc" "memory" (memory 1))
            (func (export "run") (result i32)
                (call $get-all (i32.const 0))
                (i32.ne (i32.load (i32.const 8)) (i32.const 2))))
        (core instance $i (instantiate $m
            (with "config" (instance (export "get-all" (func $get-all))))
            (with "libc" (instance $libc))))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $export (export "run" (func $run)))
        (export "wasi:cli/run@0.2.6" (instance $export)))"#;
    let guests = Guests::new();
    let output = guests.run(guest, &["--env", "A=1", "--env", "B=2"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", lossy(&output.stderr));
    assert_eq!(guests.run(guest, &[], &[]).status.code(), Some(1));
}

#[test]
fn a_trap_of_a_module_with_sockets_of_wasi_0_1_comes_with_a_hint() {
    let output = Guests::new().run(
        r#"(module
            (import "wasi_snapshot_preview1" "sock_accept" (func (param i32 i32 i32) (result i32)))
            (func (export "_start") unreachable))"#,
        &[],
        &[],
    );
    assert_eq!(output.status.code(), Some(134));
    let text = lossy(&output.stderr);
    assert!(text.ends_with("build it for wasm32-wasip2\n"), "{text}");
}

#[test]
fn a_component_without_a_world_is_refused() {
    let output = Guests::new().run("(component)", &[], &[]);
    assert_eq!(output.status.code(), Some(126));
    assert!(lossy(&output.stderr).contains("`wasi:http/handler@0.3`"));
}

#[test]
fn a_component_s_imports_are_named() {
    let imports = r#"(import "spin:variables/variables@3.0.0" (instance))"#;
    let output = Guests::new().run(&command("0.2.6", imports, 0), &[], &[]);
    assert_eq!(output.status.code(), Some(126));
    let text = lossy(&output.stderr);
    assert!(text.contains("`spin:variables/variables@3.0.0`"), "{text}");
}

#[test]
fn a_component_exits_with_a_code() {
    for wasi in ["0.2.12", "0.3.0"] {
        let guest = format!(
            r#"(component
            (import "wasi:cli/exit@{wasi}" (instance $exit
                (export "exit-with-code" (func (param "status-code" u8)))))
            (core func $exit (canon lower (func $exit "exit-with-code")))
            (core module $m
                (import "exit" "exit" (func $exit (param i32)))
                (func (export "run") (result i32) (call $exit (i32.const 207)) i32.const 0))
            (core instance $i (instantiate $m (with "exit" (instance (export "exit" (func $exit))))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $export (export "run" (func $run)))
            (export "wasi:cli/run@0.2.6" (instance $export)))"#
        );
        let output = Guests::new().run(&guest, &[], &[]);
        assert_eq!(output.status.code(), Some(207), "{}", lossy(&output.stderr));
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
