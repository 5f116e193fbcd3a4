//! Tables of other installers on nodes where a distribution writes containerd's root file: taken out of what it is made from,
//! or left alone and said so.

use std::panic::{AssertUnwindSafe, catch_unwind};

use slipway_node_installer::containerd::version::Version;
use slipway_node_installer::detect::distribution::Distribution;
use slipway_node_installer::spec::Leftovers;

use crate::cycle::transactions::{Shims, ours};
use crate::cycle::{Cycle, Reader};
use crate::golden_matrix::modelled;
use crate::nodes::Kind;

const MICROK8S: &str = "/var/snap/microk8s/1/args/containerd.toml";
const TEMPLATE: &str = "/var/snap/microk8s/1/args/containerd-template.toml";
const K3S: &str = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml";

macro_rules! runc {
    () => {
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n"
    };
}

macro_rules! spin {
    ($folder:literal) => {
        concat!(
            "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.spin]\nruntime_type = \"",
            $folder,
            "/bin/containerd-shim-spin-v1\"\n"
        )
    };
}

/// KWasm's node installer writes into the template of a snap.
const SNAP: Kind = Kind {
    name: "MicroK8s with KWasm",
    versions: &[(1, 7)],
    distribution: Distribution::MicroK8s,
    config: MICROK8S,
    files: &[
        (
            MICROK8S,
            concat!(runc!(), spin!("/var/snap/microk8s/common/kwasm")),
        ),
        (
            TEMPLATE,
            concat!(runc!(), spin!("/var/snap/microk8s/common/kwasm")),
        ),
    ],
};

/// It makes K3s' template of what K3s had rendered.
const FROZEN: Kind = Kind {
    name: "K3s with KWasm's template",
    versions: &[(1, 7)],
    distribution: Distribution::K3s,
    config: K3S,
    files: &[
        (K3S, concat!(runc!(), spin!("/opt/kwasm"))),
        (
            "/var/lib/rancher/k3s/agent/etc/containerd/config.toml.tmpl",
            concat!(runc!(), spin!("/opt/kwasm")),
        ),
    ],
};

/// Some releases of K3s look for shims in KWasm's folder themselves.
const FOUND: Kind = Kind {
    name: "K3s that has found KWasm's shim",
    versions: &[(1, 7)],
    distribution: Distribution::K3s,
    config: K3S,
    files: &[(K3S, concat!(runc!(), spin!("/opt/kwasm")))],
};

fn node(kind: &Kind) -> Cycle<'_> {
    let version = Version {
        major: 1,
        minor: 7,
        patch: 9,
    };
    let mut node = Cycle::new(kind, version, Reader::Model(modelled));
    node.leftovers = Leftovers::Remove;
    node
}

fn shims(name: &str) -> Shims {
    [("slipway".to_owned(), ours("0123", &[name]))].into()
}

#[test]
fn a_handler_is_taken_over_through_the_template_of_a_snap() {
    let mut node = node(&SNAP);
    let (configuration, _) = node.configuration(shims("spin")).unwrap();
    assert!(configuration.staying.is_empty());
    node.become_node(shims("spin"), 0).unwrap();
    assert!(node.meaning().unwrap()["spin"].starts_with("/opt/slipway/"));
    assert!(!node.read(TEMPLATE).unwrap().contains("kwasm"));
    node.become_node(Shims::new(), 0).unwrap();
    assert_eq!(node.read(TEMPLATE).unwrap(), runc!());
}

#[test]
fn a_handler_that_nobody_wants_goes_from_the_template_of_a_snap() {
    let mut node = node(&SNAP);
    node.become_node(shims("wasmtime"), 0).unwrap();
    let served = node.meaning().unwrap();
    assert!(served.contains_key("wasmtime") && !served.contains_key("spin"));
    for step in 1.. {
        let mut node = self::node(&SNAP);
        let before = node.tree();
        let run = || node.become_node(shims("wasmtime"), step);
        if catch_unwind(AssertUnwindSafe(run)).is_ok() {
            break;
        }
        node.recover().unwrap();
        let served = node.meaning().unwrap();
        assert_ne!(
            served.contains_key("wasmtime"),
            served.contains_key("spin"),
            "step {step}"
        );
        if served.contains_key("spin") {
            assert_eq!(node.tree(), before, "step {step}");
        }
    }
}

#[test]
fn a_template_that_is_not_toml_is_named_and_left_to_people() {
    for name in ["spin", "wasmtime"] {
        let mut node = node(&FROZEN);
        let failure = node.configuration(shims(name)).unwrap_err();
        assert_eq!(failure.reason, "HandlerLeft");
        assert_eq!(
            failure.message,
            "/var/lib/rancher/k3s/agent/etc/containerd/config.toml.tmpl still names /opt/kwasm/bin/containerd-shim-spin-v1 of \
             KWasm, and a template is edited by people only: take the tables of KWasm out of it, restart the unit that runs \
             containerd, and install again"
        );
        node.leftovers = Leftovers::Keep;
        assert_eq!(node.configuration(shims(name)).is_ok(), name != "spin");
    }
}

#[test]
fn a_table_that_the_distribution_would_write_again_stays_and_keeps_its_handler() {
    let mut node = node(&FOUND);
    let failure = node.configuration(shims("spin")).unwrap_err();
    assert_eq!(failure.reason, "HandlerLeft");
    assert!(
        failure.message.contains(K3S) && !failure.message.contains("leftovers \"remove\""),
        "{}",
        failure.message
    );

    let (configuration, _) = node.configuration(shims("wasmtime")).unwrap();
    let staying: Vec<&str> = configuration
        .staying
        .iter()
        .map(|left| left.handler.as_str())
        .collect();
    assert_eq!(staying, ["spin"], "and with it its binary");
    node.become_node(shims("wasmtime"), 0).unwrap();
    assert!(node.meaning().unwrap().contains_key("spin"));
}
