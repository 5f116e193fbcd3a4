//! Files of a server.

use std::fs::File;
use std::io::{BufRead, BufReader};

use rustix::fs::{CWD, Mode, mkfifoat};

use super::{SERVER, Server};

/// What the guest imports beside.
const IMPORTS: &str = r#"(component
  (import "wasi:filesystem/types@0.2.0" (instance $files
    (export "descriptor" (type $descriptor (sub resource)))
    (type $path (flags "symlink-follow"))
    (export "path-flags" (type $path-flags (eq $path)))
    (type $open (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $open-flags (eq $open)))
    (type $flags (flags "read" "write" "file-integrity-sync" "data-integrity-sync" "requested-write-sync"
      "mutate-directory"))
    (export "descriptor-flags" (type $descriptor-flags (eq $flags)))
    (type $code (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist"
      "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
      "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
      "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty" "no-such-device"
      "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy" "cross-device"))
    (export "error-code" (type $error-code (eq $code)))
    (export "[method]descriptor.open-at" (func (param "self" (borrow $descriptor)) (param "path-flags" $path-flags)
      (param "path" string) (param "open-flags" $open-flags) (param "flags" $descriptor-flags)
      (result (result (own $descriptor) (error $error-code)))))))
  (alias export $files "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $outer))
    (export "descriptor" (type $descriptor (eq $outer)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
"#;

/// The same as the component has for its other imports.
const LOWERED: &str = r#"
  (alias export $preopens "get-directories" (func $directories))
  (alias export $files "[method]descriptor.open-at" (func $open))
  (core func $directories (canon lower (func $directories) (memory $memory) (realloc $realloc)))
  (core func $open (canon lower (func $open) (memory $memory)))
  (core module $server
    (import "files" "directories" (func $directories (param i32)))
    (import "files" "open" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
    (data (i32.const 128) "pipe")"#;

/// For a path of 8 bytes: opens `pipe` in its first directory for reading, and traps if it cannot.
const OPENS: &str = r#"
      (if (i32.eq (local.get $length) (i32.const 8)) (then
        (call $directories (i32.const 64))
        (call $open (i32.load (i32.load (i32.const 64))) (i32.const 0) (i32.const 128) (i32.const 4)
          (i32.const 0) (i32.const 1) (i32.const 96))
        (if (i32.load8_u (i32.const 96)) (then unreachable))))
      (global.set $answered (i32.const 1))"#;

fn guest() -> String {
    let mut guest = SERVER.to_owned();
    for (place, text) in [
        ("(component\n", IMPORTS),
        ("\n  (core module $server", LOWERED),
        ("\n      (global.set $answered (i32.const 1))", OPENS),
        (
            "(with \"library\" (instance $library))",
            "(with \"library\" (instance $library))
    (with \"files\" (instance (export \"directories\" (func $directories)) (export \"open\" (func $open))))",
        ),
    ] {
        assert_eq!(guest.matches(place).count(), 1, "{place}");
        guest = guest.replace(place, text);
    }
    guest
}

#[test]
fn a_file_that_keeps_a_request_waiting_holds_up_no_other_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
    let shown = format!("{}::/", folder.path().display());
    // One thread, as most pods have.
    let server = Server::run(&guest(), &["--cpus", "1000", "--dir", &shown]);
    let waiting = server.ask("/waiting");
    for _ in 0..3 {
        assert_eq!(server.status("/"), "HTTP/1.1 200 OK");
    }
    server.stop();
    // Nobody opens a FIFO for writing before somebody reads.
    let writer = File::options().write(true).open(&pipe).unwrap();
    let mut line = String::new();
    BufReader::new(waiting).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
    drop(writer);
    assert_eq!(server.end().0, Some(0));
}
