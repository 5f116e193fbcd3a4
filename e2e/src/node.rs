//! A node of the test bed from the inside: files, services, processes. Nodes are containers, so the way in
//! is `docker exec`.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::tree::{self, Tree};
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Every place the installer may touch, and enough around it to catch it touching others.
const WATCHED: &[&str] = &[
    "/etc",
    "/opt",
    "/usr/local",
    "/var/lib/slipway",
    "/run/slipway",
    "/root",
];

/// `RuntimeService.Status`: an empty message behind the five bytes of gRPC's frame. The answer is a condition of the type
/// RuntimeReady whose status is true.
const CRI_STATUS: &str = r"
printf '\0\0\0\0\0' | curl -sS --max-time 5 --http2-prior-knowledge --unix-socket /run/containerd/containerd.sock \
  -H 'content-type: application/grpc' -H 'te: trailers' --data-binary @- --output - \
  http://localhost/runtime.v1.RuntimeService/Status | LC_ALL=C grep -acP 'RuntimeReady\x10\x01' >/dev/null
";

/// One node's inside.
#[derive(Debug, Clone)]
pub struct Inside {
    name: String,
}

/// A container's first process as containerd knows it, and when the kernel started it: a process id alone
/// may be used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The process id in the node.
    pub pid: u32,
    /// Field 22 of `/proc/<pid>/stat`, proc(5).
    pub started: u64,
}

impl Inside {
    /// The node whose container is called as the node is (kind names them so).
    #[must_use]
    pub fn of(node: &str) -> Self {
        Self {
            name: node.to_owned(),
        }
    }

    /// Runs a bash script in the node, ending it at the first command that fails. Returns its output.
    ///
    /// # Errors
    /// When a command in it fails or it takes too long.
    pub async fn bash(&self, script: &str) -> Result<String> {
        let args = ["exec", "-i", &self.name, "bash", "-euo", "pipefail", "-s"];
        command::check("docker", &args, script, PATIENCE)
            .await
            .with_context(|| format!("in node {}", self.name))
    }

    /// As [`Self::bash`], blocking: for guards, which put things back even while a panic unwinds.
    ///
    /// # Errors
    /// When a command in it fails.
    pub fn bash_now(&self, script: &str) -> Result<()> {
        let output = Command::new("docker")
            .args(["exec", &self.name, "bash", "-euo", "pipefail", "-c", script])
            .stdin(Stdio::null())
            .output()
            .context("start docker")?;
        if !output.status.success() {
            bail!(
                "in node {}: {}",
                self.name,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }

    /// The last lines a unit logged.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn journal(&self, unit: &str, lines: usize) -> Result<String> {
        self.bash(&format!(
            "journalctl --no-pager -o short-precise -u {unit} -n {lines}"
        ))
        .await
    }

    /// Everything below the places an installer may touch.
    ///
    /// # Errors
    /// When the node cannot be entered.
    pub async fn tree(&self) -> Result<Tree> {
        let tree = Tree::parse(&self.bash(&tree::listing(WATCHED)).await?);
        if tree.is_empty() {
            bail!("node {}: the snapshot is empty", self.name);
        }
        Ok(tree)
    }

    /// Names of loaded systemd units that are ours by name, transient ones included.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub async fn our_units(&self) -> Result<Vec<String>> {
        let all = self
            .bash("systemctl list-units --all --plain --no-legend --no-pager 'slipway*'")
            .await?;
        Ok(all
            .lines()
            .filter_map(|l| l.split_whitespace().next())
            .map(str::to_owned)
            .collect())
    }

    /// The process id of the running containerd.
    ///
    /// # Errors
    /// When systemd does not answer or the unit is not running.
    pub async fn containerd_pid(&self) -> Result<u32> {
        let text = self
            .bash("systemctl show -p MainPID --value containerd.service")
            .await?;
        match text.trim().parse() {
            Ok(pid) if pid > 0 => Ok(pid),
            _ => bail!(
                "node {}: containerd is not running: MainPID {}",
                self.name,
                text.trim()
            ),
        }
    }

    /// Gives an image of the node's another name.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn tag_image(&self, image: &str, name: &str) -> Result<()> {
        let script = format!(
            "ctr -n k8s.io images tag --force docker.io/{image} docker.io/{name} >/dev/null"
        );
        self.bash(&script).await.map(drop)
    }

    /// Asks containerd something over its own socket.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn containerd_answers(&self) -> Result<()> {
        self.bash("ctr --connect-timeout 5s version >/dev/null")
            .await
            .map(|_| ())
    }

    /// Waits until containerd's CRI answers that it is ready, as the kubelet asks it. Asked by curl, over the socket that
    /// containerd serves.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until_cri_answers(&self, patience: Duration) -> Result<()> {
        until("containerd to answer CRI", patience, || async {
            let answer = self.bash(CRI_STATUS).await;
            Ok(answer.map(|_| ()).map_err(|error| format!("{error:#}")))
        })
        .await
    }

    /// The first process of a container, as containerd reports it and as the kernel confirms it.
    ///
    /// # Errors
    /// When containerd does not know the container as running, or the kernel does not know the process.
    pub async fn process(&self, container_id: &str) -> Result<Process> {
        let tasks = self.bash("ctr -n k8s.io tasks ls").await?;
        let pid = running(&tasks, container_id)
            .with_context(|| format!("no running task {container_id} in:\n{tasks}"))?;
        let stat = self.bash(&format!("cat /proc/{pid}/stat")).await?;
        let started = start_time(&stat).with_context(|| format!("unexpected stat: {stat}"))?;
        Ok(Process { pid, started })
    }

    /// The digests of the shim's versions on the node, in order.
    ///
    /// # Errors
    /// When there is none.
    pub async fn payloads(&self) -> Result<Vec<String>> {
        let shims = self
            .bash("cd /opt/slipway && ls -d */containerd-shim-slipway-v1")
            .await?;
        let folders = shims.lines().filter_map(|path| path.split('/').next());
        Ok(folders.map(str::to_owned).collect())
    }

    /// `GET url`: the status and the body.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn get(&self, url: &str) -> Result<(u16, String)> {
        let text = self
            .bash(&format!(
                "curl -sS --max-time 10 -w '\\n%{{http_code}}' '{url}'"
            ))
            .await?;
        let (body, status) = text.rsplit_once('\n').context("curl printed no status")?;
        Ok((status.trim().parse()?, body.to_owned()))
    }
}

/// The process id of a running task in `ctr tasks ls`, whose columns are TASK, PID, STATUS.
fn running(tasks: &str, container_id: &str) -> Option<u32> {
    tasks.lines().find_map(|line| {
        let mut columns = line.split_whitespace();
        let (task, pid, status) = (columns.next()?, columns.next()?, columns.next()?);
        (task == container_id && status == "RUNNING").then(|| pid.parse().ok())?
    })
}

/// Field 22 of a stat line. The second field is a name in brackets that may hold anything.
fn start_time(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_running_task_has_a_pid() {
        let tasks = "TASK    PID    STATUS\nabc    12    RUNNING\nabcd    13    STOPPED\n";
        assert_eq!(running(tasks, "abc"), Some(12));
        assert_eq!(running(tasks, "abcd"), None);
        assert_eq!(running(tasks, "TASK"), None);
    }

    #[test]
    fn a_process_name_cannot_confuse_the_start_time() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1";
        assert_eq!(start_time(stat), Some(4242));
    }
}
