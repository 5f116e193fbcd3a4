//! The built compiler, as the pod process calls it.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod limits;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};

use slipway_shim_cache::{Cache, Digest, Namespace};
use slipway_shim_engine::{Code, Header, config, load};

const HELLO: &str = r#"(module (memory 1) (data (i32.const 8) "hello") (func (export "_start")))"#;

struct Node {
    root: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    fn file(&self, bytes: impl AsRef<[u8]>) -> File {
        let path = self.root.path().join("module");
        fs::write(&path, bytes).unwrap();
        File::open(path).unwrap()
    }

    /// Runs the compiler with `wasm` as descriptor 3 and tells its exit status and answer.
    fn compile(&self, wasm: &File, arguments: &[&str]) -> (i32, String) {
        self.start(wasm, arguments).answer()
    }

    fn start(&self, wasm: &File, arguments: &[&str]) -> Compiling {
        let (reader, writer) = std::io::pipe().unwrap();
        let writer = OwnedFd::from(writer);
        let (module, answer) = (wasm.as_raw_fd(), writer.as_raw_fd());
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway-compile"));
        command.arg("--cache").arg(self.cache()).args(arguments);
        // SAFETY: only dup2, fcntl and their errors between fork and exec.
        unsafe {
            command.pre_exec(move || {
                for (from, to) in [(module, 213), (answer, 214), (213, 3), (214, 4)] {
                    if libc::dup2(from, to) == -1 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        let answer = File::from(OwnedFd::from(reader));
        Compiling { child, answer }
    }

    fn refused(&self, bytes: impl AsRef<[u8]>) -> String {
        let (code, sentence) = self.compile(&self.file(bytes), &[]);
        assert_eq!(code, 65, "{sentence}");
        sentence
    }
}

struct Compiling {
    child: Child,
    answer: File,
}

impl Compiling {
    fn answer(mut self) -> (i32, String) {
        let mut text = String::new();
        self.answer.read_to_string(&mut text).unwrap();
        let status = self.child.wait().unwrap();
        (status.code().unwrap(), text.trim().to_owned())
    }
}

#[test]
fn a_module_is_in_the_cache_afterwards_and_runs_the_same_engine() {
    let node = Node::new();
    let wasm = wat::parse_str(HELLO).unwrap();
    let file = node.file(&wasm);
    let (code, answer) = node.compile(&file, &[]);
    assert_eq!(
        (code, answer.as_str()),
        (0, Digest::of(&wasm).to_string().as_str())
    );

    let cache = Cache::open(&node.cache()).unwrap();
    let code = cache.find(&file, None).unwrap().unwrap();
    let header = Header::read(&code).unwrap();
    let engine = config::commands(header.flavour).unwrap();
    // SAFETY: compiled above.
    let code = unsafe { load(&engine, &code, header) }.unwrap();
    assert!(matches!(code, Code::Module(_)));

    let (code, again) = node.compile(&file, &[]);
    assert_eq!((code, again), (0, answer));
}

#[test]
fn a_cache_that_cannot_be_tidied_is_told_and_the_code_is_there() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::new();
    let wasm = wat::parse_str(HELLO).unwrap();
    let file = node.file(&wasm);
    drop(Cache::open(&node.cache()).unwrap());
    // Another engine's directory that is not root's alone.
    let other = node.cache().join("wasmtime-0");
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o777)).unwrap();

    let (code, answer) = node.compile(&file, &[]);
    let (digest, note) = answer.split_once('\n').unwrap();
    assert_eq!((code, digest), (0, Digest::of(&wasm).to_string().as_str()));
    assert!(
        note.contains("making room: wasmtime-0 is not root's alone"),
        "{note}"
    );
    let cache = Cache::open(&node.cache()).unwrap();
    assert!(cache.find(&file, None).unwrap().is_some());
}

#[test]
fn a_component_is_compiled_too() {
    let node = Node::new();
    let file = node.file(wat::parse_str("(component (core module (func)))").unwrap());
    let (code, answer) = node.compile(&file, &[]);
    assert_eq!(code, 0, "{answer}");
}

#[test]
fn the_inode_of_a_settled_file_is_remembered() {
    let node = Node::new();
    let namespace = Namespace::new("/layers");
    let file = node.file(wat::parse_str(HELLO).unwrap());
    let settled = || {
        let cache = Cache::open(&node.cache()).unwrap();
        cache.identify(&file, namespace).unwrap()
    };
    while settled().is_none() {
        std::thread::yield_now();
    }
    let (code, answer) = node.compile(&file, &["--identity", &namespace.to_string()]);
    assert_eq!(code, 0, "{answer}");
    let identities = fs::read_dir(node.cache().join("identities")).unwrap();
    assert_eq!(identities.count(), 1);
}

#[test]
fn what_is_not_webassembly_is_named() {
    let node = Node::new();
    assert_eq!(
        node.refused("just words"),
        "is text, not WebAssembly; it starts with `just words`"
    );
    assert_eq!(node.refused(""), "is empty");
    let own = fs::read(env!("CARGO_BIN_EXE_slipway-compile")).unwrap();
    assert!(
        node.refused(own)
            .starts_with("is a native program (ELF for ")
    );
}

#[test]
fn a_truncated_module_is_refused_with_the_offset() {
    let node = Node::new();
    let mut wasm = wat::parse_str(HELLO).unwrap();
    wasm.truncate(wasm.len() - 4);
    let sentence = node.refused(wasm);
    assert!(
        sentence.starts_with("is not valid WebAssembly: "),
        "{sentence}"
    );
    assert!(sentence.contains("offset"), "{sentence}");
}

#[test]
fn a_proposal_that_is_off_is_named() {
    let node = Node::new();
    let sentence = node.refused(wat::parse_str("(module (memory 1 1 shared))").unwrap());
    assert!(sentence.contains("threads must be enabled"), "{sentence}");
}

#[test]
fn a_cache_in_other_hands_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::new();
    fs::set_permissions(node.root.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (code, sentence) = node.compile(&node.file(wat::parse_str(HELLO).unwrap()), &[]);
    assert_eq!(code, 70, "{sentence}");
    assert!(sentence.contains("not writable by others"), "{sentence}");
}

#[test]
fn a_file_can_be_compiled_by_hand() {
    let node = Node::new();
    node.file(wat::parse_str(HELLO).unwrap());
    let output = node.root.path().join("module.cwasm");
    let status = Command::new(env!("CARGO_BIN_EXE_slipway-compile"))
        .arg("--output")
        .arg(&output)
        .arg(node.root.path().join("module"))
        .status()
        .unwrap();
    assert!(status.success());
    assert!(fs::read(output).unwrap().starts_with(b"\x7fELF"));
}
