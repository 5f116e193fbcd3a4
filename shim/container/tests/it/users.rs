//! Pods with user namespaces.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use slipway_shim_container::{drop_privileges, enter_sandbox, join};
use slipway_shim_spec::{RootfsMount, Spec};

use crate::child::enter;
use crate::child::{self, text};
use crate::config::Bundle;

/// Where the pod's ids begin on the node.
const BASE: u32 = 524_288;

/// A bundle with a user namespace of its own, its root file system the pod's.
fn bundle() -> Bundle {
    let mut bundle = Bundle::new();
    let maps = json!([{"containerID": 0, "hostID": BASE, "size": 65536}]);
    bundle.config["linux"]["uidMappings"] = maps.clone();
    bundle.config["linux"]["gidMappings"] = maps;
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut();
    namespaces.unwrap().push(json!({"type": "user"}));
    chown(bundle.path("rootfs"), Some(BASE), Some(BASE)).unwrap();
    bundle
}

fn owner(path: &Path) -> (u32, u32) {
    let stat = fs::symlink_metadata(path).unwrap();
    (stat.uid(), stat.gid())
}

#[test]
fn root_of_the_pod_is_nobody_on_the_node() {
    let mut bundle = bundle();
    bundle.config["process"]["cwd"] = "/made/for/it".into();
    let granted = json!(["CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN", "CAP_NET_BIND_SERVICE"]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": granted, "effective": granted, "permitted": granted});
    bundle.config["process"]["rlimits"] =
        json!([{"type": "RLIMIT_NOFILE", "soft": 300, "hard": 400}]);
    let plan = bundle.plan();
    let maps = child::succeed(|| {
        enter(&plan).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        let maps = fs::read_to_string("/proc/self/uid_map").map_err(text)?;
        let status = fs::read_to_string("/proc/self/status").map_err(text)?;
        assert!(status.contains("\nUid:\t0\t0\t0\t0\n"), "{status}");
        assert!(status.contains("\nCapEff:\t0000000000000402\n"), "{status}");
        fs::write("written", "by root of the pod").map_err(text)?;
        fs::write("/dev/shm/written", "").map_err(text)?;
        fs::write("/dev/made", "").map_err(text)?;
        fs::write("/dev/null", "").map_err(text)?;
        assert_eq!(fs::metadata("/dev/null").map_err(text)?.uid(), 0);
        assert!(
            fs::read_to_string("/proc/1/status")
                .map_err(text)?
                .contains("Pid:\t1\n")
        );
        assert!(fs::write("/proc/self/mem", "").is_err());
        assert!(fs::metadata("/sys/kernel").map_err(text)?.is_dir());
        // SAFETY: a plain system call on C strings; the capability granted is the pod's and not kept.
        let mounted = unsafe {
            libc::mount(
                c"t".as_ptr(),
                c"/dev/shm".as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                std::ptr::null(),
            )
        };
        assert_eq!(mounted, -1);
        Ok(maps)
    });
    let numbers: Vec<&str> = maps.split_whitespace().collect();
    assert_eq!(numbers, ["0", "524288", "65536"]);
    let written = bundle.path("rootfs/made/for/it/written");
    assert_eq!(owner(&written), (BASE, BASE));
}

#[test]
fn volumes_keep_their_owners_by_id_mapping() {
    let mut bundle = bundle();
    let volume = bundle.directory("volume");
    let file = bundle.file("volume/of-user", "x");
    chown(&file, Some(1000), Some(1000)).unwrap();
    let maps = json!([{"containerID": 0, "hostID": BASE, "size": 65536}]);
    bundle.mount("/data", &volume, &["rbind", "rprivate", "rw"]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    let mount = mounts.last_mut().unwrap();
    mount["uidMappings"] = maps.clone();
    mount["gidMappings"] = maps;
    bundle.mount("/plain", &volume, &["rbind", "rprivate", "ro"]);
    let plan = bundle.plan();
    child::succeed(|| {
        enter(&plan).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        let owner = |path: &str| fs::metadata(path).map(|stat| stat.uid()).map_err(text);
        assert_eq!(owner("/data/of-user")?, 1000);
        assert_eq!(owner("/plain/of-user")?, 65534);
        fs::write("/data/by-root", "").map_err(text)?;
        assert!(fs::write("/plain/by-root", "").is_err());
        Ok(String::new())
    });
    assert_eq!(owner(&volume.join("by-root")), (0, 0));
}

#[test]
fn layers_of_an_image_are_id_mapped() {
    let mut bundle = bundle();
    for layer in ["upper", "work", "one", "two"] {
        bundle.directory(layer);
    }
    for folder in ["upper", "work"] {
        chown(bundle.path(folder), Some(BASE), Some(BASE)).unwrap();
    }
    bundle.file("one/etc/one", "1");
    bundle.file("two/etc/two", "2");
    let option = |name: &str, path: &str| format!("{name}={}", bundle.path(path).display());
    let (one, two) = (bundle.path("one"), bundle.path("two"));
    bundle.rootfs_mounts = vec![RootfsMount {
        fstype: "overlay".into(),
        source: "overlay".into(),
        options: vec![
            "index=off".into(),
            option("workdir", "work"),
            option("upperdir", "upper"),
            format!("lowerdir={}:{}", two.display(), one.display()),
            format!("uidmap=0:{BASE}:65536"),
            format!("gidmap=0:{BASE}:65536"),
        ],
        ..RootfsMount::default()
    }];
    let plan = bundle.plan();
    child::succeed(|| {
        enter(&plan).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        assert_eq!(fs::metadata("/etc/one").map_err(text)?.uid(), 0);
        assert_eq!(fs::read_to_string("/etc/two").map_err(text)?, "2");
        fs::write("/etc/one", "changed").map_err(text)?;
        fs::write("/made", "").map_err(text)?;
        Ok(String::new())
    });
    assert_eq!(fs::read_to_string(one.join("etc/one")).unwrap(), "1");
    assert_eq!(owner(&bundle.path("upper/etc/one")), (BASE, BASE));
    assert_eq!(owner(&bundle.path("upper/made")), (BASE, BASE));
}

/// A process that holds a user namespace, as a sandbox does.
struct Holder(Child);

impl Holder {
    fn new() -> Self {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        // SAFETY: one system call between fork and exec.
        unsafe {
            command.pre_exec(
                || match libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                },
            );
        }
        let holder = Self(command.spawn().unwrap());
        for name in ["uid_map", "gid_map"] {
            fs::write(holder.path(name), format!("0 {BASE} 65536")).unwrap();
        }
        holder
    }

    fn path(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_container_joins_the_users_of_its_pod() {
    let holder = Holder::new();
    let mut bundle = bundle();
    bundle.config["linux"]["namespaces"] = json!([
        {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
        {"type": "network", "path": holder.path("ns/net")},
        {"type": "user", "path": holder.path("ns/user")},
    ]);
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    let plan = bundle.plan();
    let joined = child::succeed(|| {
        enter(&plan).map_err(text)?;
        let namespace = fs::read_link("/proc/self/ns/user").map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        // SAFETY: a plain system call.
        assert_eq!(unsafe { libc::getuid() }, 1000);
        Ok(namespace.display().to_string())
    });
    let expected = fs::read_link(holder.path("ns/user")).unwrap();
    assert_eq!(joined, expected.display().to_string());
}

#[test]
fn another_process_joins_a_pod_with_users() {
    let bundle = bundle();
    let plan = bundle.plan();
    let (mut stands, container) = child::hold(|| enter(&plan).map_err(text));
    stands.read_exact(&mut [0]).unwrap();
    let directory = fs::File::open(format!("/proc/{}", container.pid())).unwrap();
    child::succeed(|| {
        join(&plan, directory.as_fd()).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        fs::write("/by-exec", "").map_err(text)?;
        let maps = fs::read_to_string("/proc/self/uid_map");
        assert!(maps.is_ok_and(|maps| maps.contains("524288")));
        Ok(String::new())
    });
    assert_eq!(owner(&bundle.path("rootfs/by-exec")), (BASE, BASE));
}

#[test]
fn a_sandbox_owns_what_its_pod_is_made_of() {
    let mut bundle = bundle();
    bundle.config["linux"]["sysctl"] = json!({
        "net.ipv4.ip_unprivileged_port_start": "77",
        "kernel.shm_rmid_forced": "1",
    });
    bundle.config["process"]["user"] = json!({"uid": 65534, "gid": 65534});
    let spec = Spec::parse(
        &bundle.path(""),
        &serde_json::to_vec(&bundle.config).unwrap(),
    );
    let plan = spec.unwrap().sandbox_plan("pod").unwrap();
    child::succeed(|| {
        enter_sandbox(&plan).map_err(text)?;
        assert_eq!(fs::read_dir("/").map_err(text)?.count(), 0);
        // What a native container of the pod needs: to be allowed to set up the pod's network.
        // SAFETY: plain system calls.
        unsafe {
            assert_eq!(libc::getuid(), 0);
            assert_eq!(libc::sethostname(c"by-root".as_ptr(), 7), 0);
        }
        drop_privileges(&plan).map_err(text)?;
        // SAFETY: a plain system call.
        assert_eq!(unsafe { libc::getuid() }, 65534);
        Ok(String::new())
    });
}

#[test]
fn ids_that_the_pod_does_not_have_are_refused() {
    let mut bundle = bundle();
    bundle.config["process"]["user"] = json!({"uid": 70000, "gid": 0});
    let json = serde_json::to_vec(&bundle.config).unwrap();
    let spec = Spec::parse(&bundle.path(""), &json).unwrap();
    let refused = spec.plan("test", &bundle.path("rootfs"), &[]);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "process.user.uid: 70000 is not mapped by the pod's user namespace"
    );
}
