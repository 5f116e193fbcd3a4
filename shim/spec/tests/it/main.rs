//! Specs as containerd 1.7 and 2.4 write them for one pod with a memory and CPU limit, an `emptyDir`, and
//! `seccompProfile: RuntimeDefault` (ids replaced, the long list of allowed calls shortened).
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::Path;

use slipway_shim_spec::{ContainerType, MAX_SPEC_BYTES, PidNamespace, RootfsMount, Spec};
use slipway_shim_wire::{Limits, MAX_ANNOTATION_VALUE, MAX_ANNOTATIONS, NamespaceKind};

const CONTAINER_1_7: &[u8] = include_bytes!("container-1.7.json");
const CONTAINER_2_4: &[u8] = include_bytes!("container-2.4.json");
const SANDBOX_2_4: &[u8] = include_bytes!("sandbox-2.4.json");

fn spec(json: &[u8]) -> Spec {
    Spec::parse(Path::new("/bundle"), json).unwrap()
}

#[test]
fn an_application_container_becomes_a_plan() {
    for json in [CONTAINER_1_7, CONTAINER_2_4] {
        let spec = spec(json);
        assert_eq!(spec.container_type(), ContainerType::Container);
        assert_eq!(spec.sandbox_id().unwrap(), "5".repeat(64));
        assert_eq!(spec.pid_namespace().unwrap(), PidNamespace::New);
        assert!(!spec.terminal());
        let cgroup = spec.cgroups_path().unwrap().to_str().unwrap();
        assert!(cgroup.contains(".slice:cri-containerd:"), "{cgroup}");
        assert_eq!(
            spec.resources().unwrap().memory.as_ref().unwrap().limit,
            Some(64 << 20)
        );

        let snapshot = RootfsMount {
            fstype: "overlay".into(),
            source: "overlay".into(),
            options: vec!["lowerdir=/l2:/l1".into()],
            ..RootfsMount::default()
        };
        let plan = spec
            .plan("c1", Path::new("/bundle/rootfs"), &[snapshot])
            .unwrap();
        assert_eq!(plan.id, "c1");
        assert_eq!(plan.rootfs.path, Path::new("/bundle/rootfs"));
        assert_eq!(plan.rootfs.mounts.len(), 1);
        assert!(!plan.rootfs.readonly);
        assert_eq!(plan.hostname, None);
        assert_eq!(plan.mounts.len(), 14);
        assert_eq!(plan.devices.len(), 6);
        assert_eq!(plan.masked_paths.len(), 12);
        assert_eq!(plan.process.args, ["/hello.wasm", "--greet"]);
        assert_eq!(plan.process.capabilities.effective, 0xa804_25fb);
        assert_eq!(plan.process.capabilities.ambient, 0);
        assert_eq!(
            plan.limits,
            Limits {
                memory: Some(64 << 20),
                milli_cpus: Some(500),
            }
        );
        let kinds: Vec<_> = plan
            .namespaces
            .iter()
            .map(|namespace| (namespace.kind, namespace.path.is_some()))
            .collect();
        assert_eq!(
            kinds,
            [
                (NamespaceKind::Ipc, true),
                (NamespaceKind::Uts, true),
                (NamespaceKind::Net, true),
                (NamespaceKind::Mount, false),
            ]
        );
        assert!(!plan.seccomp.is_empty() && plan.seccomp_flags != 0);
    }
}

#[test]
fn a_sandbox_has_names_and_sysctls_and_nothing_to_mount() {
    let spec = spec(SANDBOX_2_4);
    assert_eq!(spec.container_type(), ContainerType::Sandbox);
    let plan = spec.sandbox_plan("s1").unwrap();
    assert_eq!(plan.hostname.as_deref(), Some("p-slipway-worker2"));
    assert_eq!(
        plan.sysctls,
        [
            ("net.ipv4.ip_unprivileged_port_start", "0"),
            ("net.ipv4.ping_group_range", "0 2147483647"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert!(plan.mounts.is_empty() && plan.rootfs.mounts.is_empty());
    assert_eq!(plan.limits, Limits::default());
}

#[test]
fn a_missing_broken_or_endless_file_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let message = || Spec::load(folder.path()).unwrap_err().to_string();
    assert!(message().starts_with(&format!("{}: No such file", config.display())));
    fs::write(&config, "{\"ociVersion\": 7}").unwrap();
    assert!(message().contains("line 1 column"), "{}", message());
    let file = fs::File::create(&config).unwrap();
    file.set_len(MAX_SPEC_BYTES + 1).unwrap();
    assert!(
        message().ends_with("longer than 16777216 bytes"),
        "{}",
        message()
    );
    fs::write(&config, CONTAINER_2_4).unwrap();
    Spec::load(folder.path()).unwrap();
}

#[test]
fn our_annotations_are_passed_on_within_bounds() {
    let mut json: serde_json::Value = serde_json::from_slice(CONTAINER_2_4).unwrap();
    let annotations = json["annotations"].as_object_mut().unwrap();
    annotations.insert("slipway.dev/root".into(), "none".into());
    annotations.insert("slipway.dev/long".into(), "ä".repeat(5000).into());
    for n in 0..100 {
        annotations.insert(format!("slipway.dev/z{n}"), "x".into());
    }
    let spec = spec(&serde_json::to_vec(&json).unwrap());
    let plan = spec.plan("id", Path::new("/rootfs"), &[]).unwrap();
    assert_eq!(plan.annotations.len(), MAX_ANNOTATIONS);
    assert_eq!(plan.annotations[0].0, "slipway.dev/long");
    assert_eq!(plan.annotations[0].1.len(), MAX_ANNOTATION_VALUE);
    assert_eq!(
        plan.annotations[1],
        ("slipway.dev/root".to_owned(), "none".to_owned())
    );
}
