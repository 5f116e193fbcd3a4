//! Takes one process through the life of a container's cgroup, on the real host, and says what happened:
//! `place CGROUPS_PATH [--oom]`. For trying this crate on a host by hand, as root.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::error::Error;
use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use slipway_shim_cgroup::{Cgroup, DeviceKind, DeviceRule, Resources, Stats, SystemdConnection};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: place CGROUPS_PATH [--oom]")?;
    let oom = args.next().as_deref() == Some("--oom");

    let cgroup = Cgroup::open(&path)?;
    if let Some(job) = cgroup.release()? {
        // What an earlier try left.
        job.wait(PATIENCE)?;
    }
    println!("{:?}, scope {:?}", cgroup.version(), cgroup.unit());
    let resources = Resources {
        cpu_shares: Some(512),
        cpu_quota: Some(50_000),
        cpu_period: Some(100_000),
        memory_limit: Some(16 << 20),
        memory_swap: Some(16 << 20),
        pids_limit: Some(50),
        devices: vec![
            rule(false, DeviceKind::All, None, None),
            rule(true, DeviceKind::Char, Some(1), Some(3)),
            rule(true, DeviceKind::Char, Some(136), None),
        ],
        ..Resources::default()
    };
    let mut child = spawn(oom)?;
    let result = live(&cgroup, &resources, &mut child);
    let _ = child.kill();
    let _ = child.wait();
    let removed = Instant::now();
    cgroup.remove(PATIENCE)?;
    println!("removed in {:?}", removed.elapsed());
    if let Some(job) = cgroup.release()? {
        job.wait(PATIENCE)?;
        println!("released in {:?}", removed.elapsed());
    }
    result
}

fn rule(allow: bool, kind: DeviceKind, major: Option<u32>, minor: Option<u32>) -> DeviceRule {
    DeviceRule {
        allow,
        kind,
        major,
        minor,
        access: "rwm".to_owned(),
    }
}

/// A process that waits for its standard input to close; then it ends, or uses more memory than it may.
fn spawn(oom: bool) -> std::io::Result<Child> {
    let script = if oom {
        "read x; x=a; while :; do x=$x$x; done"
    } else {
        "read x; sleep 30"
    };
    Command::new("/bin/sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .spawn()
}

/// The path of the first hierarchy.
fn own_path(own: &str) -> &str {
    own.lines()
        .next()
        .and_then(|line| line.splitn(3, ':').nth(2))
        .unwrap_or_default()
}

fn live(cgroup: &Cgroup, resources: &Resources, child: &mut Child) -> Result<(), Box<dyn Error>> {
    let ahead = match cgroup.unit() {
        Some(_) => Some(SystemdConnection::open()?),
        None => None,
    };
    let begun = Instant::now();
    let placement = cgroup.place(child.id(), resources, ahead)?;
    let asked = begun.elapsed();
    placement.wait(PATIENCE)?;
    println!("asked in {asked:?}, placed in {:?}", begun.elapsed());
    let mut own = String::new();
    fs::File::open(format!("/proc/{}/cgroup", child.id()))?.read_to_string(&mut own)?;
    print!("{own}");
    let devices = fs::read_to_string(format!(
        "/sys/fs/cgroup/devices{}/devices.list",
        own_path(&own)
    ));
    println!("devices {devices:?}");
    println!("pids {:?}, child {}", cgroup.pids()?, child.id());

    let mut watch = cgroup.watch_oom()?;
    println!("frozen and thawed in {:?}", {
        let begun = Instant::now();
        cgroup.freeze()?;
        cgroup.thaw()?;
        begun.elapsed()
    });
    if let Some(job) = cgroup.update(&Resources {
        memory_limit: Some(8 << 20),
        ..resources.clone()
    })? {
        job.wait(PATIENCE)?;
    }
    drop(child.stdin.take());
    if resources.memory_limit.is_some() && !watch.killed() {
        println!("no OOM kill yet");
    }
    std::thread::sleep(Duration::from_secs(2));
    println!("child {:?}", child.try_wait()?);
    let stats = cgroup.stats();
    println!("working set {:?}", stats.as_ref().map(Stats::working_set));
    println!("{stats:?}");
    println!(
        "OOM-killed: {}, killed by us: {}",
        watch.killed(),
        cgroup.kill()?
    );
    Ok(())
}
