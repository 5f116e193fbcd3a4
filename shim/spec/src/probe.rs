//! Whether a container's program has to be looked at to know who runs it.

use std::path::{Path, PathBuf};

use slipway_shim_oci as oci;
use slipway_shim_wire::{Mount, Probe, Rootfs};

use crate::{RootfsMount, Spec, SpecError, mounts, user};

/// Files that are Wasm by their name.
const WASM: [&str; 2] = [".wasm", ".wat"];

/// More directories than any `PATH` has.
const MAX_CANDIDATES: usize = 64;

impl Spec {
    /// Where to look for the program, if its name does not tell: `None` for `*.wasm` and `*.wat`, with or without
    /// `#function`, and where no program is named. `rootfs` and `rootfs_mounts` are as for [`Spec::plan`].
    ///
    /// # Errors
    /// [`SpecError`] for root file system mounts that cannot be made.
    pub fn probe(
        &self,
        rootfs: &Path,
        rootfs_mounts: &[RootfsMount],
    ) -> Result<Option<Probe>, SpecError> {
        let Some(process) = &self.oci.process else {
            return Ok(None);
        };
        let Some(program) = process.args.iter().flatten().next() else {
            return Ok(None);
        };
        if program.is_empty() || program.contains('\0') || is_wasm(program) {
            return Ok(None);
        }
        let env = process.env.as_deref().unwrap_or_default();
        let candidates = candidates(program, &process.cwd, env);
        let all = self.oci.mounts.as_deref().unwrap_or_default();
        Ok(Some(Probe {
            volumes: volumes(&self.bundle, all, &candidates),
            candidates,
            user_namespace: match &self.oci.linux {
                Some(linux) => user::namespace(linux)?,
                None => None,
            },
            rootfs: Rootfs {
                path: rootfs.to_owned(),
                mounts: mounts::of_rootfs(rootfs_mounts)?,
                ..Rootfs::default()
            },
        }))
    }

    /// `root.path`, relative to the bundle: where the root file system is when containerd passes no mounts for it.
    #[must_use]
    pub fn root_path(&self) -> PathBuf {
        let root = self.oci.root.as_ref();
        let path = root.and_then(|root| root.path.as_deref());
        self.bundle.join(path.unwrap_or(Path::new("rootfs")))
    }
}

fn is_wasm(program: &str) -> bool {
    let path = program.rsplit_once('#').map_or(program, |(path, _)| path);
    WASM.iter()
        .any(|suffix| path.ends_with(suffix) || program.ends_with(suffix))
}

/// What `program` may mean, as execvp(3): a path by itself, a bare name in each directory of `PATH`.
fn candidates(program: &str, cwd: &Path, env: &[String]) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![Path::new("/").join(cwd).join(program)];
    }
    let path = env
        .iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="));
    path.unwrap_or_default()
        .split(':')
        // As Go's LookPath, by which runc finds programs: relative directories are passed over.
        .filter(|folder| folder.starts_with('/') && !folder.contains('\0'))
        .map(|folder| Path::new(folder).join(program))
        .take(MAX_CANDIDATES)
        .collect()
}

/// The bind mounts over a candidate. Ids are mapped by runc; for looking they do not matter.
fn volumes(bundle: &Path, all: &[oci::Mount], candidates: &[PathBuf]) -> Vec<Mount> {
    let over = |mount: &&oci::Mount| {
        let mut candidates = candidates.iter();
        candidates.any(|candidate| candidate.starts_with(&mount.destination))
            && mount.destination != Path::new("/")
    };
    let translated = all.iter().filter(over).filter_map(|mount| {
        let plain = oci::Mount {
            uid_mappings: None,
            gid_mappings: None,
            ..mount.clone()
        };
        // What cannot be translated is refused by whoever runs the container.
        mounts::of_spec(bundle, std::slice::from_ref(&plain)).ok()
    });
    translated
        .flatten()
        .filter(|mount| mount.flags & libc::MS_BIND != 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(process: &str, mounts: &str) -> Option<Probe> {
        let json = format!(
            r#"{{"process":{{"user":{{}},"cwd":"/work",{process}}},"mounts":{mounts},"linux":{{}}}}"#
        );
        let spec = Spec::parse(Path::new("/bundle"), json.as_bytes()).unwrap();
        spec.probe(Path::new("/bundle/rootfs"), &[]).unwrap()
    }

    fn candidates_of(process: &str) -> Vec<PathBuf> {
        probe(process, "[]").unwrap().candidates
    }

    #[test]
    fn a_name_that_tells_is_not_looked_at() {
        for args in [
            r#""args":["/app.wasm","x"]"#,
            r#""args":["app.wasm#run"]"#,
            r#""args":["/app.wat"]"#,
            r#""args":["/a#b.wasm"]"#,
            r#""args":[""]"#,
            r#""args":null"#,
        ] {
            assert_eq!(probe(args, "[]"), None, "{args}");
        }
        for args in [r#""args":["/app"]"#, r#""args":["sh","/app.wasm"]"#] {
            assert!(probe(args, "[]").is_some(), "{args}");
        }
    }

    #[test]
    fn a_bare_name_is_looked_for_in_path_and_any_other_where_it_says() {
        let env = r#""env":["PATH=/old","PATH=/bin:rel::/usr/bin"]"#;
        assert_eq!(
            candidates_of(&format!(r#""args":["sh"],{env}"#)),
            [Path::new("/bin/sh"), Path::new("/usr/bin/sh")]
        );
        assert_eq!(
            candidates_of(&format!(r#""args":["/sh"],{env}"#)),
            [Path::new("/sh")]
        );
        assert_eq!(
            candidates_of(&format!(r#""args":["./sh"],{env}"#)),
            [Path::new("/work/./sh")]
        );
        assert_eq!(candidates_of(r#""args":["sh"]"#), [] as [&Path; 0]);
    }

    #[test]
    fn volumes_over_the_program_come_along() {
        let mounts = r#"[
            {"destination":"/proc","type":"proc","source":"proc"},
            {"destination":"/tools","type":"bind","source":"/vol/tools","options":["rbind","ro"],
             "uidMappings":[{"containerID":0,"hostID":1000,"size":1}]},
            {"destination":"/data","type":"bind","source":"/vol/data","options":["rbind"]},
            {"destination":"/","type":"bind","source":"/vol/root","options":["bind"]}
        ]"#;
        let probe = probe(r#""args":["/tools/bin/x"]"#, mounts).unwrap();
        let targets: Vec<_> = probe.volumes.iter().map(|m| m.target.as_path()).collect();
        assert_eq!(targets, [Path::new("/tools")]);
        assert!(probe.volumes[0].flags & libc::MS_RDONLY != 0);
    }

    #[test]
    fn the_root_is_where_the_spec_says() {
        let root = |json: &str| {
            Spec::parse(Path::new("/bundle"), json.as_bytes())
                .unwrap()
                .root_path()
        };
        assert_eq!(root("{}"), Path::new("/bundle/rootfs"));
        assert_eq!(root(r#"{"root":{"path":"fs"}}"#), Path::new("/bundle/fs"));
        assert_eq!(root(r#"{"root":{"path":"/fs"}}"#), Path::new("/fs"));
    }
}
