//! What a compilation may use, and who has a turn.

use std::fs::{self, File};
use std::io::Read;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use slipway_shim_cache::{Cache, Digest};

use crate::{HELLO, Node};

#[test]
fn eight_at_once_compile_a_module_once() {
    let node = Node::new();
    let wasm = heavy(2_000);
    let file = node.file(&wasm);
    drop(Cache::open(&node.cache()).unwrap());
    // Each compilation begins with a file of this name.
    let entries = fs::read_dir(node.cache())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir() && !path.ends_with("identities"))
        .unwrap();
    let begun = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&begun, &entries, WatchFlags::CREATE).unwrap();

    let all: Vec<_> = (0..8).map(|_| node.start(&file, &[])).collect();
    for compiling in all {
        assert_eq!(compiling.answer(), (0, Digest::of(&wasm).to_string()));
    }
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&begun, &mut buffer);
    let mut compilations = 0;
    while let Ok(event) = events.next() {
        let name = event.file_name().unwrap_or_default().to_bytes();
        compilations += usize::from(name.ends_with(b".new.tmp"));
    }
    assert_eq!(compilations, 1);
}

#[test]
fn what_takes_too_long_is_refused() {
    let node = Node::new();
    let (code, sentence) = node.compile(&node.file(heavy(150_000)), &["--seconds", "1"]);
    assert_eq!((code, &*sentence), (65, "takes longer to compile than 1 s"));
}

#[test]
fn a_refusal_is_remembered_and_what_is_known_waits_for_nobody() {
    let node = Node::new();
    let hello = wat::parse_str(HELLO).unwrap();
    let compiled = node.compile(&node.file(&hello), &[]);
    assert_eq!(compiled, (0, Digest::of(&hello).to_string()));
    let heavy = heavy(150_000);
    let little = ["--processor", "1"];
    let refused = node.compile(&node.file(&heavy), &little);
    let sentence = "takes more than 1 s of processor time to compile".to_owned();
    assert_eq!(refused, (65, sentence));

    let cache = Cache::open(&node.cache()).unwrap();
    // Whoever waits for this waits for ever.
    let lock = cache.lock().unwrap();
    assert_eq!(node.compile(&node.file(&heavy), &little), refused);
    assert_eq!(node.compile(&node.file(&hello), &[]), compiled);
    drop(lock);
    // With more to go by it is tried again.
    let (code, answer) = node.compile(&node.file(&heavy), &["--seconds", "1"]);
    assert_eq!((code, &*answer), (65, "takes longer to compile than 1 s"));
}

#[test]
fn a_turn_that_has_come_is_told_before_the_answer() {
    let node = Node::new();
    let file = node.file(wat::parse_str(HELLO).unwrap());
    let cache = Cache::open(&node.cache()).unwrap();
    let lock = cache.lock().unwrap();
    let mut compiling = node.start(&file, &[]);
    eventually("queueing", || {
        fs::read_dir(node.cache().join("queue")).unwrap().count() == 2
    });
    let mut said = [PollFd::new(&compiling.answer, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    assert_eq!(poll(&mut said, Some(&at_once)).unwrap(), 0);
    drop(lock);
    let mut first = [0];
    compiling.answer.read_exact(&mut first).unwrap();
    assert_eq!(first, *b"\n");
    assert_eq!(compiling.answer().0, 0);
}

#[test]
fn what_takes_too_much_memory_is_refused() {
    // Data is copied into what is compiled: the compiler has it twice at least.
    const DATA: usize = 96 << 20;
    let node = Node::new();
    let mut wasm = wat::parse_str("(module (memory 2000))").unwrap();
    wasm.push(11);
    wasm.extend(leb128(DATA + 9));
    // One segment, at 0.
    wasm.extend([1, 0, 0x41, 0, 0x0b]);
    wasm.extend(leb128(DATA));
    wasm.resize(wasm.len() + DATA, 1);
    let (code, sentence) = node.compile(&node.file(wasm), &["--memory", "256"]);
    assert_eq!(
        (code, &*sentence),
        (65, "needs more than 256 MiB of memory to be compiled")
    );
}

#[test]
fn the_compiler_is_the_first_to_go_when_memory_is_short() {
    let node = Node::new();
    let file = node.file(wat::parse_str(HELLO).unwrap());
    let cache = Cache::open(&node.cache()).unwrap();
    // It waits here, so that it can be looked at; what it forks later inherits the figure.
    let lock = cache.lock().unwrap();
    let compiling = node.start(&file, &[]);
    let figure = format!("/proc/{}/oom_score_adj", compiling.child.id());
    eventually("giving up its protection", || {
        fs::read_to_string(&figure).is_ok_and(|text| text == "1000\n")
    });
    drop(lock);
    assert_eq!(compiling.answer().0, 0);
}

#[test]
fn an_enormous_module_is_refused_unread() {
    let node = Node::new();
    let file = node.file("");
    File::options()
        .write(true)
        .open(node.root.path().join("module"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let (code, sentence) = node.compile(&file, &[]);
    assert_eq!(code, 65);
    assert_eq!(
        sentence,
        "is longer than 512 MiB, the most that is compiled"
    );
}

/// Waits for something that has to happen soon.
fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !happened() {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        std::thread::yield_now();
    }
}

/// A number as WebAssembly writes it; four bytes for the sizes here.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A module with one long function, which takes its time and memory.
fn heavy(steps: usize) -> Vec<u8> {
    let step = "(local.set 0 (i32.rotl (i32.mul (local.get 0) (i32.const 77)) (local.get 1)))\n";
    let body = step.repeat(steps);
    let text = format!(
        r#"(module (func (export "f") (param i32 i32) (result i32) {body} (local.get 0)))"#
    );
    wat::parse_str(text).unwrap()
}
