//! What is left of root.

use std::fs;

use serde_json::json;
use slipway_shim_container::{USABLE_CAPABILITIES, drop_privileges, enter_sandbox};

use crate::child::enter;
use crate::child::{self, text};
use crate::config::Bundle;

/// The named lines of `/proc/self/status`, opened before the process stops being dumpable.
fn status(bundle: &Bundle) -> Vec<(String, String)> {
    let plan = bundle.plan();
    let text = child::succeed(|| {
        enter(&plan).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        let status = fs::read_to_string("/proc/self/status").map_err(text)?;
        let cwd = std::env::current_dir().map_err(text)?;
        let limits = fs::read_to_string("/proc/self/limits").map_err(text)?;
        let files = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let oom = fs::read_to_string("/proc/self/oom_score_adj").map_err(text)?;
        // SAFETY: plain system call.
        let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
        Ok(format!(
            "{status}cwd:{}\nfiles:{}\noom:{}dumpable:{dumpable}\n",
            cwd.display(),
            files.unwrap_or_default(),
            oom,
        ))
    });
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().replace('\t', " ")))
        .collect()
}

fn value<'a>(status: &'a [(String, String)], name: &str) -> &'a str {
    let found = status.iter().find(|(other, _)| other == name);
    found.map_or("", |(_, value)| value)
}

#[test]
fn an_ordinary_user_has_no_capability_and_its_own_ids() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["user"] =
        json!({"uid": 1000, "gid": 2000, "additionalGids": [2000, 3000], "umask": 63});
    bundle.config["process"]["cwd"] = "/made/for/it".into();
    bundle.config["process"]["oomScoreAdj"] = 985.into();
    bundle.config["process"]["rlimits"] =
        json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]);
    let status = status(&bundle);
    assert_eq!(value(&status, "Uid"), "1000 1000 1000 1000");
    assert_eq!(value(&status, "Gid"), "2000 2000 2000 2000");
    assert_eq!(value(&status, "Groups"), "2000 3000");
    assert_eq!(value(&status, "Umask"), "0077");
    assert_eq!(value(&status, "NoNewPrivs"), "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(value(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!(value(&status, "cwd"), "/made/for/it");
    assert_eq!(value(&status, "oom"), "985");
    assert_eq!(value(&status, "dumpable"), "0");
    let files: Vec<_> = value(&status, "files").split_whitespace().skip(3).collect();
    assert_eq!(files, ["100", "200", "files"]);
}

#[test]
fn root_keeps_what_a_guest_can_use_of_what_is_granted() {
    let mut bundle = Bundle::new();
    let granted = json!([
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_SYS_ADMIN",
        "CAP_NET_BIND_SERVICE",
    ]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": granted, "effective": granted, "permitted": granted});
    let status = status(&bundle);
    let expected: u64 = 1 << 1 | 1 << 3 | 1 << 10;
    assert_eq!(expected & !USABLE_CAPABILITIES, 0);
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(value(&status, set), format!("{expected:016x}"), "{set}");
    }
    assert_eq!(value(&status, "CapInh"), "0000000000000000");
    assert_eq!(value(&status, "Umask"), "0022");
}

#[test]
fn an_ordinary_user_keeps_an_ambient_capability() {
    let mut bundle = Bundle::new();
    let granted = json!(["CAP_NET_BIND_SERVICE"]);
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    bundle.config["process"]["capabilities"] = json!({
        "bounding": granted, "effective": granted, "permitted": granted,
        "inheritable": granted, "ambient": granted,
    });
    let status = status(&bundle);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(value(&status, set), "0000000000000400", "{set}");
    }
}

#[test]
fn a_privileged_container_has_the_nodes_devices_and_no_more_power() {
    let mut bundle = Bundle::new();
    // What CRI makes of `privileged: true`, as far as it concerns a guest.
    let all: Vec<_> = [
        "CHOWN",
        "DAC_OVERRIDE",
        "MKNOD",
        "NET_ADMIN",
        "SYS_ADMIN",
        "SYS_PTRACE",
    ]
    .map(|name| format!("CAP_{name}"))
    .into();
    bundle.config["process"]["capabilities"] =
        json!({"bounding": all, "effective": all, "permitted": all});
    bundle.config["linux"]["devices"] = json!([
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666},
    ]);
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    linux.remove("maskedPaths");
    linux.remove("readonlyPaths");
    let plan = bundle.plan();
    let capabilities = child::succeed(|| {
        enter(&plan).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        assert!(fs::metadata("/dev/fuse").is_ok());
        let refused = fs::write("/proc/sys/vm/drop_caches", "0").map_err(|error| error.kind());
        assert_eq!(refused, Err(std::io::ErrorKind::ReadOnlyFilesystem));
        let status = fs::read_to_string("/proc/self/status").map_err(text)?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("CapBnd:\t"));
        Ok(line.unwrap_or_default().to_owned())
    });
    assert_eq!(capabilities, format!("{:016x}", 1 << 1));
}

#[test]
fn an_apparmor_profile_that_cannot_be_had_is_refused() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["apparmorProfile"] = "slipway-no-such-profile".into();
    let plan = bundle.plan();
    for enter in [enter, enter_sandbox] {
        let ended = child::run(|| enter(&plan).map(|()| String::new()).map_err(text));
        let child::Ended::Returned(Err(sentence)) = ended else {
            panic!("{ended:?}");
        };
        let expected = "apply the AppArmor profile \"slipway-no-such-profile\": ";
        assert!(sentence.contains(expected), "{sentence}");
    }
}
