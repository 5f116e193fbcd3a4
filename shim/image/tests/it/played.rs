//! A containerd with one container, made of tables.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use prost::Message;
use slipway_shim_cache::Digest;

/// What it knows, and what it was asked.
#[derive(Default)]
struct State {
    /// `None` for no container, an empty name for no image.
    image_name: Option<String>,
    image: Option<Digest>,
    content: BTreeMap<String, Vec<u8>>,
    calls: Vec<String>,
}

pub(crate) struct Played {
    folder: tempfile::TempDir,
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// `GetContainerResponse`, with an image or without.
#[derive(Clone, PartialEq, prost::Message)]
struct WithContainer {
    #[prost(message, optional, tag = "1")]
    container: Option<Container>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Container {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "3")]
    image: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WithImage {
    #[prost(message, optional, tag = "1")]
    image: Option<Image>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Image {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "3")]
    target: Option<Target>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Target {
    #[prost(string, tag = "2")]
    digest: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Piece {
    #[prost(int64, tag = "1")]
    offset: i64,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

impl Played {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        // It lives as long as the test's process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    tokio::spawn(serve(socket, Arc::clone(&shared)));
                }
            });
        });
        Self {
            address: path.to_str().unwrap().to_owned(),
            folder,
            state,
        }
    }

    pub(crate) fn address(&self) -> &str {
        assert!(self.folder.path().is_dir());
        &self.address
    }

    /// Keeps these bytes under their digest.
    pub(crate) fn content(&mut self, bytes: &[u8]) {
        self.lie(bytes, bytes);
    }

    /// Keeps bytes under the digest of others.
    pub(crate) fn lie(&mut self, named: &[u8], bytes: &[u8]) {
        let digest = format!("sha256:{}", Digest::of(named));
        let mut state = self.state.lock().unwrap();
        state.content.insert(digest, bytes.to_vec());
    }

    /// Gives the container an image of this index or manifest.
    pub(crate) fn image(&mut self, document: &[u8]) {
        self.content(document);
        let mut state = self.state.lock().unwrap();
        state.image_name = Some("example/image:1".to_owned());
        state.image = Some(Digest::of(document));
    }

    pub(crate) fn no_image(&mut self) {
        self.state.lock().unwrap().image_name = Some(String::new());
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }
}

async fn serve(socket: tokio::net::UnixStream, state: Arc<Mutex<State>>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, Arc::clone(&state)));
    }
}

async fn answer(
    mut request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    state: Arc<Mutex<State>>,
) {
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = request.body_mut().data().await {
        body.extend_from_slice(&chunk);
    }
    let name = Named::decode(&body[5..]).unwrap().name;
    let outcome = {
        let mut state = state.lock().unwrap();
        let method = request.uri().path().rsplit('.').next().unwrap().to_owned();
        let namespace = request.headers()["containerd-namespace"].to_str().unwrap();
        state.calls.push(format!("{namespace} {method}"));
        look_up(&state, &method, &name)
    };
    match outcome {
        Ok(messages) => {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            for message in messages {
                let mut frame = vec![0];
                frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
                frame.extend_from_slice(&message);
                stream.send_data(frame.into(), false).unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        }
        Err(sentence) => {
            let response = Response::builder()
                .header("grpc-status", "5")
                .header("grpc-message", sentence)
                .body(())
                .unwrap();
            respond.send_response(response, true).unwrap();
        }
    }
}

fn look_up(state: &State, method: &str, name: &str) -> Result<Vec<Vec<u8>>, String> {
    let missing = |kind: &str| format!("{kind} {name}: not found");
    Ok(match method {
        "Containers/Get" => {
            let image = state
                .image_name
                .clone()
                .ok_or_else(|| missing("container"))?;
            let id = name.to_owned();
            let container = Some(Container { id, image });
            vec![WithContainer { container }.encode_to_vec()]
        }
        "Images/Get" => {
            let digest = state.image.ok_or_else(|| missing("image"))?;
            let digest = format!("sha256:{digest}");
            let target = Some(Target { digest });
            let name = name.to_owned();
            let image = Some(Image { name, target });
            vec![WithImage { image }.encode_to_vec()]
        }
        "Content/Read" => {
            let bytes = state.content.get(name).ok_or_else(|| missing("content"))?;
            let mut offset = 0;
            let pieces = bytes.chunks(1 << 20).map(|data| {
                let piece = Piece {
                    offset,
                    data: data.to_vec(),
                };
                offset += i64::try_from(data.len()).unwrap();
                piece.encode_to_vec()
            });
            pieces.collect()
        }
        other => return Err(format!("no method {other}")),
    })
}
