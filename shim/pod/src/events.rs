//! Events for containerd, in order, kept while it is away.
//!
//! containerd's own shim gives up after five tries (`pkg/shim/publisher.go`, containerd 2.4). Here the queue waits
//! for containerd as long as the pod lives, bounded in length: a restart loses nothing.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use prost::Message;
use rustix::event::PollFlags;

use crate::api::events::{Envelope, ForwardRequest};
use crate::api::types::{Any, Timestamp};
use crate::log::Log;
use crate::ttrpc::client::Client;

/// More events than a pod makes while containerd is away for long: six a container.
const MAX_QUEUED: usize = 1024;

/// How often an unreachable containerd is tried.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

const SERVICE: &str = "containerd.services.events.ttrpc.v1.Events";

/// One event: topic and protobuf type, both as in containerd's `core/runtime/events.go`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// `Task.Create` answered.
    Create,
    /// The guest runs.
    Start,
    /// The kernel killed for memory.
    Oom,
    /// The process has ended.
    Exit,
    /// `Task.Delete` answered.
    Delete,
    /// `Task.Exec` answered.
    ExecAdded,
    /// What `Task.Exec` added runs.
    ExecStarted,
    /// Frozen.
    Paused,
    /// Thawed.
    Resumed,
}

impl Topic {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Create => ("/tasks/create", "containerd.events.TaskCreate"),
            Self::Start => ("/tasks/start", "containerd.events.TaskStart"),
            Self::Oom => ("/tasks/oom", "containerd.events.TaskOOM"),
            Self::Exit => ("/tasks/exit", "containerd.events.TaskExit"),
            Self::Delete => ("/tasks/delete", "containerd.events.TaskDelete"),
            Self::ExecAdded => ("/tasks/exec-added", "containerd.events.TaskExecAdded"),
            Self::ExecStarted => ("/tasks/exec-started", "containerd.events.TaskExecStarted"),
            Self::Paused => ("/tasks/paused", "containerd.events.TaskPaused"),
            Self::Resumed => ("/tasks/resumed", "containerd.events.TaskResumed"),
        }
    }
}

/// The queue and the connection it drains into.
#[derive(Debug)]
pub struct Publisher {
    address: Option<String>,
    namespace: String,
    queue: VecDeque<Vec<u8>>,
    client: Option<Client>,
    in_flight: bool,
    retry: Duration,
    retry_at: Option<Instant>,
    log: Log,
}

impl Publisher {
    /// Publishes to the socket `address`, as `TTRPC_ADDRESS` names it; to nobody without one.
    #[must_use]
    pub fn new(address: Option<String>, namespace: String, log: Log) -> Self {
        Self {
            address: address.map(|address| {
                let path = address.strip_prefix("unix://");
                path.map_or_else(|| address.clone(), str::to_owned)
            }),
            namespace,
            queue: VecDeque::new(),
            client: None,
            in_flight: false,
            retry: FIRST_RETRY,
            retry_at: None,
            log,
        }
    }

    /// containerd's namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Queues an event, and sends it at once if containerd is there and nothing goes before it.
    pub fn publish(&mut self, topic: Topic, event: &impl Message) {
        if self.address.is_none() {
            return;
        }
        let (topic, type_url) = topic.names();
        let request = ForwardRequest {
            envelope: Some(Envelope {
                timestamp: Some(Timestamp::now()),
                namespace: self.namespace.clone(),
                topic: topic.to_owned(),
                event: Some(Any {
                    type_url: type_url.to_owned(),
                    value: event.encode_to_vec(),
                }),
            }),
        };
        if self.queue.len() >= MAX_QUEUED {
            self.log
                .error("", "event queue full: the oldest event is lost");
            // The front may be on its way; it is answered or sent again, so drop the one after it.
            drop(self.queue.remove(usize::from(self.in_flight)));
        }
        self.queue.push_back(request.encode_to_vec());
        if self.retry_at.is_none() {
            self.send();
        }
    }

    /// Whether everything has arrived.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// What to poll.
    #[must_use]
    pub fn source(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let client = self.client.as_ref()?;
        Some((client.as_fd(), client.interest()))
    }

    /// When to call [`Publisher::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Tries an absent containerd again.
    pub fn on_time(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.send();
        }
    }

    /// Takes containerd's answers.
    pub fn on_ready(&mut self) {
        while let Some(client) = self.client.as_mut() {
            match client.ready() {
                Ok(None) => return,
                Ok(Some(result)) => {
                    if let Err(status) = result {
                        // It was delivered and refused; sending it again changes nothing.
                        self.log
                            .warn("", format_args!("event refused: {}", status.message));
                    }
                    if std::mem::take(&mut self.in_flight) {
                        self.queue.pop_front();
                    }
                    self.retry = FIRST_RETRY;
                    self.send();
                }
                Err(error) => {
                    self.lost(&error);
                    return;
                }
            }
        }
    }

    fn send(&mut self) {
        let (Some(address), Some(event), false) =
            (&self.address, self.queue.front(), self.in_flight)
        else {
            return;
        };
        let client = match self.client.take() {
            Some(client) => Ok(client),
            None => Client::connect(address),
        };
        let sent = client.and_then(|mut client| {
            client.call(SERVICE, "Forward", event.clone())?;
            Ok(client)
        });
        match sent {
            Ok(client) => {
                self.client = Some(client);
                self.in_flight = true;
            }
            Err(error) => self.lost(&error),
        }
    }

    /// The connection is gone. An event on its way is sent again: twice is better than never.
    fn lost(&mut self, error: &io::Error) {
        self.client = None;
        self.in_flight = false;
        if self.queue.is_empty() {
            return;
        }
        self.log
            .debug("", format_args!("events wait for containerd: {error}"));
        self.retry_at = Some(Instant::now() + self.retry);
        self.retry = (self.retry * 2).min(LAST_RETRY);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::api::events::TaskStart;
    use crate::ttrpc::server::{self, Server, Source};

    fn publisher(address: &Path) -> Publisher {
        let log = Log::new(Path::new("/nonexistent"), "pod", false);
        Publisher::new(Some(address.display().to_string()), "k8s.io".into(), log)
    }

    fn start(pid: u32) -> TaskStart {
        TaskStart {
            container_id: "c".into(),
            pid,
        }
    }

    /// Lets both sides run until the server has `count` events, and answers each.
    fn receive(server: &mut Server, publisher: &mut Publisher, count: usize) -> Vec<Envelope> {
        let mut received = Vec::new();
        while received.len() < count {
            let sources: Vec<Source> = server.sources().map(|(source, ..)| source).collect();
            for source in sources {
                for (ticket, request) in server.ready(source) {
                    assert_eq!(request.service, SERVICE);
                    assert_eq!(request.method, "Forward");
                    let forward = ForwardRequest::decode(request.payload.as_slice()).unwrap();
                    received.extend(forward.envelope);
                    server.answer(ticket, Ok(Vec::new()));
                }
            }
            publisher.on_ready();
        }
        received
    }

    #[test]
    fn events_wait_for_containerd_and_keep_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let mut publisher = publisher(&path);
        for pid in 1..=3 {
            publisher.publish(Topic::Start, &start(pid));
        }
        assert!(!publisher.is_idle());
        let retry_at = publisher.deadline().unwrap();

        let mut server = Server::new(server::listen(path.to_str().unwrap()).unwrap());
        publisher.on_time(retry_at);
        let events = receive(&mut server, &mut publisher, 3);
        let pids: Vec<u32> = events
            .iter()
            .map(|envelope| {
                assert_eq!(envelope.topic, "/tasks/start");
                assert_eq!(envelope.namespace, "k8s.io");
                let any = envelope.event.as_ref().unwrap();
                assert_eq!(any.type_url, "containerd.events.TaskStart");
                TaskStart::decode(any.value.as_slice()).unwrap().pid
            })
            .collect();
        assert_eq!(pids, [1, 2, 3]);
        assert!(publisher.is_idle());
    }

    #[test]
    fn an_event_on_its_way_is_sent_again_to_the_next_containerd() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let first = Server::new(server::listen(path.to_str().unwrap()).unwrap());
        let mut publisher = publisher(&path);
        publisher.publish(Topic::Start, &start(1));
        drop(first);
        std::fs::remove_file(&path).unwrap();
        publisher.on_ready();
        let retry_at = publisher.deadline().unwrap();

        let mut second = Server::new(server::listen(path.to_str().unwrap()).unwrap());
        publisher.on_time(retry_at);
        assert_eq!(receive(&mut second, &mut publisher, 1).len(), 1);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut publisher = publisher(Path::new("/nonexistent/socket"));
        for pid in 0..2 * u32::try_from(MAX_QUEUED).unwrap() {
            publisher.publish(Topic::Start, &start(pid));
        }
        assert_eq!(publisher.queue.len(), MAX_QUEUED);
    }
}
