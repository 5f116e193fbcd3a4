//! What is left of root.

use std::fs;

use serde_json::json;
use slipway_shim_container::{USABLE_CAPABILITIES, drop_privileges, enter};

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
