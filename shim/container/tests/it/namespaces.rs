//! Namespaces made and joined.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;

use serde_json::json;
use slipway_shim_container::{drop_privileges, join};

use crate::child::enter;
use crate::child::{self, text};
use crate::config::Bundle;

#[test]
fn sysctls_are_set_in_namespaces_of_the_container_only() {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["sysctl"] = json!({
        "net.ipv4.ip_unprivileged_port_start": "77",
        "kernel.shm_rmid_forced": "1",
    });
    let plan = bundle.plan();
    let settings = [
        "/proc/sys/net/ipv4/ip_unprivileged_port_start",
        "/proc/sys/kernel/shm_rmid_forced",
    ];
    let read = || settings.map(|path| fs::read_to_string(path).unwrap());
    let before = read();
    assert_ne!(before, ["77\n", "1\n"]);
    child::succeed(|| {
        enter(&plan).map_err(text)?;
        assert_eq!(read(), ["77\n", "1\n"]);
        Ok(String::new())
    });
    assert_eq!(read(), before);
}

#[test]
fn a_container_joins_the_namespaces_of_its_pod() {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["namespaces"] = json!([
        {"type": "pid"},
        {"type": "uts", "path": "/proc/self/ns/uts"},
        {"type": "ipc", "path": "/proc/self/ns/ipc"},
        {"type": "network", "path": "/proc/self/ns/net"},
        {"type": "mount"},
    ]);
    let plan = bundle.plan();
    assert_eq!(plan.hostname, None);
    let joined = child::succeed(|| {
        let node = fs::read_link("/proc/self/ns/net").map_err(text)?;
        enter(&plan).map_err(text)?;
        let here = fs::read_link("/proc/self/ns/net").map_err(text)?;
        Ok((node == here).to_string())
    });
    assert_eq!(joined, "true");
}

#[test]
fn another_process_joins_a_container_that_stands() {
    let mut bundle = Bundle::new();
    bundle.config["hostname"] = json!("joined");
    let plan = bundle.plan();
    let (mut stands, container) = child::hold(|| enter(&plan).map_err(text));
    let mut byte = [0];
    stands.read_exact(&mut byte).unwrap();
    let directory = File::open(format!("/proc/{}", container.pid())).unwrap();
    let seen = child::succeed(|| {
        join(&plan, directory.as_fd()).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        let name = fs::read_to_string("/proc/sys/kernel/hostname").map_err(text)?;
        let node = fs::metadata("/root").is_ok();
        Ok(format!("{} {node}", name.trim()))
    });
    assert_eq!(seen, "joined false");
    drop(container);
    let gone = child::run(|| {
        join(&plan, directory.as_fd())
            .map(|()| String::new())
            .map_err(text)
    });
    let child::Ended::Returned(Err(sentence)) = gone else {
        panic!("{gone:?}");
    };
    assert!(sentence.starts_with("open the container's "), "{sentence}");
}
