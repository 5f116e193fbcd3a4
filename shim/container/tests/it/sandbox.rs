//! A pod's sandbox, and a container that joins it.

use std::fs;
use std::path::Path;

use serde_json::json;
use slipway_shim_container::{enter, enter_sandbox};

use crate::child::{self, text};
use crate::config::Bundle;

#[test]
fn a_sandbox_has_names_and_sysctls_and_no_files() {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["sysctl"] = json!({
        "net.ipv4.ip_unprivileged_port_start": "0",
        "kernel.shm_rmid_forced": "1",
    });
    let plan = bundle.plan();
    child::succeed(|| {
        let settings = [
            "/proc/sys/net/ipv4/ip_unprivileged_port_start",
            "/proc/sys/kernel/shm_rmid_forced",
            "/proc/sys/kernel/hostname",
        ];
        let before: Vec<_> = settings.iter().map(fs::read_to_string).collect();
        // Through the node's /proc, kept open: the sandbox has none.
        let proc = rustix::fs::open("/proc", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty())
            .map_err(text)?;
        enter_sandbox(&plan).map_err(text)?;
        assert_eq!(fs::read_dir("/").map_err(text)?.count(), 0);
        assert!(fs::write("/x", "").is_err());
        rustix::process::fchdir(&proc).map_err(text)?;
        let read = |path: &str| fs::read_to_string(Path::new(path).strip_prefix("/proc").unwrap());
        assert_eq!(read(settings[0]).map_err(text)?, "0\n");
        assert_eq!(read(settings[1]).map_err(text)?, "1\n");
        assert_eq!(read(settings[2]).map_err(text)?, "wasm-pod\n");
        assert_eq!(before.len(), 3);
        Ok(String::new())
    });
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
