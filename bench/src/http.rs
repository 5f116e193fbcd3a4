//! How many requests servers answer, each alone on one processor and asked from another, in turns.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};
use slipway_e2e_cri::cri::{ContainerConfig, PodSandboxConfig};
use slipway_e2e_cri::pod::{Container, Pod};
use slipway_e2e_cri::wait::{SOON, until};

use crate::load::{self, Answered, Until};
use crate::session::Session;
use crate::statistics::median;
use crate::{cri, life, processes, say};

/// Connections at a time.
pub(crate) const CONNECTIONS: [usize; 3] = [1, 16, 128];

/// How long a server is asked before it is measured.
const WARM: Duration = Duration::from_millis(500);

/// After how many requests the worker's memory is looked at, and over how many connections they come.
const MANY: u64 = 100_000;
const MANY_OVER: usize = 16;
/// How long it is left alone then, for the second look.
const QUIET: Duration = Duration::from_secs(3);

/// The server without WebAssembly.
pub(crate) const NATIVE: &str = "native hyper";
/// Ours, an instance for each request.
pub(crate) const OURS: &str = "slipway";
/// Ours, with instances that serve many requests.
pub(crate) const REUSING: &str = "slipway, reuse 128";
/// The engine's own server.
pub(crate) const WASMTIME: &str = "wasmtime serve";

/// What was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Http {
    /// Each server with each number of connections.
    pub(crate) served: Vec<Served>,
    /// What our worker takes, in KiB of its own, once it listens.
    pub(crate) worker_fresh: f64,
    /// And after 100,000 requests over 16 connections.
    pub(crate) worker_used: f64,
    /// And when it has been quiet for a while after them.
    pub(crate) worker_quiet: f64,
    /// And when it has been quiet at the end, after 128 connections at a time.
    pub(crate) worker_last: f64,
    /// How many requests it has answered by then.
    pub(crate) requests: u64,
}

/// A server with so many connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Served {
    /// Which.
    pub(crate) server: String,
    /// How many connections.
    pub(crate) connections: usize,
    /// Requests a second, round by round.
    pub(crate) rates: Vec<f64>,
    /// Requests for each second of the server's processor time.
    pub(crate) rates_cpu: Vec<f64>,
    /// Latency in microseconds that half are below.
    pub(crate) p50: Vec<f64>,
    /// And ninety-nine of a hundred.
    pub(crate) p99: Vec<f64>,
}

impl Served {
    /// A figure's median.
    pub(crate) fn of(&self, figure: impl Fn(&Self) -> &Vec<f64>) -> Option<f64> {
        median(figure(self))
    }
}

impl Http {
    /// A server with so many connections.
    pub(crate) fn served(&self, server: &str, connections: usize) -> Option<&Served> {
        let is = |served: &&Served| served.server == server && served.connections == connections;
        self.served.iter().find(is)
    }
}

/// A server in a pod.
struct Server<'a> {
    name: &'static str,
    pod: Pod<'a>,
    process: u32,
    address: Ipv4Addr,
}

/// Starts all servers, asks each in turn, and removes them.
///
/// # Errors
/// When a server does not answer as it should.
pub(crate) fn measure(session: &Session) -> Result<Http> {
    let servers = servers(session)?;
    let processors = processes::two_processors().filter(|(first, last)| first != last);
    if let Some((first, _)) = processors {
        for server in &servers {
            processes::pin(server.process, first)?;
        }
    }
    let generator = processors.map(|(_, last)| last);
    let ours = servers
        .iter()
        .find(|server| server.name == OURS)
        .context(OURS)?;
    let private = || {
        let look = processes::look(ours.process);
        look.map(|(_, size)| size.uss).context("the worker is gone")
    };
    let worker_fresh = private()?;
    let mut requests = ask(ours, generator, MANY_OVER, Until::Answers(MANY))?.answers;
    let worker_used = private()?;
    std::thread::sleep(QUIET);
    let worker_quiet = private()?;
    let mut all: Vec<Served> = Vec::new();
    for round in 0..session.args.http_rounds {
        for connections in CONNECTIONS {
            for turn in 0..servers.len() {
                let server = &servers[(turn + round as usize) % servers.len()];
                let length = Duration::from_secs_f64(session.args.seconds);
                let warm = ask(server, generator, connections, Until::Time(WARM))?;
                let spent = processes::cpu_seconds(server.process);
                let answered = ask(server, generator, connections, Until::Time(length))?;
                let spent = processes::cpu_seconds(server.process) - spent;
                if server.name == OURS {
                    requests += warm.answers + answered.answers;
                }
                note(&mut all, server.name, connections, &answered, spent);
            }
        }
        say(&format!(
            "    round {} of {}: {}",
            round + 1,
            session.args.http_rounds,
            progress(&all)
        ));
    }
    std::thread::sleep(QUIET);
    let worker_last = private()?;
    for server in &servers {
        server.pod.remove()?;
    }
    Ok(Http {
        served: all,
        worker_fresh,
        worker_used,
        worker_quiet,
        worker_last,
        requests,
    })
}

fn note(all: &mut Vec<Served>, name: &str, connections: usize, answered: &Answered, spent: f64) {
    let is = |served: &Served| served.server == name && served.connections == connections;
    let at = all.iter().position(is).unwrap_or_else(|| {
        all.push(Served {
            server: name.to_owned(),
            connections,
            rates: Vec::new(),
            rates_cpu: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
        });
        all.len() - 1
    });
    let served = &mut all[at];
    let answers = answered.answers as f64;
    served.rates.push(answers / answered.seconds);
    if spent > 0.0 {
        served.rates_cpu.push(answers / spent);
    }
    served.p50.push(answered.p50);
    served.p99.push(answered.p99);
}

fn progress(all: &[Served]) -> String {
    let at = |served: &&Served| served.connections == 16;
    let each = all.iter().filter(at).map(|served| {
        let last = served.rates.last().copied().unwrap_or_default();
        format!("{} {last:.0}", served.server)
    });
    let each: Vec<String> = each.collect();
    format!("requests/s at 16: {}", each.join(", "))
}

/// Asks from a thread of its own, on a processor of its own.
fn ask(
    server: &Server<'_>,
    processor: Option<usize>,
    connections: usize,
    until: Until,
) -> Result<Answered> {
    let to = SocketAddr::from((server.address, 8080));
    let asking = std::thread::spawn(move || {
        if let Some(processor) = processor {
            processes::pin_thread(None, processor)?;
        }
        load::ask(to, connections, until)
    });
    let answered = asking
        .join()
        .map_err(|_| anyhow!("the load generator panicked"))?;
    answered.with_context(|| format!("{} at {connections} connections", server.name))
}

fn servers(session: &Session) -> Result<Vec<Server<'_>>> {
    let mut all = vec![
        server(session, NATIVE, "crun", "native-http", &[], |_| {})?,
        server(session, OURS, "slipway", "hello-http.wasm", &[], |_| {})?,
        server(session, REUSING, "slipway", "hello-http.wasm", &[], |pod| {
            let annotations = &mut pod.annotations;
            annotations.insert("slipway.dev/http-reuse".to_owned(), "128".to_owned());
        })?,
    ];
    if session.guests.iter().any(|guest| guest == "wasmtime") {
        // Through the loader that the image has beside it: the program is dynamic, as it is published.
        let serve = [
            "--library-path",
            "/",
            "/wasmtime",
            "serve",
            "-Scli",
            "--addr",
            "0.0.0.0:8080",
            "/hello-http.wasm",
        ];
        all.push(server(session, WASMTIME, "crun", "loader", &serve, |_| {})?);
    } else {
        say("    wasmtime is not in the image and is left out");
    }
    Ok(all)
}

/// A server in a pod of its own, with one processor.
fn server<'a>(
    session: &'a Session,
    name: &'static str,
    handler: &str,
    guest: &str,
    args: &[&str],
    change: impl FnOnce(&mut PodSandboxConfig),
) -> Result<Server<'a>> {
    let pod = session.node.pod_of(handler, change)?;
    let container = pod.run_with(guest, args, one_processor)?;
    let mut connection = session.node.runtime.connection()?;
    let address = cri::address(&mut connection, &pod.id)?;
    let ready = until("an answer", SOON, || Ok(life::ask(address).ok()));
    ready.with_context(|| format!("{name}; its log: {:?}", lines(&container)))?;
    Ok(Server {
        name,
        process: container.process()?,
        pod,
        address,
    })
}

fn lines(container: &Container<'_>) -> Vec<String> {
    let lines = container.lines().unwrap_or_default();
    lines.into_iter().map(|line| line.text).collect()
}

/// `cpu: "1"`, by which our worker and wasmtime choose how many threads they have.
fn one_processor(config: &mut ContainerConfig) {
    let linux = config.linux.get_or_insert_default();
    let resources = linux.resources.get_or_insert_default();
    resources.cpu_period = 100_000;
    resources.cpu_quota = 100_000;
    resources.cpu_shares = 1024;
}
