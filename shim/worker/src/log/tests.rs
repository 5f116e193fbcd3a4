use std::future::poll_fn;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::pin::pin;
use std::task::{Context, Wake, Waker};

use bytes::Bytes;
use rustix::pty::{self, OpenptFlags};
use rustix::termios::{self, OptionalActions};
use wasmtime_wasi::cli::StdoutStream;

use super::*;

fn file(pipe: PipeWriter) -> File {
    File::from(OwnedFd::from(pipe))
}

fn log() -> (Log, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    (Log::new(file(writer)), reader)
}

/// Writes numbered lines until a guest would have to wait, and gives them.
async fn fill(log: &Log) -> String {
    let mut stream = log.p2_stream();
    let mut all = String::new();
    loop {
        let (has_room, writing) = {
            let state = log.0.state();
            (state.has_room(), state.writing)
        };
        match (has_room, writing) {
            (true, _) => {
                let line = format!("{:>4095}\n", all.len());
                assert_eq!(line.len(), PART);
                assert!(stream.check_write().unwrap() > 0);
                stream.write(line.clone().into()).unwrap();
                all.push_str(&line);
            }
            // The thread is about to take a part, and there is room for one more then.
            (false, false) => std::thread::yield_now(),
            (false, true) => return all,
        }
    }
}

#[tokio::test]
async fn what_nobody_reads_is_kept_and_written_in_its_order() {
    let (log, mut reader) = log();
    let mut all = fill(&log).await;
    assert!(all.len() > KEPT);
    let mut other = log.p2_stream();
    assert_eq!(other.check_write().unwrap(), 0);
    let mut third = Box::into_pin(log.async_stream());
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(third.as_mut().poll_write(&mut nobody, b"x").is_pending());
    let last = "the last\n";
    let mut read = vec![0; all.len() + last.len()];
    let reader = std::thread::spawn(move || {
        reader.read_exact(&mut read).unwrap();
        String::from_utf8(read).unwrap()
    });
    other.ready().await;
    let written = poll_fn(|context| third.as_mut().poll_write(context, last.as_bytes()));
    assert_eq!(written.await.unwrap(), last.len());
    all.push_str(last);
    assert_eq!(reader.join().unwrap(), all);
    log.written().await;
    assert!(log.0.state().kept.is_empty());
}

#[tokio::test]
async fn the_server_s_own_lines_wait_for_nobody_and_are_counted_in_the_end() {
    let (log, reader) = log();
    let all = fill(&log).await;
    let line = format!("{}\n", "x".repeat(999));
    for _ in 0..100 {
        log.tell(&line).unwrap();
    }
    let mut reader = BufReader::new(reader);
    let mut read = String::new();
    while !read.ends_with("while nobody read the log\n") {
        assert!(reader.read_line(&mut read).unwrap() > 0);
    }
    let told = read.strip_prefix(&all).unwrap();
    let told_lines = told.matches(&line).count();
    assert!(told_lines >= OURS / line.len() - 1, "{told_lines}");
    let lost = 100 - told_lines;
    let note = format!("slipway: {lost} lines were lost while nobody read the log\n");
    assert_eq!(told, line.repeat(told_lines) + &note);
}

#[tokio::test]
async fn an_output_that_nobody_reads_any_more_fails_and_holds_up_nothing() {
    let (log, reader) = log();
    fill(&log).await;
    drop(reader);
    log.written().await;
    assert!(log.tell("a line\n").is_err());
    log.settle();
}

#[tokio::test]
async fn a_terminal_that_nobody_reads_holds_up_nobody() {
    let terminal = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    pty::grantpt(&terminal).unwrap();
    pty::unlockpt(&terminal).unwrap();
    let name = pty::ptsname(&terminal, Vec::new()).unwrap();
    let end = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(name.to_str().unwrap())
        .unwrap();
    // Lines as they are.
    let mut attributes = termios::tcgetattr(&end).unwrap();
    attributes.make_raw();
    termios::tcsetattr(&end, OptionalActions::Now, &attributes).unwrap();
    let log = Log::new(end);
    assert_eq!(log.0.direct, Direct::Never);
    let all = fill(&log).await;
    assert!(all.len() > KEPT);
    let mut read = vec![0; all.len()];
    let mut terminal = File::from(terminal);
    terminal.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), all);
    log.written().await;
    // Hung up: the next one to write is told.
    drop(terminal);
    log.tell("a line\n").unwrap();
    log.settle();
    assert!(log.tell("a line\n").is_err());
}

#[tokio::test]
async fn a_pipe_that_does_not_wait_is_waited_for() {
    let (log, mut reader) = log();
    rustix::io::ioctl_fionbio(&log.0.file, true).unwrap();
    let all = fill(&log).await;
    let mut read = vec![0; all.len()];
    reader.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), all);
}

#[tokio::test]
async fn two_outputs_that_are_one_are_one_log() {
    let (mut reader, writer) = io::pipe().unwrap();
    let other = writer.try_clone().unwrap();
    let [stdout, stderr] = Log::both(file(writer), file(other));
    let mut all = fill(&stdout).await;
    // It could not be written at once.
    stderr.tell("and this\n").unwrap();
    all.push_str("and this\n");
    let mut read = vec![0; all.len()];
    reader.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), all);

    let [one, other] = [io::pipe().unwrap(), io::pipe().unwrap()];
    let [stdout, stderr] = Log::both(file(one.1), file(other.1));
    fill(&stdout).await;
    stderr.tell("at once\n").unwrap();
    assert!(stderr.0.state().is_written());
}

#[test]
fn what_never_waits_is_written_at_once() {
    let null = File::options().write(true).open("/dev/null").unwrap();
    assert_eq!(Direct::of(&null), Direct::Always);
    assert_eq!(Direct::of(&tempfile::tempfile().unwrap()), Direct::Always);
    assert_eq!(Direct::of(&file(io::pipe().unwrap().1)), Direct::Asked);
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_nothing_behind() {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    let (log, _reader) = log();
    fill(&log).await;
    let nobody = Arc::new(Nobody);
    let waker = Waker::from(Arc::clone(&nobody));
    let mut context = Context::from_waker(&waker);
    {
        let mut writer = Box::into_pin(log.async_stream());
        assert!(writer.as_mut().poll_write(&mut context, b"x").is_pending());
        let mut written = pin!(log.written());
        assert!(written.as_mut().poll(&mut context).is_pending());
        assert!(Arc::strong_count(&nobody) > 2);
    }
    assert_eq!(Arc::strong_count(&nobody), 2);
}

#[tokio::test]
async fn what_was_not_granted_is_not_written() {
    let (log, _reader) = log();
    let mut stream = log.p2_stream();
    let one = Bytes::from_static(b"a line\n");
    assert!(stream.write(one.clone()).is_err());
    stream.ready().await;
    stream.write(one).unwrap();
    stream.ready().await;
    assert!(stream.write(vec![b'x'; PART + 1].into()).is_err());
}
