//! What is compared: a handler with a guest.

/// A kind of pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    /// Its name in tables and results.
    pub(crate) name: &'static str,
    /// containerd's handler.
    pub(crate) handler: &'static str,
    /// The file in the image.
    pub(crate) guest: &'static str,
    /// Its arguments when it shall say something and end.
    pub(crate) once: &'static [&'static str],
    /// Its arguments when it shall say something and stay.
    pub(crate) stay: &'static [&'static str],
    /// How it shows that it is there.
    pub(crate) shows: Shows,
    /// Whether its code is to be compiled first, and at most how often that is measured.
    pub(crate) cold: Option<u32>,
}

/// How a guest shows that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// By a line in its log.
    Line,
    /// By an answer 200 on port 8080.
    Answer,
}

/// What everything is compared with.
pub(crate) const BASELINE: &str = "crun hello";

const CRUN: &str = "crun";
const PODSANDBOX: &str = "slipway";
const PAUSELESS: &str = "slipway-pauseless";

const fn subject(name: &'static str, handler: &'static str, guest: &'static str) -> Subject {
    Subject {
        name,
        handler,
        guest,
        once: &[],
        stay: &["stay"],
        shows: Shows::Line,
        cold: None,
    }
}

const fn python(name: &'static str, handler: &'static str) -> Subject {
    Subject {
        once: &["-c", "print('hello', flush=True)"],
        stay: &[
            "-c",
            "import time; print('hello', flush=True); time.sleep(1000000)",
        ],
        ..subject(name, handler, PYTHON)
    }
}

const fn server(name: &'static str, handler: &'static str, guest: &'static str) -> Subject {
    Subject {
        stay: &[],
        shows: Shows::Answer,
        ..subject(name, handler, guest)
    }
}

const fn cold(subject: Subject, name: &'static str, most: u32) -> Subject {
    Subject {
        name,
        cold: Some(most),
        ..subject
    }
}

/// The interpreter, which is not in the image where it could not be had.
pub(crate) const PYTHON: &str = "python.wasm";

pub(crate) const CRUN_HELLO: Subject = subject(BASELINE, CRUN, "hello");
const RUNC_HELLO: Subject = subject("runc hello", "runc", "hello");
pub(crate) const CRUN_HTTP: Subject = server("crun http", CRUN, "native-http");
pub(crate) const HELLO: Subject = subject("slipway hello", PODSANDBOX, "hello.wasm");
pub(crate) const PYTHON_COMMAND: Subject = python("slipway python", PODSANDBOX);
pub(crate) const HTTP: Subject = server("slipway http", PODSANDBOX, "hello-http.wasm");
pub(crate) const PAUSELESS_HELLO: Subject = subject("pauseless hello", PAUSELESS, "hello.wasm");
pub(crate) const PAUSELESS_PYTHON: Subject = python("pauseless python", PAUSELESS);
pub(crate) const PAUSELESS_HTTP: Subject = server("pauseless http", PAUSELESS, "hello-http.wasm");

/// Started one at a time.
pub(crate) const STARTED: &[Subject] = &[
    CRUN_HELLO,
    RUNC_HELLO,
    HELLO,
    PAUSELESS_HELLO,
    CRUN_HTTP,
    HTTP,
    PAUSELESS_HTTP,
    PYTHON_COMMAND,
    PAUSELESS_PYTHON,
    cold(HELLO, "slipway hello, not compiled", 10),
    cold(HTTP, "slipway http, not compiled", 10),
    // Several seconds each.
    cold(PYTHON_COMMAND, "slipway python, not compiled", 3),
];

/// Started several at a time.
pub(crate) const AT_ONCE: &[Subject] = &[
    CRUN_HELLO,
    RUNC_HELLO,
    HELLO,
    PAUSELESS_HELLO,
    CRUN_HTTP,
    HTTP,
    PAUSELESS_HTTP,
    PYTHON_COMMAND,
];

/// Kept, as many as the command line says.
pub(crate) const KEPT: &[Subject] = &[CRUN_HELLO, HELLO, PAUSELESS_HELLO, HTTP, PAUSELESS_HTTP];

/// How many pods with the interpreter are kept.
pub(crate) const PYTHONS: u32 = 20;
