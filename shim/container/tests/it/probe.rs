//! Telling native containers from Wasm.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use rustix::thread::{UnshareFlags, move_into_link_name_space};
use slipway_shim_container::probe;
use slipway_shim_wire::{Mount, Probe, Rootfs};

use crate::child::{self, text};

struct Place(tempfile::TempDir);

impl Place {
    /// A snapshot with a program, and an empty directory to mount it on.
    fn new(program: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for directory in ["snapshot", "rootfs", "volume", "snapshot/tools"] {
            fs::create_dir(folder.path().join(directory)).unwrap();
        }
        let place = Self(folder);
        place.put("snapshot/app", program);
        place
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn bind(&self, source: &str, target: &str) -> Mount {
        Mount {
            source: self.0.path().join(source).to_str().unwrap().to_owned(),
            target: target.into(),
            flags: libc::MS_BIND,
            ..Mount::default()
        }
    }

    fn probe(&self, program: &str, volumes: Vec<Mount>) -> Probe {
        Probe {
            rootfs: Rootfs {
                path: self.0.path().join("rootfs"),
                mounts: vec![self.bind("snapshot", "")],
                ..Rootfs::default()
            },
            volumes,
            user_namespace: None,
            candidates: vec![program.into()],
        }
    }

    /// Looks, and tells whether it was native and what lies at the rootfs path afterwards.
    fn look(&self, looked_for: &Probe) -> String {
        let rootfs = self.0.path().join("rootfs");
        child::succeed(|| {
            let outside = apart()?;
            let native = probe(looked_for).map_err(text)?;
            // Of a Wasm container's probe no more is asked, so it ends in the namespace in which it looked.
            move_into_link_name_space(outside.as_fd(), None).map_err(text)?;
            Ok(format!(
                "native={native} app={} volume={}",
                rootfs.join("app").exists(),
                rootfs.join("tools/sh").exists()
            ))
        })
    }
}

/// A mount namespace of the test's own, so that a mount left in place goes with it.
fn apart() -> Result<File, String> {
    use rustix::mount::{MountPropagationFlags, mount_change};
    // SAFETY: the child has one thread.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.map_err(text)?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(text)?;
    File::open("/proc/self/ns/mnt").map_err(text)
}

#[test]
fn a_native_containers_root_stays_mounted_without_its_volumes() {
    let place = Place::new(b"\x7fELF");
    assert_eq!(
        place.look(&place.probe("/app", Vec::new())),
        "native=true app=true volume=false"
    );
    place.put("volume/sh", b"#!/app");
    let volumes = vec![place.bind("volume", "/tools")];
    assert_eq!(
        place.look(&place.probe("/tools/sh", volumes)),
        "native=true app=true volume=false"
    );
}

#[test]
fn a_wasm_containers_root_is_mounted_nowhere() {
    let place = Place::new(b"\0asm");
    for program in ["/app", "/none"] {
        assert_eq!(
            place.look(&place.probe(program, Vec::new())),
            "native=false app=false volume=false",
            "{program}"
        );
    }
}
