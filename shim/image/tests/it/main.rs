//! Sessions with a containerd that is played.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod played;

use std::fmt::Write;

use played::Played;
use slipway_shim_cache::Digest;
use slipway_shim_image::{ImageError, Layer, Session};

const WASM: &[u8] = b"\0asm\x01\0\0\0";

fn layers(layers: &[(&str, &str, &[u8])]) -> String {
    let mut list = String::new();
    for (media_type, title, bytes) in layers {
        let separator = if list.is_empty() { "" } else { "," };
        let (digest, size) = (Digest::of(bytes), bytes.len());
        write!(
            list,
            r#"{separator}{{"mediaType":"{media_type}","digest":"sha256:{digest}","size":{size},
               "annotations":{{"org.opencontainers.image.title":"{title}"}}}}"#
        )
        .unwrap();
    }
    format!(r#"{{"schemaVersion":2,"config":{{}},"layers":[{list}]}}"#)
}

fn index(manifests: &[(&str, &str, Digest)]) -> String {
    let list: Vec<String> = manifests
        .iter()
        .map(|(os, architecture, digest)| {
            format!(
                r#"{{"digest":"sha256:{digest}","size":1,
                   "platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#
            )
        })
        .collect();
    format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, list.join(","))
}

fn find(played: &Played, named: &str) -> Result<Option<Layer>, String> {
    let mut session = Session::connect(played.address(), "k8s.io").unwrap();
    session
        .layer("c1", named)
        .map_err(|error| error.to_string())
}

#[test]
fn an_artifact_s_layer_is_found_in_three_calls_and_read() {
    let mut played = Played::new();
    played.content(WASM);
    let manifest = layers(&[("application/wasm", "hello.wasm", WASM)]);
    played.image(manifest.as_bytes());
    let mut session = Session::connect(played.address(), "k8s.io").unwrap();
    let layer = session.layer("c1", "/").unwrap().unwrap();
    assert_eq!(layer.digest, Digest::of(WASM));
    assert_eq!(
        played.calls(),
        [
            "k8s.io Containers/Get",
            "k8s.io Images/Get",
            "k8s.io Content/Read"
        ]
    );
    assert_eq!(session.read(&layer).unwrap(), WASM);
}

#[test]
fn the_connection_s_address_may_have_a_scheme() {
    let mut played = Played::new();
    played.image(layers(&[]).as_bytes());
    let address = format!("unix://{}", played.address());
    let mut session = Session::connect(&address, "k8s.io").unwrap();
    assert_eq!(session.layer("c1", "/").unwrap(), None);
}

#[test]
fn of_an_index_the_manifest_that_was_pulled_is_taken() {
    let mut played = Played::new();
    let here = layers(&[("application/wasm", "here", b"here")]);
    let wasm = layers(&[("application/wasm", "wasm", b"wasm")]);
    let digests = [Digest::of(here.as_bytes()), Digest::of(wasm.as_bytes())];
    let architecture = slipway_shim_image::select::architecture();
    let index = index(&[
        ("linux", architecture, digests[0]),
        ("wasip1", "wasm", digests[1]),
    ]);
    played.image(index.as_bytes());
    let sentence = find(&played, "/").unwrap_err();
    assert!(
        sentence.starts_with("none of the image's manifests for wasm or linux/"),
        "{sentence}"
    );
    played.content(here.as_bytes());
    assert_eq!(
        find(&played, "/").unwrap().unwrap().digest,
        Digest::of(b"here")
    );
    played.content(wasm.as_bytes());
    assert_eq!(
        find(&played, "/").unwrap().unwrap().digest,
        Digest::of(b"wasm")
    );
}

#[test]
fn an_index_that_holds_itself_ends() {
    let mut played = Played::new();
    // No index can name its own digest, but each of many may name the next.
    let mut inner = Digest::of(b"bottom");
    let mut last = String::new();
    for _ in 0..40 {
        last = index(&[("wasi", "wasm", inner)]);
        played.content(last.as_bytes());
        inner = Digest::of(last.as_bytes());
    }
    played.image(last.as_bytes());
    assert!(find(&played, "/").unwrap_err().starts_with("none of"));
}

#[test]
fn an_ordinary_image_and_a_container_without_one_have_no_wasm_layer() {
    let mut played = Played::new();
    let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
    played.image(layers(&[(tar, "", b"tar")]).as_bytes());
    assert_eq!(find(&played, "/a.wasm"), Ok(None));
    played.no_image();
    assert_eq!(find(&played, "/a.wasm"), Ok(None));
}

#[test]
fn other_bytes_than_named_are_never_taken() {
    let mut played = Played::new();
    played.image(layers(&[("application/wasm", "a", WASM)]).as_bytes());
    played.lie(WASM, b"\0asm\x01\0\0\x01");
    let mut session = Session::connect(played.address(), "k8s.io").unwrap();
    let layer = session.layer("c1", "/").unwrap().unwrap();
    assert!(matches!(
        session.read(&layer),
        Err(ImageError::Corrupt { .. })
    ));
    played.lie(WASM, &[0; 100]);
    assert!(matches!(
        session.read(&layer),
        Err(ImageError::TooLong { .. })
    ));
}

#[test]
fn a_layer_comes_in_many_pieces() {
    let mut played = Played::new();
    let long: Vec<u8> = (0..9_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    played.content(&long);
    played.image(layers(&[("application/wasm", "a", &long)]).as_bytes());
    let mut session = Session::connect(played.address(), "k8s.io").unwrap();
    let layer = session.layer("c1", "/").unwrap().unwrap();
    assert_eq!(session.read(&layer).unwrap(), long);
}

#[test]
fn what_containerd_says_is_passed_on() {
    let played = Played::new();
    let sentence = find(&played, "/").unwrap_err();
    assert_eq!(
        sentence,
        "containerd: looking up the container: container c1: not found (gRPC status 5)"
    );
    let nowhere = Session::connect("/nowhere/containerd.sock", "k8s.io").unwrap_err();
    assert!(
        nowhere
            .to_string()
            .starts_with("containerd at /nowhere/containerd.sock: "),
        "{nowhere}"
    );
}

#[test]
fn a_peer_that_speaks_something_else_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut peer, b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        // Read to the end, so that the words arrive.
        std::io::copy(&mut peer, &mut std::io::sink()).unwrap();
    });
    let address = path.to_str().unwrap();
    let answer =
        Session::connect(address, "k8s.io").and_then(|mut session| session.layer("c1", "/"));
    assert!(answer.is_err());
    thread.join().unwrap();
}
