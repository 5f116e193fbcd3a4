//! Limits as files of a cgroup and what to write to them.

use std::borrow::Cow;
use std::path::Path;

use rustix::io::Errno;

use super::Error;
use crate::file;
use crate::resources::{Resources, swap_only, weight_of_shares};

/// The kernel's period where only a quota is given (cgroup-v2.rst, "cpu.max").
const DEFAULT_PERIOD: u64 = 100_000;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: &'static str,
    pub(super) file: Cow<'static, str>,
    pub(super) value: String,
    /// A kernel without this file loses nothing by it.
    pub(super) may_lack: bool,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "every caller makes it on the spot"
)]
fn set(controller: &'static str, file: &'static str, value: impl ToString) -> Setting {
    Setting {
        controller,
        file: Cow::Borrowed(file),
        value: value.to_string(),
        may_lack: false,
    }
}

impl Setting {
    fn if_there(self) -> Self {
        Self {
            may_lack: true,
            ..self
        }
    }
}

/// For cgroup v1. The error is the reason why it cannot be.
pub(super) fn v1(resources: &Resources) -> Result<Vec<Setting>, &'static str> {
    if !resources.unified.is_empty() {
        return Err("unified settings are for cgroup v2, and this host has cgroup v1");
    }
    let mut settings = Vec::new();
    let mut add = |setting: Option<Setting>| settings.extend(setting);
    add(resources
        .cpuset_cpus
        .as_ref()
        .map(|cpus| set("cpuset", "cpuset.cpus", cpus)));
    add(resources
        .cpuset_mems
        .as_ref()
        .map(|mems| set("cpuset", "cpuset.mems", mems)));
    add(resources
        .cpu_shares
        .map(|shares| set("cpu", "cpu.shares", shares)));
    add(resources
        .cpu_period
        .map(|period| set("cpu", "cpu.cfs_period_us", period)));
    add(resources
        .cpu_quota
        .map(|quota| set("cpu", "cpu.cfs_quota_us", quota.max(-1))));
    add(resources
        .cpu_burst
        .map(|burst| set("cpu", "cpu.cfs_burst_us", burst).if_there()));
    add(resources.cpu_idle.map(|idle| set("cpu", "cpu.idle", idle)));
    add(resources
        .memory_limit
        .map(|limit| set("memory", "memory.limit_in_bytes", limit)));
    // No limit on memory means none on the sum either, or the sum's old limit would stay. A kernel without swap
    // accounting has no such file.
    let swap = resources
        .memory_swap
        .or(resources.memory_limit.filter(|limit| *limit == -1));
    add(swap.map(|swap| set("memory", "memory.memsw.limit_in_bytes", swap).if_there()));
    add(resources
        .memory_reservation
        .map(|soft| set("memory", "memory.soft_limit_in_bytes", soft)));
    // Refused by kernels that swap by other rules; a preference, not a limit.
    add(resources
        .memory_swappiness
        .map(|value| set("memory", "memory.swappiness", value).if_there()));
    add(resources
        .oom_kill_disable
        .then(|| set("memory", "memory.oom_control", 1)));
    add(resources
        .pids_limit
        .map(|limit| set("pids", "pids.max", pids_max(limit))));
    for pages in &resources.hugepages {
        let file = Cow::Owned(format!("hugetlb.{}.limit_in_bytes", pages.size));
        add(Some(Setting {
            controller: "hugetlb",
            file,
            value: pages.limit.to_string(),
            may_lack: true,
        }));
    }
    Ok(settings)
}

/// For cgroup v2. The error is the reason why it cannot be.
pub(super) fn v2(resources: &Resources) -> Result<Vec<Setting>, &'static str> {
    let mut settings = Vec::new();
    let mut add = |setting: Option<Setting>| settings.extend(setting);
    add(resources
        .cpuset_cpus
        .as_ref()
        .map(|cpus| set("cpuset", "cpuset.cpus", cpus)));
    add(resources
        .cpuset_mems
        .as_ref()
        .map(|mems| set("cpuset", "cpuset.mems", mems)));
    add(resources.cpu_idle.map(|idle| set("cpu", "cpu.idle", idle)));
    // An idle cgroup has no weight; the kernel refuses to set one.
    let shares = resources
        .cpu_shares
        .filter(|_| resources.cpu_idle != Some(1));
    add(shares.map(|shares| set("cpu", "cpu.weight", weight_of_shares(shares))));
    if resources.cpu_quota.is_some() || resources.cpu_period.is_some() {
        let quota = resources
            .cpu_quota
            .filter(|quota| *quota > 0)
            .map_or("max".to_owned(), |quota| quota.to_string());
        let period = resources.cpu_period.unwrap_or(DEFAULT_PERIOD);
        add(Some(set("cpu", "cpu.max", format!("{quota} {period}"))));
    }
    add(resources
        .cpu_burst
        .map(|burst| set("cpu", "cpu.max.burst", burst).if_there()));
    let swap = swap_only(resources.memory_swap, resources.memory_limit)?;
    // Without swap accounting there is no file, and none is missed unless swap is to be limited to some amount.
    add(swap.map(|swap| Setting {
        may_lack: swap <= 0,
        ..set("memory", "memory.swap.max", or_max(swap))
    }));
    add(resources
        .memory_limit
        .map(|limit| set("memory", "memory.max", or_max(limit))));
    add(resources
        .memory_reservation
        .map(|low| set("memory", "memory.low", or_max(low))));
    add(resources
        .pids_limit
        .map(|limit| set("pids", "pids.max", pids_max(limit))));
    for pages in &resources.hugepages {
        let file = Cow::Owned(format!("hugetlb.{}.max", pages.size));
        add(Some(Setting {
            controller: "hugetlb",
            file,
            value: pages.limit.to_string(),
            may_lack: true,
        }));
    }
    for (name, value) in &resources.unified {
        add(Some(Setting {
            file: Cow::Owned(name.clone()),
            ..set("unified", "", value)
        }));
    }
    Ok(settings)
}

fn or_max(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

/// 0 becomes 1 as under systemd, which takes no 0; the effect is the same, for the process itself counts.
fn pids_max(limit: i64) -> String {
    or_max(if limit == 0 { 1 } else { limit })
}

/// Writes them in order. The kernel checks some against each other (quota and period, memory and swap), so that the
/// right order depends on the present values: what it calls invalid is tried once more after the rest.
pub(super) fn write<'a>(
    settings: &[Setting],
    dir_of: impl Fn(&str) -> Option<&'a Path>,
) -> Result<(), Error> {
    let mut again = Vec::new();
    for setting in settings {
        let Some(dir) = dir_of(setting.controller) else {
            if setting.may_lack {
                continue;
            }
            let (file, controller) = (&setting.file, setting.controller);
            return Err(Error::Unsupported(format!(
                "{file} cannot be set: this host has no {controller} cgroup"
            )));
        };
        let path = dir.join(&*setting.file);
        match file::write(&path, &setting.value) {
            Ok(()) => {}
            Err(error) if setting.may_lack && error.is_gone() => {}
            Err(error) if error.errno() == Some(Errno::INVAL) => again.push((path, setting)),
            Err(error) => return Err(error.into()),
        }
    }
    for (path, setting) in again {
        match file::write(&path, &setting.value) {
            Err(error) if setting.may_lack && error.errno() == Some(Errno::INVAL) => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Hugepages;

    fn lines(settings: &[Setting]) -> Vec<String> {
        settings
            .iter()
            .map(|setting| format!("{}={}", setting.file, setting.value))
            .collect()
    }

    fn resources() -> Resources {
        Resources {
            cpu_shares: Some(512),
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            cpuset_cpus: Some("0-1".into()),
            memory_limit: Some(100),
            memory_swap: Some(150),
            pids_limit: Some(20),
            hugepages: vec![Hugepages {
                size: "2MB".into(),
                limit: 0,
            }],
            ..Resources::default()
        }
    }

    #[test]
    fn v1_files() {
        let settings = v1(&resources()).expect("fits v1");
        assert_eq!(
            lines(&settings),
            [
                "cpuset.cpus=0-1",
                "cpu.shares=512",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=50000",
                "memory.limit_in_bytes=100",
                "memory.memsw.limit_in_bytes=150",
                "pids.max=20",
                "hugetlb.2MB.limit_in_bytes=0",
            ]
        );
    }

    #[test]
    fn v2_files() {
        let mut wanted = resources();
        wanted.unified.insert("memory.oom.group".into(), "1".into());
        let settings = v2(&wanted).expect("fits v2");
        assert_eq!(
            lines(&settings),
            [
                "cpuset.cpus=0-1",
                "cpu.weight=59",
                "cpu.max=50000 100000",
                "memory.swap.max=50",
                "memory.max=100",
                "pids.max=20",
                "hugetlb.2MB.max=0",
                "memory.oom.group=1",
            ]
        );
        assert_eq!(
            v1(&wanted),
            Err("unified settings are for cgroup v2, and this host has cgroup v1")
        );
    }

    #[test]
    fn no_limit_is_written_as_each_version_wants_it() {
        let none = Resources {
            cpu_quota: Some(-1),
            memory_limit: Some(-1),
            pids_limit: Some(-1),
            ..Resources::default()
        };
        let written = lines(&v1(&none).expect("fits v1"));
        assert_eq!(
            written,
            [
                "cpu.cfs_quota_us=-1",
                "memory.limit_in_bytes=-1",
                "memory.memsw.limit_in_bytes=-1",
                "pids.max=max"
            ]
        );
        let written = lines(&v2(&none).expect("fits v2"));
        assert_eq!(
            written,
            [
                "cpu.max=max 100000",
                "memory.swap.max=max",
                "memory.max=max",
                "pids.max=max"
            ]
        );
        assert_eq!(pids_max(0), "1");
        assert_eq!(pids_max(1024), "1024");
        assert_eq!(pids_max(100), "100");
    }

    #[test]
    fn a_missing_controller_is_named() {
        let error =
            write(&v1(&resources()).expect("fits v1"), |_| None).expect_err("nothing is mounted");
        assert_eq!(
            error.to_string(),
            "linux.resources: cpuset.cpus cannot be set: this host has no cpuset cgroup"
        );
    }

    #[test]
    fn files_that_may_lack_are_passed_over_and_others_named() {
        let dir = tempfile::tempdir().expect("temp dir");
        let files = [
            "cpuset.cpus",
            "cpu.shares",
            "cpu.cfs_period_us",
            "cpu.cfs_quota_us",
            "memory.limit_in_bytes",
        ];
        for file in files {
            std::fs::write(dir.path().join(file), "").expect("write");
        }
        let settings = v1(&resources()).expect("fits v1");
        let error = write(&settings, |_| Some(dir.path())).expect_err("pids.max is missing");
        assert!(
            error.to_string().contains("pids.max: No such file"),
            "{error}"
        );
        std::fs::write(dir.path().join("pids.max"), "").expect("write");
        write(&settings, |_| Some(dir.path())).expect("memsw and hugetlb may lack");
        assert_eq!(
            std::fs::read_to_string(dir.path().join("pids.max")).expect("read"),
            "20"
        );
    }
}
