//! What a container sees of files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use slipway_shim_spec::RootfsMount;

use crate::child::enter;
use crate::child::{self, Ended, text};
use crate::config::Bundle;

/// The reason why a file cannot be made at `path`.
fn refused(path: &str) -> Result<(), String> {
    match File::create(path) {
        Err(error) if error.raw_os_error() == Some(libc::EROFS) => Ok(()),
        other => Err(format!("{path}: {other:?}")),
    }
}

fn names(path: &str) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(path).map_err(text)?;
    let mut names: Vec<_> = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()
        .map_err(text)?;
    names.sort();
    Ok(names)
}

#[test]
fn the_usual_mounts_are_there_and_the_node_is_not() {
    let bundle = Bundle::new();
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let plan = bundle.plan();
    child::succeed(|| {
        enter(&plan).map_err(text)?;
        assert_eq!(names("/")?, ["dev", "proc", "sys"]);
        assert_eq!(
            names("/dev")?,
            [
                "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr",
                "stdin", "stdout", "tty", "urandom", "zero"
            ]
        );
        fs::write("/dev/null", "gone").map_err(text)?;
        let zero = fs::metadata("/dev/zero").map_err(text)?;
        assert!(zero.file_type().is_char_device() && zero.mode() & 0o777 == 0o666);
        File::open("/dev/ptmx").map_err(text)?;
        assert_eq!(
            fs::read_to_string("/proc/sys/kernel/hostname").map_err(text)?,
            "wasm-pod\n"
        );
        assert!(fs::read_link("/proc/self").map_err(text)? == Path::new("1"));
        let interfaces = fs::read_to_string("/proc/net/dev").map_err(text)?;
        assert_eq!(interfaces.lines().count(), 3, "{interfaces}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(text)?;
        assert!(!mounts.contains("/home"), "{mounts}");
        assert!(!names("/sys/fs/cgroup")?.is_empty());
        refused("/sys/x")?;
        refused("/sys/fs/cgroup/x").map(|()| String::new())
    });
    assert_eq!(before, fs::read_to_string("/proc/self/mountinfo").unwrap());
}

#[test]
fn proc_is_masked_and_cannot_be_written_to() {
    let bundle = Bundle::new();
    let plan = bundle.plan();
    child::succeed(|| {
        enter(&plan).map_err(text)?;
        for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list"] {
            if Path::new(path).exists() {
                assert_eq!(fs::read(path).map_err(text)?, b"", "{path}");
            }
        }
        for path in ["/proc/scsi", "/proc/acpi", "/sys/firmware"] {
            if Path::new(path).exists() {
                assert!(names(path)?.is_empty(), "{path}");
            }
        }
        for path in [
            "/proc/self/mem",
            "/proc/1/mem",
            "/proc/self/comm",
            "/proc/sys/kernel/panic",
        ] {
            let opened = File::options().write(true).open(path);
            let error = opened.map(drop).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EROFS), "{path}");
        }
        Ok(String::new())
    });
}

#[test]
fn volumes_are_mounted_as_asked() {
    let mut bundle = Bundle::new();
    bundle.config["root"]["readonly"] = true.into();
    let writable = bundle.directory("writable");
    let readonly = bundle.directory("readonly");
    bundle.file("readonly/inside", "x");
    let resolv = bundle.file("resolv", "nameserver 10.0.0.1");
    bundle.mount("/data", &writable, &["rbind", "rprivate", "rw"]);
    bundle.mount("/config", &readonly, &["rbind", "rprivate", "ro"]);
    bundle.mount("/etc/resolv.conf", &resolv, &["rbind", "rprivate", "rw"]);
    let plan = bundle.plan();
    child::succeed(|| {
        enter(&plan).map_err(text)?;
        fs::write("/data/made", "by the guest").map_err(text)?;
        assert_eq!(fs::read("/config/inside").map_err(text)?, b"x");
        refused("/config/made")?;
        refused("/made")?;
        fs::write("/etc/resolv.conf", "changed").map_err(text)?;
        fs::write("/dev/shm/made", "").map_err(text)?;
        Ok(String::new())
    });
    assert_eq!(fs::read(writable.join("made")).unwrap(), b"by the guest");
    assert_eq!(fs::read(resolv).unwrap(), b"changed");
    assert!(bundle.path("rootfs/etc/resolv.conf").is_file());
}

#[test]
fn a_recursive_read_only_volume_has_no_writable_mount_below() {
    let mut bundle = Bundle::new();
    let volume = bundle.directory("volume/below");
    let volume = volume.parent().unwrap().to_owned();
    bundle.mount("/plain", &volume, &["rbind", "ro"]);
    bundle.mount("/strict", &volume, &["rbind", "rro"]);
    let plan = bundle.plan();
    child::succeed(|| {
        // A mount of the node, seen by nobody but this child.
        let below = std::ffi::CString::new(volume.join("below").to_str().unwrap()).unwrap();
        // SAFETY: plain system calls on C strings.
        unsafe {
            assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0);
            let private = libc::MS_REC | libc::MS_PRIVATE;
            assert_eq!(
                libc::mount(
                    std::ptr::null(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    private,
                    std::ptr::null()
                ),
                0
            );
            assert_eq!(
                libc::mount(
                    c"t".as_ptr(),
                    below.as_ptr(),
                    c"tmpfs".as_ptr(),
                    0,
                    std::ptr::null()
                ),
                0
            );
        }
        enter(&plan).map_err(text)?;
        refused("/plain/x")?;
        fs::write("/plain/below/x", "").map_err(text)?;
        refused("/strict/x")?;
        refused("/strict/below/x").map(|()| String::new())
    });
}

#[test]
fn a_volume_may_share_its_mounts_with_the_node() {
    let mut bundle = Bundle::new();
    let volume = bundle.directory("volume");
    bundle.file("volume/inside", "x");
    bundle.config["linux"]["rootfsPropagation"] = "rshared".into();
    bundle.mount("/data", &volume, &["rbind", "rshared", "rw"]);
    let plan = bundle.plan();
    child::succeed(|| {
        // SAFETY: plain system calls on C strings.
        unsafe {
            assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0);
            let shared = libc::MS_REC | libc::MS_SHARED;
            assert_eq!(
                libc::mount(
                    std::ptr::null(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    shared,
                    std::ptr::null()
                ),
                0
            );
        }
        enter(&plan).map_err(text)?;
        assert_eq!(fs::read("/data/inside").map_err(text)?, b"x");
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(text)?;
        let volume = mounts.lines().find(|line| line.contains(" /data "));
        assert!(
            volume.is_some_and(|line| line.contains(" shared:")),
            "{mounts}"
        );
        Ok(String::new())
    });
}

#[test]
fn an_image_cannot_lead_a_mount_outside() {
    let mut bundle = Bundle::new();
    let outside = bundle.directory("outside");
    let volume = bundle.directory("volume");
    bundle.file("volume/inside", "x");
    let rootfs = bundle.path("rootfs");
    symlink(&outside, rootfs.join("absolute")).unwrap();
    symlink("../outside", rootfs.join("relative")).unwrap();
    symlink("../outside/dev", rootfs.join("dev")).unwrap();
    bundle.mount("/absolute/v", &volume, &["bind", "ro"]);
    bundle.mount("/relative/v", &volume, &["bind", "ro"]);
    let plan = bundle.plan();
    child::succeed(|| {
        enter(&plan).map_err(text)?;
        assert_eq!(fs::read("/absolute/v/inside").map_err(text)?, b"x");
        assert_eq!(fs::read("/relative/v/inside").map_err(text)?, b"x");
        fs::write("/dev/null", "").map_err(text)?;
        Ok(String::new())
    });
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn an_overlay_with_more_layers_than_one_page_of_options() {
    let mut bundle = Bundle::new();
    let long = "snapshotter".repeat(12);
    let mut layers = Vec::new();
    for layer in 0..60 {
        bundle.file(&format!("{long}/{layer}/fs/from-{layer}"), "x");
        layers.push(
            bundle
                .path(&format!("{long}/{layer}/fs"))
                .display()
                .to_string(),
        );
    }
    let upper = bundle.directory("upper");
    let work = bundle.directory("work");
    bundle.rootfs_mounts = vec![RootfsMount {
        fstype: "overlay".into(),
        source: "overlay".into(),
        target: String::new(),
        options: vec![
            "index=off".into(),
            format!("workdir={}", work.display()),
            format!("upperdir={}", upper.display()),
            format!("lowerdir={}", layers.join(":")),
        ],
    }];
    let plan = bundle.plan();
    assert!(plan.rootfs.mounts[0].data.len() > 8192);
    child::succeed(|| {
        enter(&plan).map_err(text)?;
        for layer in 0..60 {
            assert_eq!(fs::read(format!("/from-{layer}")).map_err(text)?, b"x");
        }
        fs::write("/made", "x").map_err(text)?;
        Ok(String::new())
    });
    assert!(upper.join("made").is_file());
    assert_eq!(fs::read_dir(bundle.path("rootfs")).unwrap().count(), 0);
}

#[test]
fn a_failure_names_the_mount_and_the_reason() {
    let mut bundle = Bundle::new();
    let missing = bundle.path("missing");
    bundle.mount("/data", &missing, &["rbind"]);
    let plan = bundle.plan();
    let ended = child::run(|| enter(&plan).map(|()| String::new()).map_err(text));
    let expected = format!(
        "mount {} on /data: No such file or directory (os error 2)",
        missing.display()
    );
    assert_eq!(ended, Ended::Returned(Err(expected)));
}
