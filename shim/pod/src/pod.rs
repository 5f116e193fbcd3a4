//! The pod process: everything it holds, and its loop.
//!
//! ```text
//! containerd ── ttrpc ──► Server ─ requests ─► service ─► tasks ◄── worker channels, pause reports
//!        ▲                   ▲                              ▲  ▲
//!        │                   └───────── answers ────────────┘  └── SIGCHLD, cgroup placements, compilations
//!        └──── events ◄── Publisher
//! ```
//!
//! One thread and one `poll`. Whatever may wait for somebody else is a descriptor or a deadline in it. What is done in between
//! is bounded, not always instant: a module of up to 32 MiB is read and hashed (`slipway_shim_cache::INLINE_LIMIT`), small
//! files and cgroups are read and written.

mod ahead;
mod child;
mod code;
mod create;
mod delete;
mod exec;
mod limits;
mod logger;
mod native;
mod sandbox;
mod service;
mod setup;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use slipway_shim_cache::Cache;
use slipway_shim_cgroup::{Hierarchies, Placement, SystemdConnection, UnitJob};

use crate::compile::Compilation;
use crate::containerd::Containerd;
use crate::events::Publisher;
use crate::log::Log;
use crate::programs::Programs;
use crate::sandbox::Sandbox;
use crate::signals::Signals;
use crate::spawn::Pid;
use crate::task::stdio::Logger;
use crate::task::terminal::Terminal;
use crate::task::{Oom, Phase, ProcessId, Task, Tasks};
use crate::ttrpc::server::{Server, Source};

/// How often streams without a reader are looked at; poll(2) does not tell when a reader comes.
const LINGER: Duration = Duration::from_millis(250);

/// A shim without tasks and without containerd waits this long for either: longer than a restart takes.
const IDLE: Duration = Duration::from_secs(120);

/// After `Shutdown`, how long to wait for containerd to hang up, for events to arrive and for systemd.
const FAREWELL: Duration = Duration::from_secs(5);

/// The pod process.
#[derive(Debug)]
pub struct Pod {
    log: Log,
    signals: Signals,
    server: Server,
    publisher: Publisher,
    programs: Programs,
    containerd: Containerd,
    hierarchies: Option<Hierarchies>,
    cache: Option<Cache>,
    tasks: Tasks,
    /// Ends of children, told once it is known whose they were.
    strays: Vec<(Pid, u32)>,
    /// The child that waits for a grace period.
    grace: Option<Pid>,
    /// For the next scope.
    systemd: Option<SystemdConnection>,
    sandbox: Option<Sandbox>,
    /// Whether containerd has removed the sandbox.
    shut_down: bool,
    compilations: Vec<Compilation>,
    loggers: Vec<Logger>,
    jobs: Vec<UnitJob>,
    linger_at: Option<Instant>,
    /// When to leave even if somebody is still connected.
    leave_at: Option<Instant>,
    /// Since when there is neither a task nor a connection.
    idle_since: Option<Instant>,
}

/// What a polled descriptor stands for.
#[derive(Debug, Clone)]
enum Token {
    Signals,
    Server(Source),
    Publisher,
    Process(ProcessId),
    Terminal(ProcessId),
    Oom(String),
    Placement(ProcessId),
    Compilation(Pid),
    Logger(Pid),
    Job(usize),
}

impl Pod {
    /// A pod process without tasks.
    #[must_use]
    pub fn new(
        log: Log,
        signals: Signals,
        listener: OwnedFd,
        publisher: Publisher,
        programs: Programs,
        containerd: Containerd,
    ) -> Self {
        Self {
            log,
            signals,
            server: Server::new(listener),
            publisher,
            programs,
            containerd,
            hierarchies: None,
            cache: None,
            tasks: Tasks::default(),
            strays: Vec::new(),
            grace: None,
            systemd: None,
            sandbox: None,
            shut_down: false,
            compilations: Vec::new(),
            loggers: Vec::new(),
            jobs: Vec::new(),
            linger_at: None,
            leave_at: None,
            idle_since: None,
        }
    }

    /// Runs until the pod is gone.
    pub fn run(&mut self) {
        loop {
            let now = Instant::now();
            self.on_time(now);
            if self.may_leave(now) {
                return;
            }
            for token in self.poll(now) {
                self.on_ready(token);
            }
        }
    }

    /// Waits for descriptors and deadlines, and returns who is ready.
    fn poll(&self, now: Instant) -> Vec<Token> {
        let sources = self.sources();
        let mut descriptors: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(_, descriptor, interest)| PollFd::from_borrowed_fd(*descriptor, *interest))
            .collect();
        let timeout = self.deadline().map(|at| {
            let left = at.saturating_duration_since(now);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                // Up to the next millisecond, so that the deadline has passed on waking.
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        // EINTR: all signals are blocked, but a debugger may still interrupt; the loop comes round.
        if rustix::event::poll(&mut descriptors, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let ready: Vec<bool> = descriptors
            .iter()
            .map(|descriptor| !descriptor.revents().is_empty())
            .collect();
        let mut tokens = Vec::new();
        for ((token, ..), ready) in sources.into_iter().zip(ready) {
            if ready {
                tokens.push(token);
            }
        }
        tokens
    }

    fn sources(&self) -> Vec<(Token, BorrowedFd<'_>, PollFlags)> {
        let input = PollFlags::IN;
        let mut sources = Vec::new();
        // What workers say is heard before that they have ended, and requests before both.
        for (source, descriptor, interest) in self.server.sources() {
            sources.push((Token::Server(source), descriptor, interest));
        }
        for (id, process) in self.tasks.values().flat_map(Task::processes) {
            if let Phase::SettingUp(setup) = &process.phase
                // Nobody reads it then.
                && setup.failure.is_none()
                && let Some(descriptor) = setup.placement.as_ref().and_then(Placement::as_fd)
            {
                sources.push((Token::Placement(id.clone()), descriptor, input));
            }
            for (_, descriptor, interest) in process
                .keepers
                .terminal()
                .into_iter()
                .flat_map(Terminal::sources)
            {
                sources.push((Token::Terminal(id.clone()), descriptor, interest));
            }
            if let Some(descriptor) = process.kind.source() {
                sources.push((Token::Process(id), descriptor, input));
            }
        }
        for task in self.tasks.values() {
            if let Some(oom) = &task.oom {
                // Before the end of what was killed.
                sources.push((Token::Oom(task.id.clone()), oom.as_fd(), input));
            }
        }
        sources.push((Token::Signals, self.signals.as_fd(), input));
        if let Some((descriptor, interest)) = self.publisher.source() {
            sources.push((Token::Publisher, descriptor, interest));
        }
        for compilation in self.compilations.iter().filter(|c| c.is_open()) {
            let token = Token::Compilation(compilation.pid);
            sources.push((token, compilation.as_fd(), input));
        }
        for logger in &self.loggers {
            if let Some(descriptor) = logger.source() {
                sources.push((Token::Logger(logger.pid), descriptor, input));
            }
        }
        for (index, job) in self.jobs.iter().enumerate() {
            sources.push((Token::Job(index), job.as_fd(), input));
        }
        sources
    }

    fn on_ready(&mut self, token: Token) {
        match token {
            Token::Signals => self.on_signals(),
            Token::Server(source) => {
                for (ticket, request) in self.server.ready(source) {
                    self.serve(ticket, request);
                }
            }
            Token::Publisher => self.publisher.on_ready(),
            Token::Process(id) => self.on_word(&id),
            Token::Terminal(id) => {
                if let Some(process) = self.tasks.process(&id)
                    && let Some(terminal) = process.keepers.terminal_mut()
                {
                    terminal.on_ready();
                    if process.exit().is_some() {
                        // Its reader has made room: look at once whether all is passed on.
                        self.linger_at = None;
                    }
                }
            }
            Token::Oom(id) => self.tell_oom(&id),
            Token::Placement(id) => self.on_placement(&id),
            Token::Compilation(pid) => {
                let mut compilations = self.compilations.iter_mut();
                if let Some(compilation) = compilations.find(|c| c.pid == pid) {
                    compilation.on_ready();
                }
            }
            Token::Logger(pid) => self.on_logger(pid),
            Token::Job(index) => self.on_job(index),
        }
    }

    fn on_signals(&mut self) {
        for signal in self.signals.drain() {
            match signal {
                libc::SIGCHLD => self.reap(),
                // Whoever stops containerd must not stop its pods; one without tasks may go.
                libc::SIGTERM | libc::SIGINT if self.is_empty() => {
                    self.leave_at = Some(Instant::now());
                }
                _ => {}
            }
        }
    }

    /// A job that systemd was asked for without anybody waiting.
    fn on_job(&mut self, index: usize) {
        let Some(job) = self.jobs.get_mut(index) else {
            return;
        };
        match job.on_ready() {
            Poll::Pending => {}
            Poll::Ready(result) => {
                drop(self.jobs.swap_remove(index));
                if let Err(error) = result {
                    self.log.warn("", error);
                }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let compilations = self.compilations.iter().map(Compilation::deadline);
        let natives = self.tasks.values().filter_map(|task| task.native.as_ref());
        let idle = self.idle_since.map(|since| since + IDLE);
        // While there are loggers nobody leaves.
        let leave = self.leave_at.into_iter().chain(idle);
        let leave = leave.filter(|_| self.loggers.is_empty());
        let loggers = self.loggers.iter().filter_map(Logger::deadline);
        let ooms = self.tasks.values().filter_map(|task| task.oom.as_ref());
        compilations
            .chain(ooms.filter_map(Oom::deadline))
            .chain(loggers)
            .chain(natives.filter_map(|native| native.deadline()))
            .chain(self.publisher.deadline())
            .chain(self.linger_at)
            .chain(leave)
            .chain(self.unexpected_at())
            .min()
    }

    fn on_time(&mut self, now: Instant) {
        self.publisher.on_time(now);
        for compilation in &mut self.compilations {
            compilation.on_time(now);
        }
        self.look_after_loggers(now);
        self.expect_nothing_more(now);
        self.look_for_oom(now);
        for native in self
            .tasks
            .values_mut()
            .filter_map(|task| task.native.as_mut())
        {
            native.on_time(now);
        }
        if self.linger_at.is_none_or(|at| at <= now) {
            let mut left = false;
            for process in self.tasks.values_mut().flat_map(Task::processes_mut) {
                left |= process.exit().is_some() && !process.keepers.release();
            }
            self.linger_at = left.then(|| now + LINGER);
        }
    }

    /// Whether neither a task nor a sandbox is left.
    fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.sandbox.is_none()
    }

    /// Whether this process is of no further use: no task, and containerd has said goodbye and hung up
    /// (leaving right after the answer makes containerd's last call fail with "ttrpc: closed").
    fn may_leave(&mut self, now: Instant) -> bool {
        if !self.is_empty() {
            self.leave_at = None;
            self.idle_since = None;
            return false;
        }
        if !self.loggers.is_empty() {
            // Each has its deadline.
            return false;
        }
        if self.shut_down {
            self.leave_at.get_or_insert(now + FAREWELL);
        }
        if let Some(at) = self.leave_at {
            let quiet =
                !self.server.is_connected() && self.publisher.is_idle() && self.jobs.is_empty();
            return quiet || at <= now;
        }
        if self.server.is_connected() {
            self.idle_since = None;
            return false;
        }
        let since = *self.idle_since.get_or_insert(now);
        now.duration_since(since) >= IDLE
    }
}
