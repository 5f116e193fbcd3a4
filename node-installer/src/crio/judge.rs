//! Asks the host's own CRI-O what it makes of a configuration, before anything is written for good: `crio config` prints
//! what it has read, files and drop-ins merged. Whether a runtime's program and monitor are there it finds out only when it
//! starts (`Validate`, `pkg/config`@v1.34.0); what it then leaves out or stumbles over is undone like any other failure.

use std::fs;
use std::path::{Path, PathBuf};

use super::sources;
use crate::containerd::dump::Dump;
use crate::containerd::validate::{Judge, ValidateError};
use crate::host::files::io_error;

/// A runtime in a file of the judge's own. CRI-O prints its runtimes as comments while they are its built-in ones
/// (`WriteTemplate`); with one more they are said. By its name it is the last: keys of the section above follow then.
const WITNESS: &str = "zzzz-slipway-judge";

/// What CRI-O makes, or would make, of the files: `changes` are host paths and their text, `None` if a file is to go.
pub(crate) fn dump(
    judge: &Judge<'_>,
    folder: &Path,
    changes: &[(PathBuf, Option<String>)],
) -> Result<Dump, ValidateError> {
    let candidate = judge.folder()?;
    let place = |path: &Path, text: &str| {
        let local = candidate.path().join(path);
        let parent = local.parent().unwrap_or(candidate.path());
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&local, text))
            .map_err(io_error("write", &local))
    };
    let is_changed = |path: &Path| changes.iter().any(|(changed, _)| changed == path);
    for source in sources::load(judge.root, judge.config, folder)? {
        if let Ok(inner) = source.path.strip_prefix(folder)
            && !is_changed(&source.path)
        {
            place(inner, &source.text)?;
        }
    }
    for (path, text) in changes {
        if let (Ok(inner), Some(text)) = (path.strip_prefix(folder), text) {
            place(inner, text)?;
        }
    }
    let witness = format!("[crio.runtime.runtimes.{WITNESS}]\nruntime_path = \"/nonexistent\"\n");
    place(Path::new(WITNESS), &witness)?;

    let (config, drop_ins) = (
        judge.config.to_string_lossy(),
        judge.host_path(candidate.path()),
    );
    let drop_ins = drop_ins.to_string_lossy();
    let mut arguments = vec!["--config-dir", drop_ins.as_ref(), "config"];
    // Named and missing it is an error; its default place may be empty.
    if judge.root.locate(judge.config)?.exists() {
        arguments.splice(0..0, ["--config", config.as_ref()]);
    }
    let mut dump = judge.run(&arguments)?;
    dump.runtimes.remove(WITNESS);
    Ok(dump)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::host::HostRoot;

    /// Prints the drop-ins one after the other: enough of a CRI-O as long as no table comes twice.
    const CRIO: &str = "#!/bin/sh\n\
        [ \"$1 $3\" = '--config-dir config' ] || { echo \"level=fatal $*\" >&2; exit 1; }\n\
        find \"$2\" -type f | sort | xargs cat\n";

    #[test]
    fn cri_o_is_asked_about_a_copy_of_its_folder_with_the_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (config, folder) = (dir.path().join("crio.conf"), dir.path().join("crio.conf.d"));
        fs::create_dir_all(folder.join("more")).unwrap();
        let table = |name: &str| {
            format!("[crio.runtime.runtimes.{name}]\nruntime_path = \"/bin/{name}\"\n")
        };
        let theirs = folder.join("more/10-crun");
        fs::write(&theirs, table("crun")).unwrap();
        let binary = dir.path().join("crio");
        fs::write(&binary, CRIO).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        let root = HostRoot::new(Path::new("/")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let judge = Judge {
            runtime: &runtime,
            root: &root,
            binary: &binary,
            config: &config,
            drop_ins: Some(&folder),
        };
        let runtimes = |changes: &[(PathBuf, Option<String>)]| {
            let dump = judge.with_changes(changes).unwrap();
            let runtimes = dump.runtimes.into_iter();
            runtimes
                .map(|(name, runtime)| format!("{name} {}", runtime.runtime_type))
                .collect::<Vec<_>>()
        };
        assert_eq!(runtimes(&[]), ["crun /bin/crun"]);
        let ours = (folder.join("99-slipway.toml"), Some(table("wasm")));
        assert_eq!(
            runtimes(std::slice::from_ref(&ours)),
            ["crun /bin/crun", "wasm /bin/wasm"]
        );
        assert_eq!(runtimes(&[ours, (theirs, None)]), ["wasm /bin/wasm"]);
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 2, "the folder and the program, no copy");

        // A root file is named, which this program does not take.
        fs::write(&config, "").unwrap();
        let error = judge.current().unwrap_err().to_string();
        assert!(
            error.starts_with("CRI-O does not accept ") && error.contains("--config-dir"),
            "{error}"
        );
    }
}
