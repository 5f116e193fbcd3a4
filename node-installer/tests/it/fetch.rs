//! Downloads from real servers, and archives that are wrong in each way one can be.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rstest::rstest;
use slipway_node_installer::digest;
use slipway_node_installer::failure::Reason as _;
use slipway_node_installer::fetch::{Dialer, FetchError, Order, fetch};
use tar::{Builder, EntryType, Header};

use crate::server::{Answer, Server, authority};

const BINARY: &str = "containerd-shim-spin-v2";
const INSTALLER: &str = env!("CARGO_BIN_EXE_slipway-node-installer");

/// A program of this machine: any will do, and this test is one.
fn elf() -> Vec<u8> {
    let mut head = fs::read(std::env::current_exe().unwrap()).unwrap();
    head.truncate(4096);
    head
}

/// One of another.
fn foreign_elf() -> Vec<u8> {
    let mut bytes = elf();
    bytes[18..20].copy_from_slice(&22_u16.to_le_bytes());
    bytes
}

/// An archive of entries: a path, a kind, and bytes or a link's target. Paths are written as they are, which the
/// library that makes archives does not do for bad ones.
fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, bytes) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let link = matches!(kind, EntryType::Symlink | EntryType::Link);
        if link {
            header.set_link_name_literal(bytes).unwrap();
        }
        let body: &[u8] = if kind.is_file() { bytes } else { &[] };
        header.set_size(body.len() as u64);
        header.set_cksum();
        builder.append(&header, body).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const FILE: EntryType = EntryType::Regular;

fn good_archive() -> Vec<u8> {
    archive(&[
        ("release/", EntryType::Directory, b""),
        ("release/bin/containerd-shim-spin-v2", FILE, &elf()),
        ("release/bin/helper", FILE, b"#!/bin/sh\n"),
        ("release/README.md", FILE, b"hello"),
    ])
}

fn order(url: String, body: &[u8], out: &Path) -> Order {
    Order {
        url,
        sha256: digest::of_bytes(body),
        binary: BINARY.to_owned(),
        out: out.to_owned(),
        max_bytes: 1024 * 1024,
        retries: 3,
        delay: Duration::from_millis(1),
    }
}

fn run(dialer: &Dialer, order: &Order) -> Result<Vec<String>, FetchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(fetch(dialer, order))
}

fn direct() -> Dialer {
    Dialer::with_proxy(None, None, false).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Fetches a body into a folder.
pub(crate) fn download_of(body: &[u8], out: &Path) -> Result<Vec<String>, FetchError> {
    let served = body.to_vec();
    let server = Server::plain(move |_, _| Answer::ok(&served));
    run(
        &direct(),
        &order(format!("http://{}/x", server.address), body, out),
    )
}

/// Fetches a body that a server has; the folder must be empty after a failure.
fn fetch_body(body: &[u8]) -> Result<Vec<String>, FetchError> {
    let dir = tempfile::tempdir().unwrap();
    let result = download_of(body, dir.path());
    if result.is_err() {
        assert_eq!(files(dir.path()), [] as [PathBuf; 0]);
    }
    result
}

#[rstest]
#[case::binary(elf(), &[BINARY])]
#[case::tar(good_archive(), &[BINARY, "helper"])]
#[case::gzipped(gzip(&good_archive()), &[BINARY, "helper"])]
#[case::at_the_top(archive(&[("./containerd-shim-spin-v2", FILE, &elf())]), &[BINARY])]
fn a_binary_and_its_neighbours_come_out(#[case] body: Vec<u8>, #[case] names: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let served = body.clone();
    let server = Server::plain(move |_, _| Answer::ok(&served));
    let order = order(format!("http://{}/a?b", server.address), &body, dir.path());
    assert_eq!(run(&direct(), &order).unwrap(), names);
    assert_eq!(fs::read(dir.path().join(BINARY)).unwrap(), elf());
    let read = slipway_node_installer::payload::source::read(dir.path(), BINARY).unwrap();
    assert_eq!(
        read.files.len(),
        names.len(),
        "an install takes it as it is"
    );
    assert_eq!(server.seen(), ["/a?b"]);
    // The same again is no error: a Job may be tried again.
    assert_eq!(run(&direct(), &order).unwrap(), names);
}

#[rstest]
#[case::climbing(archive(&[(BINARY, FILE, &elf()), ("../evil", FILE, b"x")]), "leads out of it")]
#[case::climbing_within(archive(&[(BINARY, FILE, &elf()), ("a/../../evil", FILE, b"x")]), "leads out of it")]
#[case::absolute(archive(&[(BINARY, FILE, &elf()), ("/etc/cron.d/evil", FILE, b"x")]), "leads out of it")]
#[case::symbolic_link(archive(&[(BINARY, FILE, &elf()), ("x", EntryType::Symlink, b"/etc")]), "a symbolic link")]
#[case::shim_as_link(archive(&[(BINARY, EntryType::Symlink, b"/bin/sh")]), "a symbolic link")]
#[case::hard_link(archive(&[(BINARY, FILE, &elf()), ("x", EntryType::Link, b"/etc/shadow")]), "a hard link")]
#[case::device(archive(&[(BINARY, FILE, &elf()), ("x", EntryType::Block, b"")]), "a device")]
#[case::terminal(archive(&[(BINARY, FILE, &elf()), ("x", EntryType::Char, b"")]), "a device")]
#[case::pipe(archive(&[(BINARY, FILE, &elf()), ("x", EntryType::Fifo, b"")]), "a named pipe")]
#[case::nothing(archive(&[("README", FILE, b"x")]), "holds no file containerd-shim-spin-v2")]
#[case::a_folder_of_its_name(archive(&[("containerd-shim-spin-v2/", EntryType::Directory, b"")]), "holds no file")]
#[case::two(archive(&[("a/containerd-shim-spin-v2", FILE, &elf()), ("b/containerd-shim-spin-v2", FILE, &elf())]), "more than once")]
#[case::one_twice(archive(&[(BINARY, FILE, &elf()), (BINARY, FILE, b"other")]), "more than once")]
#[case::neighbour_twice(archive(&[(BINARY, FILE, &elf()), ("x", FILE, b"a"), ("x", FILE, b"b")]), "comes twice")]
#[case::our_name(archive(&[(BINARY, FILE, &elf()), ("slipway-node-installer", FILE, b"x")]), "this program's own name")]
#[case::odd_name(archive(&[(BINARY, FILE, &elf()), ("a b", FILE, b"x")]), "is no file name")]
#[case::other_machine(archive(&[(BINARY, FILE, &foreign_elf())]), "is built for s390x")]
#[case::other_machines_neighbour(archive(&[(BINARY, FILE, &elf()), ("x", FILE, &foreign_elf())]), "is built for s390x")]
#[case::script(archive(&[(BINARY, FILE, b"#!/bin/sh\n")]), "is no ELF binary")]
#[case::other_machines_binary(foreign_elf(), "is built for s390x")]
#[case::page(b"<html>sign in</html>".to_vec(), "neither an ELF binary nor a tar archive")]
#[case::empty(Vec::new(), "neither an ELF binary nor a tar archive")]
#[case::cut(gzip(&good_archive())[..900].to_vec(), "cannot be read")]
#[case::torn(good_archive()[..1500].to_vec(), "cannot be read")]
#[case::bomb(gzip(&archive(&[(BINARY, FILE, &elf()), ("x", FILE, &vec![0; 5 * 1024 * 1024])])), "unpacks to more than 4194304 bytes")]
fn a_bad_archive_is_refused_as_a_whole(#[case] body: Vec<u8>, #[case] why: &str) {
    let error = fetch_body(&body).unwrap_err();
    let text = slipway_node_installer::failure::chain(&error);
    assert!(text.contains(why), "{text}");
    assert!(
        ["ArchiveRefused", "WrongArchitecture"].contains(&error.reason()),
        "{}",
        error.reason()
    );
}

#[test]
fn too_many_files_are_refused() {
    let names: Vec<String> = (0..70).map(|n| format!("file-{n}")).collect();
    let shim = elf();
    let mut entries: Vec<(&str, EntryType, &[u8])> = vec![(BINARY, FILE, &shim)];
    entries.extend(
        names
            .iter()
            .map(|name| (name.as_str(), FILE, b"x".as_slice())),
    );
    let error = fetch_body(&archive(&entries)).unwrap_err();
    assert!(
        error.to_string().contains("more than 64 entries"),
        "{error}"
    );
}

#[test]
fn other_bytes_than_named_are_never_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::plain(|_, _| Answer::ok(&good_archive()));
    let order = order(
        format!("http://{}/x", server.address),
        b"something else",
        dir.path(),
    );
    let error = run(&direct(), &order).unwrap_err();
    assert_eq!(error.reason(), "WrongDigest");
    assert!(
        error
            .to_string()
            .contains(&digest::of_bytes(&good_archive())),
        "{error}"
    );
    assert_eq!(files(dir.path()), [] as [PathBuf; 0]);
    assert_eq!(server.seen().len(), 1, "the same bytes would come again");
}

#[test]
fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    let fetch_from = |answers: Vec<Answer>| {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::plain(move |n, _| answers[n.min(answers.len() - 1)].clone());
        let order = order(format!("http://{}/x", server.address), &elf(), dir.path());
        let result = run(&direct(), &order).map_err(|error| error.reason());
        assert_eq!(files(dir.path()).len(), usize::from(result.is_ok()));
        (result.err(), server.seen().len())
    };
    let good = Answer::ok(&elf());
    let cut = Answer {
        cut_at: Some(100),
        ..good.clone()
    };
    let passing = vec![Answer::status(503), cut, Answer::status(429), good.clone()];
    assert_eq!(fetch_from(passing), (None, 4));
    assert_eq!(
        fetch_from(vec![Answer::status(500)]),
        (Some("DownloadFailed"), 4)
    );
    assert_eq!(
        fetch_from(vec![Answer::status(404), good.clone()]),
        (Some("DownloadNotFound"), 1)
    );
    assert_eq!(
        fetch_from(vec![Answer::status(403), good]),
        (Some("DownloadFailed"), 1)
    );
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = run(
        &direct(),
        &order(format!("http://{address}/x"), b"", dir.path()),
    )
    .unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {address}"));
    assert_eq!(files(dir.path()), [] as [PathBuf; 0]);
}

#[test]
fn more_than_is_wanted_is_not_taken_whether_announced_or_not() {
    for chunked in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let body = vec![0; 2 * 1024 * 1024];
        let served = body.clone();
        let server = Server::plain(move |_, _| Answer {
            chunked,
            ..Answer::ok(&served)
        });
        let order = order(format!("http://{}/x", server.address), &body, dir.path());
        let error = run(&direct(), &order).unwrap_err();
        assert_eq!(error.reason(), "DownloadTooLarge");
        assert_eq!(files(dir.path()), [] as [PathBuf; 0]);
    }
}

#[test]
fn tls_takes_an_authority_that_is_believed_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::secure(|_, _| Answer::ok(&elf()));
    let order = order(
        format!("https://localhost:{}/x", server.address.port()),
        &elf(),
        dir.path(),
    );
    let error = run(&direct(), &order).unwrap_err();
    let text = slipway_node_installer::failure::chain(&error);
    assert!(text.contains("certificate"), "{text}");
    assert_eq!(files(dir.path()), [] as [PathBuf; 0]);

    let believing = Dialer::with_proxy(None, Some(&authority()), false).unwrap();
    assert_eq!(run(&believing, &order).unwrap(), [BINARY]);
}

#[test]
fn redirects_are_followed_but_not_for_ever_and_not_out_of_tls() {
    let dir = tempfile::tempdir().unwrap();
    let plain = Server::plain(|_, target| match target {
        "/a" => Answer::redirect("/b"),
        "/b" => Answer::ok(&elf()),
        _ => Answer::redirect(target),
    });
    let order_of = |url: String| order(url, &elf(), dir.path());
    let url = |path: &str| format!("http://{}{path}", plain.address);
    assert_eq!(run(&direct(), &order_of(url("/a"))).unwrap(), [BINARY]);
    let error = run(&direct(), &order_of(url("/loop"))).unwrap_err();
    assert!(
        error.to_string().ends_with("redirects more than 5 times"),
        "{error}"
    );

    let target = url("/b");
    let secure = Server::secure(move |_, _| Answer::redirect(&target));
    let believing = Dialer::with_proxy(None, Some(&authority()), true).unwrap();
    let order = order_of(format!("https://localhost:{}/x", secure.address.port()));
    let error = run(&believing, &order).unwrap_err();
    assert!(error.to_string().contains("to plain HTTP"), "{error}");

    let elsewhere = Server::plain(|_, _| Answer::redirect("http://example.invalid/x"));
    let error = run(
        &direct(),
        &order_of(format!("http://{}/x", elsewhere.address)),
    )
    .unwrap_err();
    assert_eq!(error.reason(), "UrlRefused");
}

#[test]
fn a_proxy_is_asked_for_what_is_not_here() {
    let dir = tempfile::tempdir().unwrap();
    let plain = Server::plain(|_, _| Answer::ok(&elf()));
    let proxy = Server::proxy(plain.address);
    let through = |proxy: &Server| {
        let address = format!("http://{}", proxy.address);
        Dialer::with_proxy(Some(&address), Some(&authority()), true).unwrap()
    };
    // A name that nobody but the proxy could know.
    let order_of = |url: &str| order(url.to_owned(), &elf(), dir.path());
    assert_eq!(
        run(&through(&proxy), &order_of("http://shims.invalid/x")).unwrap(),
        [BINARY]
    );
    assert_eq!(proxy.seen(), ["GET http://shims.invalid/x HTTP/1.1"]);

    let secure = Server::secure(|_, _| Answer::ok(&elf()));
    let proxy = Server::proxy(secure.address);
    assert_eq!(
        run(&through(&proxy), &order_of("https://localhost/x")).unwrap(),
        [BINARY]
    );
    assert_eq!(proxy.seen(), ["CONNECT localhost:443 HTTP/1.1"]);
}

/// The command itself, with its exit code and what it reports.
fn command(arguments: &[&str], environment: &[(&str, String)]) -> (i32, serde_json::Value) {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report");
    let status = Command::new(INSTALLER)
        .args(arguments)
        .arg("--report")
        .arg(&report)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .status()
        .unwrap();
    let report = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    (status.code().unwrap(), report)
}

#[test]
fn the_command_reports_and_heeds_the_proxy_of_its_environment() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap().to_owned();
    let server = Server::plain(|_, target| match target {
        "http://shims.invalid/x" => Answer::ok(&elf()),
        _ => Answer::status(404),
    });
    let proxy = Server::proxy(server.address);
    let sha256 = digest::of_bytes(&elf());
    let arguments = |url: &'static str| {
        let fixed = ["fetch", "--allow-http", "--url", url, "--sha256"];
        let words =
            fixed
                .into_iter()
                .chain([sha256.as_str(), "--binary", BINARY, "--out", out.as_str()]);
        words.collect::<Vec<_>>()
    };
    let environment = [("http_proxy", format!("http://{}", proxy.address))];
    let (code, report) = command(&arguments("http://shims.invalid/x"), &environment);
    assert_eq!(
        (code, report["outcome"].as_str(), report["reason"].as_str()),
        (0, Some("done"), Some("Fetched"))
    );
    assert_eq!(files(dir.path()).len(), 1);
    let (code, report) = command(&arguments("http://shims.invalid/none"), &environment);
    assert_eq!(
        (code, report["reason"].as_str()),
        (3, Some("DownloadNotFound"))
    );
    assert_eq!(
        report["message"].as_str(),
        Some("http://shims.invalid/none answers 404 Not Found")
    );
}

#[test]
fn what_a_killed_run_left_is_swept_away() {
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join(".slipway-cut.tmp/unpacked");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join(BINARY), "half").unwrap();
    assert_eq!(download_of(&elf(), dir.path()).unwrap(), [BINARY]);
    assert_eq!(files(dir.path()), [dir.path().join(BINARY)]);
}

#[test]
fn this_program_is_copied_and_copies_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let tools = dir.path().join("tools");
    let (code, report) = command(&["copy", "--self", tools.to_str().unwrap()], &[]);
    assert_eq!((code, report["reason"].as_str()), (0, Some("Copied")));
    let shim = dir.path().join(BINARY);
    fs::write(&shim, elf()).unwrap();
    let payload = dir.path().join("payload");
    let status = Command::new(tools.join("slipway-node-installer"))
        .args(["copy", "--from"])
        .arg(&shim)
        .arg("--out")
        .arg(&payload)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(fs::read(payload.join(BINARY)).unwrap(), elf());
}
