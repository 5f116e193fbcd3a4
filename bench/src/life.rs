//! A pod's life: each step timed as a kubelet sees it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use slipway_e2e_cri::cri::{
    CreateContainerRequest, Empty, Id, LinuxPodSandboxConfig, RunPodSandboxRequest,
};
use slipway_e2e_cri::grpc::Connection;
use slipway_e2e_cri::node::Node;
use slipway_e2e_cri::runtime::Runtime;

use crate::cri::{PATIENCE, address, call};
use crate::exits::Exits;
use crate::log_watch::LogWatch;
use crate::subject::{Shows, Subject};

/// Between two tries to reach a server that does not listen yet: nothing tells from outside when it does.
const BETWEEN_TRIES: Duration = Duration::from_micros(500);

/// How long each step took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Life {
    /// `RunPodSandbox`.
    pub(crate) sandbox: f64,
    /// `CreateContainer`.
    pub(crate) create: f64,
    /// `StartContainer`.
    pub(crate) start: f64,
    /// From the call of `RunPodSandbox` to the first line of the log, or to the first answer 200.
    pub(crate) first_output: f64,
    /// From the call of `RunPodSandbox` to the event that the container has ended; servers do not end.
    pub(crate) exit: Option<f64>,
    /// `StopPodSandbox`.
    pub(crate) stop: f64,
    /// `RemovePodSandbox`.
    pub(crate) remove: f64,
    /// All of it.
    pub(crate) whole: f64,
}

/// A pod whose container has shown that it is there.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The pod's id.
    pub(crate) sandbox: String,
    /// The container's id.
    pub(crate) container: String,
    began: Instant,
    ran: Duration,
    created: Duration,
    started: Duration,
    shown: Duration,
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// One whole life of a pod that has something to say.
///
/// # Errors
/// What containerd says, or that the pod shows nothing in time.
pub(crate) fn live(
    node: &Node,
    exits: &Exits,
    connection: &mut Connection,
    subject: &Subject,
) -> Result<Life> {
    let begun = begin(node, connection, subject, subject.once, None)?;
    let exit = match subject.shows {
        Shows::Line => Some(ms(exits.wait(&begun.container, PATIENCE)? - begun.began)),
        Shows::Answer => None,
    };
    let (stop, remove) = end(connection, &begun.sandbox)?;
    Ok(Life {
        sandbox: ms(begun.ran),
        create: ms(begun.created),
        start: ms(begun.started),
        first_output: ms(begun.shown),
        exit,
        stop: ms(stop),
        remove: ms(remove),
        whole: ms(begun.began.elapsed()),
    })
}

/// Runs a pod with one container until that has shown that it is there; below the cgroup `parent`, if that matters.
///
/// # Errors
/// What containerd says, or that the pod shows nothing in time.
pub(crate) fn begin(
    node: &Node,
    connection: &mut Connection,
    subject: &Subject,
    args: &[&str],
    parent: Option<&str>,
) -> Result<Begun> {
    let mut pod = node.pod_config()?;
    if let Some(parent) = parent {
        let linux: &mut LinuxPodSandboxConfig = pod.linux.get_or_insert_default();
        parent.clone_into(&mut linux.cgroup_parent);
    }
    let container = node.container_config(subject.guest, args);
    let watch = LogWatch::new(Path::new(&pod.log_directory), &container.log_path)?;
    let run = RunPodSandboxRequest {
        config: Some(pod.clone()),
        runtime_handler: subject.handler.to_owned(),
    };
    let mut create = CreateContainerRequest {
        pod_sandbox_id: String::new(),
        config: Some(container),
        sandbox_config: Some(pod),
    };

    let began = Instant::now();
    let sandbox: Id = call(connection, "RunPodSandbox", &run)?;
    let ran = began.elapsed();
    create.pod_sandbox_id.clone_from(&sandbox.id);
    std::thread::scope(|scope| {
        let (go, starting) = mpsc::channel();
        let id = &sandbox.id;
        let runtime = &node.runtime;
        let watching = scope.spawn(move || match subject.shows {
            Shows::Line => watch.first_line(PATIENCE),
            Shows::Answer => first_answer(runtime, id, &starting),
        });
        let before = Instant::now();
        let container: Id = call(connection, "CreateContainer", &create)?;
        let created = before.elapsed();
        let before = Instant::now();
        // Nobody waits for it where the log tells.
        let _ = go.send(());
        call::<Empty>(connection, "StartContainer", &container)?;
        let started = before.elapsed();
        let shown = watching
            .join()
            .map_err(|_| anyhow!("the watching thread panicked"))??;
        Ok(Begun {
            sandbox: sandbox.id.clone(),
            container: container.id,
            began,
            ran,
            created,
            started,
            shown: shown - began,
        })
    })
}

/// Stops and removes a pod; how long either took.
///
/// # Errors
/// What containerd says.
pub(crate) fn end(connection: &mut Connection, sandbox: &str) -> Result<(Duration, Duration)> {
    let id = Id {
        id: sandbox.to_owned(),
    };
    let before = Instant::now();
    call::<Empty>(connection, "StopPodSandbox", &id)?;
    let stopped = before.elapsed();
    let before = Instant::now();
    call::<Empty>(connection, "RemovePodSandbox", &id)?;
    Ok((stopped, before.elapsed()))
}

/// Asks the pod's address on another connection, and its server again and again from the start on.
fn first_answer(
    runtime: &Runtime,
    sandbox: &str,
    starting: &mpsc::Receiver<()>,
) -> Result<Instant> {
    let address = address(&mut runtime.connection()?, sandbox)?;
    starting.recv().context("the container was not created")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask(address) {
            Ok(()) => return Ok(Instant::now()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).context("the server does not answer");
            }
            Err(_) => std::thread::sleep(BETWEEN_TRIES),
        }
    }
}

/// `GET /` until there is an answer 200.
pub(crate) fn ask(address: Ipv4Addr) -> Result<()> {
    let at = SocketAddr::from((address, 8080));
    let mut connection = TcpStream::connect_timeout(&at, Duration::from_secs(5))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(b"GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    connection.read_exact(&mut head)?;
    ensure!(
        head == *b"HTTP/1.1 200",
        "it answers {:?}",
        head.escape_ascii().to_string()
    );
    let mut rest = Vec::new();
    if connection.read_to_end(&mut rest)? == 0 {
        bail!("the answer is cut");
    }
    Ok(())
}
