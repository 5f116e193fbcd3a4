//! `linux.sysctl`: only what a namespace of the container holds, never a setting of the node.

use std::collections::HashMap;

use slipway_shim_wire::{Namespace, NamespaceKind};

use crate::SpecError;
use crate::error::without_nul;
use crate::namespaces::own;

/// Kernel settings kept per IPC namespace (runc `libcontainer/configs/validate`, ipc_namespaces(7)).
const OF_IPC: [&str; 11] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.shm_next_id",
    "kernel.msg_next_id",
    "kernel.sem_next_id",
];

/// Sorted, so that a plan does not depend on a map's order.
pub(crate) fn translate(
    sysctls: Option<&HashMap<String, String>>,
    namespaces: &[Namespace],
) -> Result<Vec<(String, String)>, SpecError> {
    let mut translated = Vec::new();
    for (name, value) in sysctls.into_iter().flatten() {
        let field = || format!("linux.sysctl[{name:?}]");
        let Some(kind) = namespace_of(name) else {
            return Err(SpecError::invalid(
                field(),
                "not a setting of a namespace; setting it would change the node",
            ));
        };
        if !well_formed(name) {
            return Err(SpecError::invalid(field(), "not a sysctl name"));
        }
        if !own(namespaces, kind) {
            return Err(SpecError::invalid(
                field(),
                "the container shares that namespace with the node; setting it would change the node",
            ));
        }
        without_nul(field, value)?;
        translated.push((name.clone(), value.clone()));
    }
    translated.sort();
    Ok(translated)
}

fn namespace_of(name: &str) -> Option<NamespaceKind> {
    let dotted = name.replace('/', ".");
    if dotted.starts_with("net.") {
        Some(NamespaceKind::Net)
    } else if dotted.starts_with("fs.mqueue.") || OF_IPC.contains(&dotted.as_str()) {
        Some(NamespaceKind::Ipc)
    } else if dotted == "kernel.domainname" {
        Some(NamespaceKind::Uts)
    } else {
        None
    }
}

/// No empty part, so that no part can mean "the folder above" once dots become slashes.
fn well_formed(name: &str) -> bool {
    name.split(['.', '/']).all(|part| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-:@*".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, kinds: &[NamespaceKind]) -> Result<Vec<(String, String)>, SpecError> {
        let namespaces: Vec<_> = kinds
            .iter()
            .map(|kind| Namespace {
                kind: *kind,
                path: None,
            })
            .collect();
        let sysctls = HashMap::from([(name.to_owned(), "1".to_owned())]);
        translate(Some(&sysctls), &namespaces)
    }

    #[test]
    fn settings_of_an_own_namespace_pass() {
        let all = [NamespaceKind::Net, NamespaceKind::Ipc, NamespaceKind::Uts];
        for name in [
            "net.ipv4.ip_unprivileged_port_start",
            "net/ipv4/conf/eth0/forwarding",
            "kernel.shm_rmid_forced",
            "fs.mqueue.msg_max",
            "kernel.domainname",
        ] {
            assert_eq!(check(name, &all).unwrap().len(), 1, "{name}");
        }
    }

    #[test]
    fn settings_of_the_node_and_paths_out_are_refused() {
        for name in [
            "kernel.panic",
            "vm.swappiness",
            "net...kernel.panic",
            "net//x",
            "net.a b",
        ] {
            assert!(check(name, &[NamespaceKind::Net]).is_err(), "{name}");
        }
        let message = check("net.ipv4.ping_group_range", &[])
            .unwrap_err()
            .to_string();
        assert!(message.contains("shares that namespace"), "{message}");
    }
}
