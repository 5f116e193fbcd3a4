//! Bytes on the shim's socket, in pieces: no client can do more than end its own connection.
#![no_main]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{LazyLock, Mutex, PoisonError};

use libfuzzer_sys::fuzz_target;
use prost::Message;
use slipway_shim_pod::api::task::{
    CloseIoRequest, CreateTaskRequest, ExecProcessRequest, KillRequest, ProcessRequest,
    ResizePtyRequest, ShutdownRequest, UpdateTaskRequest,
};
use slipway_shim_pod::ttrpc::frame::{self, HEADER, MAX_BODY};
use slipway_shim_pod::ttrpc::message::Request;
use slipway_shim_pod::ttrpc::server::{Server, Source, Ticket, listen};

struct Shim {
    path: String,
    server: Server,
    /// Goes with the process, or stays an empty directory.
    _folder: tempfile::TempDir,
}

static SHIM: LazyLock<Mutex<Shim>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("s").display().to_string();
    let server = Server::new(listen(&path).expect("a socket"));
    Mutex::new(Shim {
        path,
        server,
        _folder: folder,
    })
});

fuzz_target!(|bytes: &[u8]| {
    let whole = frames(bytes, bytes.len().max(1));
    // The first byte of the input is as good as any to cut it by.
    let step = bytes.first().map_or(1, |&byte| usize::from(byte % 23) + 1);
    assert_eq!(frames(bytes, step), whole, "cut every {step} bytes");

    let mut shim = SHIM.lock().unwrap_or_else(PoisonError::into_inner);
    let shim = &mut *shim;
    let mut client = UnixStream::connect(&shim.path).expect("a connection");
    client
        .write_all(bytes)
        .expect("an input is shorter than a socket's buffer");
    shim.server.ready(Source::Listener);
    for (ticket, request) in ready(&mut shim.server) {
        decode(&request);
        shim.server.answer(ticket, Ok(request.payload));
    }
    drop(client);
    ready(&mut shim.server);
    assert!(
        !shim.server.is_connected(),
        "a client that has gone is kept"
    );
});

/// Serves all connections once.
fn ready(server: &mut Server) -> Vec<(Ticket, Request)> {
    let sources: Vec<Source> = server.sources().map(|(source, _, _)| source).collect();
    let connections = sources
        .into_iter()
        .filter(|source| *source != Source::Listener);
    connections
        .flat_map(|source| server.ready(source))
        .collect()
}

/// The frames in `bytes` when they come `step` at a time, and whether they end in an error.
fn frames(bytes: &[u8], step: usize) -> (Vec<frame::Frame>, bool) {
    let (mut buffer, mut frames) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            match frame::take(&mut buffer) {
                Ok(Some(frame)) => {
                    assert!(frame.body.len() <= MAX_BODY);
                    let mut again = Vec::new();
                    frame::put(&mut again, frame.stream, frame.kind, &frame.body)
                        .expect("what was taken can be put");
                    assert_eq!(again.len(), HEADER + frame.body.len());
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

/// The message of each method, from the payload of whichever was called.
fn decode(request: &Request) {
    let payload = request.payload.as_slice();
    let _ = CreateTaskRequest::decode(payload);
    let _ = ProcessRequest::decode(payload);
    let _ = KillRequest::decode(payload);
    let _ = CloseIoRequest::decode(payload);
    let _ = ExecProcessRequest::decode(payload);
    let _ = ResizePtyRequest::decode(payload);
    let _ = UpdateTaskRequest::decode(payload);
    let _ = ShutdownRequest::decode(payload);
}
