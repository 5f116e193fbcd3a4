//! The journal of an earlier installer, as this one writes it.
//!
//! Version 1 knew one shim, without a name. It is the one that a command without `--shim` means.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

use super::record::{InstalledShim, VERSION};
use crate::args::DEFAULT_SHIM;
use crate::containerd::handler::Handler;

/// What version 1 said of its shim, beside the rest, which is the same.
#[derive(Deserialize)]
struct Shim {
    digest: String,
    shim: PathBuf,
    handlers: Vec<String>,
}

/// A record of any version up to [`VERSION`] as one of that version.
pub(super) fn upgraded(mut record: Value) -> Result<Value, serde_json::Error> {
    if record.get("version").and_then(Value::as_u64) != Some(1) {
        return Ok(record);
    }
    let Some(fields) = record.as_object_mut() else {
        return Ok(record);
    };
    fields.insert("version".to_owned(), json!(VERSION));
    match fields.get_mut("goal") {
        // A transaction.
        Some(Value::Object(goal)) => upgrade_installed(goal)?,
        Some(_) => {}
        None => upgrade_installed(fields)?,
    }
    Ok(record)
}

fn upgrade_installed(fields: &mut Map<String, Value>) -> Result<(), serde_json::Error> {
    let shim: Shim = serde_json::from_value(Value::Object(fields.clone()))?;
    for key in ["digest", "shim", "handlers"] {
        fields.remove(key);
    }
    let installed = InstalledShim {
        handlers: shim
            .handlers
            .iter()
            .map(|name| Handler::plain(name, &shim.shim))
            .collect(),
        digest: Some(shim.digest),
        path: shim.shim,
        served: Default::default(),
        local_image_pull: false,
    };
    fields.insert("version".to_owned(), json!(VERSION));
    fields.insert("shims".to_owned(), json!({ DEFAULT_SHIM: installed }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Installed, Transaction};

    /// As the installer of 0.1 wrote it, shortened in nothing but the digests.
    const INSTALLED: &str = r#"{
      "version": 1,
      "digest": "ab12",
      "installRoot": "/opt/slipway",
      "shim": "/opt/slipway/ab12/containerd-shim-slipway-v1",
      "handlers": ["wasmtime", "spin"],
      "method": "dropIn",
      "files": [
        {
          "path": "/etc/containerd/conf.d/99-slipway.toml",
          "base": null,
          "ours": {"sha256": "cd34", "attributes": {"mode": 420, "uid": 0, "gid": 0}}
        }
      ],
      "additions": {"import": "/etc/containerd/conf.d/*.toml", "built_in_runc": false},
      "createdFolders": ["/opt/slipway"],
      "daemon": {"unit": "containerd.service", "socket": "/run/containerd/containerd.sock", "config": "/etc/containerd/config.toml"},
      "verifiedBoot": "b"
    }"#;

    fn check(installed: &Installed) {
        let shim = &installed.shims["slipway"];
        assert_eq!(shim.digest.as_deref(), Some("ab12"));
        assert_eq!(shim.names(), ["wasmtime", "spin"]);
        assert_eq!(shim.handlers[0].annotations, ["slipway.dev/*"]);
        assert_eq!(shim.handlers[1].shim, shim.path);
        assert_eq!(
            installed.additions.import.as_deref(),
            Some("/etc/containerd/conf.d/*.toml")
        );
        assert_eq!((installed.version, installed.files.len()), (VERSION, 1));
    }

    #[test]
    fn the_one_shim_of_version_1_gets_its_name() {
        let old: Value = serde_json::from_str(INSTALLED).unwrap();
        let new = upgraded(old).unwrap();
        check(&serde_json::from_value(new.clone()).unwrap());
        assert_eq!(upgraded(new.clone()).unwrap(), new, "once is enough");
    }

    #[test]
    fn a_transaction_of_version_1_is_read_with_and_without_a_goal() {
        let open = |goal: Value| {
            let old = json!({
                "version": 1, "id": "1", "operation": "install", "stage": "applied", "openedUs": 5, "changes": [],
                "createdFolders": [], "daemon": {"unit": "u", "socket": "/s", "config": "/c"},
                "expect": {"present": {"wasmtime": "/opt/x"}, "absent": []}, "goal": goal,
                "installRoot": "/opt/slipway", "payload": "ab12", "owner": [7, 8], "watchdog": "w.service",
            });
            serde_json::from_value::<Transaction>(upgraded(old).unwrap()).unwrap()
        };
        check(&open(serde_json::from_str(INSTALLED).unwrap()).goal.unwrap());
        assert_eq!(open(Value::Null).goal, None);
    }
}
