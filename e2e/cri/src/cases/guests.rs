//! Guests nobody here wrote, and what guests find around them.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};

use anyhow::{Context as _, Result, ensure};

use super::passed;
use crate::cri::{ContainerConfig, Mount};
use crate::dns::NameServer;
use crate::node::Node;
use crate::pod::Pod;
use crate::report::Outcome;
use crate::wait::{SOON, until};

/// A server in JavaScript: 13 MB of an interpreter. Made where there is npm.
const JAVASCRIPT: &str = "js-http.wasm";

/// A command of 25 MB of generated functions.
const LARGE: &str = "large.wasm";

fn limited(mebibytes: i64) -> impl FnOnce(&mut ContainerConfig) {
    move |config| {
        let linux = config.linux.get_or_insert_default();
        linux
            .resources
            .get_or_insert_default()
            .memory_limit_in_bytes = mebibytes << 20;
    }
}

/// The pod's address.
fn address(pod: &Pod<'_>) -> Result<Ipv4Addr> {
    let network = pod.status()?.status.and_then(|status| status.network);
    let ip = network.context("the pod has no network")?.ip;
    ip.parse()
        .with_context(|| format!("the pod's address {ip:?}"))
}

/// What a server on port 8080 answers to `GET /path`.
fn get(at: Ipv4Addr) -> Result<String> {
    let mut connection = until("port 8080 to open", SOON, || {
        Ok(TcpStream::connect((at, 8080)).ok())
    })?;
    connection.set_read_timeout(Some(SOON))?;
    connection.write_all(b"GET /path HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Runs a server in a pod of its own, asks it once and stops it.
fn serves(
    node: &Node,
    guest: &str,
    says: &str,
    change: impl FnOnce(&mut ContainerConfig),
) -> Result<()> {
    let pod = node.pod()?;
    let container = pod.run_with(guest, &[], change)?;
    let answer = get(address(&pod)?);
    let answer = answer.with_context(|| format!("{guest}; its log: {:?}", container.lines()))?;
    ensure!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains(says),
        "{guest} answers {answer:?}; its log: {:?}",
        container.lines()?
    );
    container.stop(20)?;
    container.ends_with(0)?;
    pod.remove()
}

pub(super) fn public_commands_run(node: &Node) -> Result<Outcome> {
    let folder = node.folder("public")?;
    std::fs::write(folder.join("data.json"), r#"{"answer": [40, 2]}"#)?;
    let mount = Mount {
        container_path: "/data".into(),
        host_path: folder.display().to_string(),
        readonly: true,
        ..Mount::default()
    };
    let pod = node.pod()?;
    let hexyl = ["--plain", "/data/data.json"];
    let container = pod.run_with("hexyl.wasm", &hexyl, |config| {
        config.mounts.push(mount.clone());
    })?;
    container.ends_with(0)?;
    let said = container.output("stdout")?.join("\n");
    ensure!(
        said.contains("7b 22 61 6e 73 77 65 72"),
        "hexyl says {said}"
    );
    let gojq = [".answer | add", "/data/data.json"];
    let container = pod.run_with("gojq.wasm", &gojq, |config| config.mounts.push(mount))?;
    container.ends_with(0)?;
    container.says("42")?;
    pod.remove()?;
    passed()
}

pub(super) fn public_servers_answer(node: &Node) -> Result<Outcome> {
    for (guest, says) in [
        ("wstd-http.wasm", "wstd answers /path"),
        ("spin-p1.wasm", "spin-sdk 3 answers /path"),
        ("spin-p3.wasm", "spin-sdk 7 answers /path"),
    ] {
        serves(node, guest, says, |_| {})?;
    }
    passed()
}

/// Whether the image has a guest.
fn is_there(node: &Node, guest: &str) -> Result<bool> {
    let pod = node.pod()?;
    let container = pod.run("job.wasm", &["--list", "/"])?;
    container.ends_with(0)?;
    let found = container.output("stdout")?;
    pod.remove()?;
    Ok(found.contains(&format!("entry {guest}")))
}

/// Its code is compiled outside the pod's memory and mapped from a file, so that the limit holds the rest.
pub(super) fn an_interpreter_fits_a_pod_of_64_mib(node: &Node) -> Result<Outcome> {
    if !is_there(node, JAVASCRIPT)? {
        return Ok(Outcome::DoesNotApply(
            "there was no npm to build it with".to_owned(),
        ));
    }
    serves(node, JAVASCRIPT, "JavaScript answers /path", limited(64))?;
    passed()
}

/// All of it is functions, and all of them run: in a pod whose limit the compiler would break several times over.
pub(super) fn twenty_five_megabytes_of_code_fit_a_pod_of_64_mib(node: &Node) -> Result<Outcome> {
    if !is_there(node, LARGE)? {
        return Ok(Outcome::DoesNotApply(
            "the image was made without it".to_owned(),
        ));
    }
    let pod = node.pod()?;
    // The first start compiles it, unless it ran here before; the second does not.
    for _ in 0..2 {
        let container = pod.run_with(LARGE, &[], limited(64))?;
        let status = container.ended_within(4 * SOON)?;
        ensure!(
            status.exit_code == 0 && status.reason == "Completed",
            "it ended with {} ({}); its log: {:?}",
            status.exit_code,
            status.reason,
            container.lines()
        );
        container.says("every function has run")?;
        container.remove()?;
    }
    pod.remove()?;
    passed()
}

pub(super) fn names_are_looked_up_as_the_pod_says(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    // The node's end of the pod's network.
    let [a, b, c, _] = address(&pod)?.octets();
    let gateway = Ipv4Addr::new(a, b, c, 1);
    let server = NameServer::start(
        IpAddr::V4(gateway),
        "guest.search.test",
        Ipv4Addr::new(192, 0, 2, 7),
    )?;
    let folder = node.folder("names")?;
    let file = |name: &str, text: &str| -> Result<Mount> {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        Ok(Mount {
            container_path: format!("/etc/{name}"),
            host_path: path.display().to_string(),
            readonly: true,
            ..Mount::default()
        })
    };
    let mounts = [
        file("hosts", "127.0.0.1 localhost\n192.0.2.8 alias.test\n")?,
        file(
            "resolv.conf",
            &format!("search search.test\nnameserver {gateway}\noptions ndots:5\n"),
        )?,
    ];
    for (name, found) in [
        ("guest", "address 192.0.2.7"),
        ("guest.search.test", "address 192.0.2.7"),
        ("alias.test", "address 192.0.2.8"),
    ] {
        let container = pod.run_with("net-p2.wasm", &["resolve", name], |config| {
            config.mounts.extend(mounts.clone());
        })?;
        container.ends_with(0).with_context(|| name.to_owned())?;
        container.says(found)?;
    }
    drop(server);
    pod.remove()?;
    passed()
}

pub(super) fn the_network_is_closed_by_an_option(node: &Node) -> Result<Outcome> {
    for (option, error) in [("pod", "refused"), ("none", "ermission")] {
        let pod = node.pod_with(|config| {
            let annotations = &mut config.annotations;
            annotations.insert("slipway.dev/network".into(), option.into());
        })?;
        let container = pod.run("net-p2.wasm", &["connect", "127.0.0.1:9"])?;
        container.ends_with(1)?;
        let said = container.output("stderr")?.join("\n");
        ensure!(said.contains(error), "network {option}: {said}");
        pod.remove()?;
    }
    let handler = &node.args.closed_handler;
    // 1.6 has no `config_body` to pass a handler's options in.
    if node.minor >= (1, 7) && node.runtime.has_handler(handler)? {
        let pod = node.pod_of(handler, |_| {})?;
        let container = pod.run("net-p2.wasm", &["connect", "127.0.0.1:9"])?;
        container.ends_with(1)?;
        let said = container.output("stderr")?.join("\n");
        ensure!(said.contains("ermission"), "handler {handler}: {said}");
        pod.remove()?;
    }
    passed()
}

pub(super) fn the_root_is_hidden_by_an_option(node: &Node) -> Result<Outcome> {
    let folder = node.folder("only")?;
    std::fs::write(folder.join("note"), "a volume")?;
    let mount = Mount {
        container_path: "/data".into(),
        host_path: folder.display().to_string(),
        readonly: false,
        ..Mount::default()
    };
    let pod = node.pod_with(|config| {
        let annotations = &mut config.annotations;
        annotations.insert("slipway.dev/root".into(), "none".into());
    })?;
    let read = |path: &str| {
        pod.run_with("job.wasm", &["--read", path], |config| {
            config.mounts.push(mount.clone());
        })
    };
    let container = read("/data/note")?;
    container.ends_with(0)?;
    container.says("read /data/note: a volume")?;
    read("/etc/hostname")?.ends_with(64)?;
    pod.remove()?;
    passed()
}

pub(super) fn a_server_without_sockets_is_told_what_to_build(node: &Node) -> Result<Outcome> {
    let pod = node.pod()?;
    let container = pod.run("net.wasm", &["listen", "0.0.0.0:8080"])?;
    container.ends_with(134)?;
    let said = container.output("stderr")?.join("\n");
    ensure!(
        said.contains("build it for wasm32-wasip2"),
        "it says {said}"
    );
    pod.remove()?;
    passed()
}
