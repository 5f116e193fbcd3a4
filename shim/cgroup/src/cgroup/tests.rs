//! A cgroup laid out in a temporary directory.

use std::fs;

use super::*;
use crate::hierarchy::Mount;

fn mount(root: &Path, name: &str, controllers: &[&str]) -> Mount {
    Mount {
        controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
        point: root.join(name),
    }
}

fn v1(root: &Path, path: &str) -> Cgroup {
    let mounts = vec![
        mount(root, "cpu,cpuacct", &["cpu", "cpuacct"]),
        mount(root, "devices", &["devices"]),
        mount(root, "systemd", &["name=systemd"]),
        mount(root, "unified", &[]),
    ];
    Cgroup::new(
        &Hierarchies {
            version: Version::V1,
            mounts,
        },
        CgroupsPath::parse(path).expect("a path"),
    )
}

#[test]
fn controllers_lead_to_their_directories() {
    let cgroup = v1(Path::new("/c"), "a-b.slice:cri-containerd:1");
    let scope = "a.slice/a-b.slice/cri-containerd-1.scope";
    assert_eq!(
        cgroup.dir("cpuacct"),
        Some(Path::new("/c/cpu,cpuacct").join(scope).as_path())
    );
    assert_eq!(cgroup.dir("memory"), None);
    assert_eq!(cgroup.main_dir().path, Path::new("/c/devices").join(scope));
    assert_eq!(cgroup.unit(), Some("cri-containerd-1.scope"));

    let path = CgroupsPath::parse("/kubepods/pod1/c1").expect("a path");
    let cgroup = Cgroup::new(&Hierarchies::v2(PathBuf::from("/sys/fs/cgroup")), path);
    assert_eq!(
        cgroup.dir("anything"),
        Some(Path::new("/sys/fs/cgroup/kubepods/pod1/c1"))
    );
    assert_eq!((cgroup.unit(), cgroup.version()), (None, Version::V2));
}

#[test]
fn on_v1_there_is_nothing_to_clone_into() {
    let cgroup = v1(Path::new("/c"), "/k/1");
    assert!(
        cgroup
            .prepare(&Resources::default())
            .expect("nothing to do")
            .is_none()
    );
}

#[test]
fn on_v2_the_cgroup_is_made_before_the_process() {
    let root = tempfile::tempdir().expect("temp dir");
    let path = CgroupsPath::parse("/k/1").expect("a path");
    let cgroup = Cgroup::new(&Hierarchies::v2(root.path().to_owned()), path);
    fs::create_dir_all(root.path().join("k/1")).expect("mkdir");
    fs::write(root.path().join("k/1/memory.max"), "max").expect("write");
    let resources = Resources {
        memory_limit: Some(4096),
        ..Resources::default()
    };
    assert!(cgroup.prepare(&resources).expect("made").is_some());
    assert_eq!(
        fs::read_to_string(root.path().join("k/1/memory.max")).expect("read"),
        "4096"
    );
    let limit = cgroup.memory_limit().expect("opened").expect("there");
    fs::write(root.path().join("k/1/memory.max"), "8192").expect("write");
    assert_eq!(std::io::read_to_string(limit).expect("read"), "8192");
    assert_eq!(cgroup.pids().expect("none"), Vec::<u32>::new());
    fs::remove_file(root.path().join("k/1/memory.max")).expect("remove");
    cgroup.remove(Duration::ZERO).expect("removed");
    assert!(!root.path().join("k/1").exists() && root.path().join("k").exists());
}

#[test]
fn limits_that_make_no_sense_are_refused_before_anything_is_done() {
    let cgroup = v1(Path::new("/c"), "a.slice:cri-containerd:1");
    let mut resources = Resources::default();
    resources.unified.insert("memory.high".into(), "1".into());
    let error = cgroup
        .place(1, &resources, None)
        .expect_err("v1 has no unified settings");
    assert_eq!(
        error.to_string(),
        "linux.resources: unified settings are for cgroup v2, and this host has cgroup v1"
    );
}
