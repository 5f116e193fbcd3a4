//! Stands for `slipway-worker` in the integration tests: speaks its side of the control channel and does what
//! `process.args` says, without namespaces, mounts or an engine. Probing is the real thing.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

use slipway_shim_wire::{Channel, ToPod, ToWorker, WORKER_FD};

fn main() -> ExitCode {
    // SAFETY: the pod process has put the control channel there.
    let mut channel = Channel::new(unsafe { OwnedFd::from_raw_fd(WORKER_FD) });
    let plan = match channel.recv() {
        Ok((ToWorker::Plan(plan), _)) => {
            // What fails need not wait for it.
            let fails = plan
                .process
                .args
                .first()
                .is_some_and(|word| word == "fail-setup");
            if !fails && !matches!(channel.recv(), Ok((ToWorker::Placed, _))) {
                return ExitCode::from(70);
            }
            plan
        }
        Ok((ToWorker::Join(plan), _)) => plan,
        Ok((ToWorker::Probe(probe), _)) => {
            let answer = match slipway_shim_container::probe(&probe) {
                Ok(native) => ToPod::Probed { native },
                Err(error) => ToPod::SetupFailed {
                    message: error.to_string(),
                },
            };
            let _ = channel.send(&answer, None);
            return ExitCode::SUCCESS;
        }
        _ => return ExitCode::from(70),
    };
    let words: Vec<&str> = plan.process.args.iter().map(String::as_str).collect();
    let mut status = 0;
    match words.as_slice() {
        ["fail-setup", sentence] => {
            let message = (*sentence).to_owned();
            let _ = channel.send(&ToPod::SetupFailed { message }, None);
            return ExitCode::from(1);
        }
        ["die"] => return ExitCode::from(9),
        ["load", path] => {
            let Ok(file) = File::open(path) else {
                return ExitCode::from(71);
            };
            let need = ToPod::NeedCode {
                path: path.into(),
                on_rootfs: false,
            };
            let _ = channel.send(&need, Some(file.as_fd()));
            if let Ok((ToWorker::NoCode { exit_code, message }, _)) = channel.recv() {
                let _ = writeln!(std::io::stderr(), "{message}");
                status = exit_code;
            }
        }
        ["layer", named] => {
            let need = ToPod::NeedImage {
                named: (*named).to_owned(),
                otherwise: format!("{named}: no such file in the container"),
                exit_code: 127,
            };
            let _ = channel.send(&need, None);
            if let Ok((ToWorker::NoCode { exit_code, message }, _)) = channel.recv() {
                let _ = writeln!(std::io::stderr(), "{message}");
                status = exit_code;
            }
        }
        _ => {}
    }
    let _ = channel.send(&ToPod::Ready, None);
    let Ok((ToWorker::Go, _)) = channel.recv() else {
        return ExitCode::from(72);
    };
    match words.as_slice() {
        ["print", text, code] => {
            let _ = writeln!(std::io::stdout(), "{text}");
            status = code.parse().unwrap_or(73);
        }
        ["options"] => print!("{}", plan.options),
        ["environment"] => {
            let own = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
            let _ = writeln!(
                std::io::stdout(),
                "env={} fds={} pid={}",
                std::env::vars_os().count(),
                // Reading the directory takes one more.
                own - 1,
                std::process::id()
            );
        }
        ["terminal"] => {
            // Waits for a line, then says what it knows of its terminal.
            let mut line = String::new();
            let _ = std::io::stdin().read_line(&mut line);
            // SAFETY: an all-zero winsize is a valid place for the kernel to write one to.
            let (leader, size) = unsafe {
                let mut size: libc::winsize = std::mem::zeroed();
                libc::ioctl(0, libc::TIOCGWINSZ, &raw mut size);
                (libc::tcgetsid(0) == libc::getsid(0), size)
            };
            let (columns, rows) = (size.ws_col, size.ws_row);
            println!("{} {leader} {columns}x{rows}", line.trim());
        }
        // Takes memory until it is killed, or has a child of its own do so.
        ["hog"] => hog(),
        ["hog", "child"] => {
            // SAFETY: this process has one thread.
            if unsafe { libc::fork() } == 0 {
                hog();
            }
            loop {
                std::thread::park();
            }
        }
        // Leaves a child whose parent is gone, and says who it is.
        ["orphan"] => {
            orphan();
            loop {
                std::thread::park();
            }
        }
        ["sleep"] => loop {
            std::thread::park();
        },
        _ => {}
    }
    ExitCode::from(u8::try_from(status).unwrap_or(74))
}

fn orphan() {
    // SAFETY: this process has one thread, and so have its children.
    unsafe {
        let parent = libc::fork();
        if parent == 0 {
            if libc::fork() == 0 {
                println!("{}", std::process::id());
                loop {
                    std::thread::park();
                }
            }
            libc::_exit(0);
        }
        libc::waitpid(parent, std::ptr::null_mut(), 0);
    }
}

fn hog() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(std::hint::black_box(vec![1u8; 1 << 20]));
    }
}
