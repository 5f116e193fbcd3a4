//! The parts of a run, one after the other, and what is looked at meanwhile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use slipway_crds::conditions::{READY, is_true};
use slipway_crds::{NodeShim, Shim};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::Run;
use crate::audit::{Audit, Requests};
use crate::cluster::{self, NAMESPACE, SHIM};
use crate::control_plane::{ControlPlane, ports};
use crate::process::{Process, Usage};
use crate::results::{Part, Results, What};
use crate::{kubelets, nodes};

/// How often it is looked whether a part has ended.
const PAUSE: Duration = Duration::from_millis(200);
/// How long nothing must be asked for until the operator is taken to rest.
const QUIET: Duration = Duration::from_secs(5);

/// Measures, and writes the results down.
///
/// # Errors
/// When a process ends, or a part takes too long.
pub(crate) async fn measure(args: &Run) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = args.scratch.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut plane = ControlPlane::start(args, folder)?;
    let client = plane.client().await?;
    let kubernetes = client.apiserver_version().await?.git_version;
    cluster::prepare(&client, &args.base, args.at_once).await?;
    nodes::make(&client, args.nodes).await?;
    let mut played = JoinSet::new();
    played.spawn(kubelets::play(client.clone()));
    let operator = start(args, &plane, folder)?;
    let mut bench = Bench {
        args,
        folder: folder.to_owned(),
        audit: Audit::of(plane.audit_log()),
        before: Usage::default(),
        plane,
        client,
        operator,
        played,
    };
    let mut results = Results {
        about: args.about.clone(),
        nodes: args.nodes,
        at_once: args.at_once,
        processors: std::thread::available_parallelism()?.get(),
        kubernetes,
        parts: Vec::new(),
    };
    for what in What::ALL {
        let part = bench.measure(what).await?;
        results.parts.push(part);
        // After each part: what was measured is kept if a later one fails.
        let text = serde_json::to_string_pretty(&results)?;
        std::fs::write(&args.json, text).with_context(|| args.json.display().to_string())?;
    }
    Ok(())
}

fn start(args: &Run, plane: &ControlPlane, folder: &Path) -> Result<Process> {
    let [port] = ports()?;
    Process::start("operator", &args.operator, folder, |command| {
        command
            .env_clear()
            .env("KUBECONFIG", plane.kubeconfig())
            .args([
                "run",
                "--identity=bench",
                "--installer-image=slipway/node-installer:bench",
            ])
            .arg(format!("--namespace={NAMESPACE}"))
            .arg(format!("--max-concurrent={}", args.at_once))
            .arg(format!("--listen=127.0.0.1:{port}"));
    })
}

struct Bench<'a> {
    args: &'a Run,
    folder: PathBuf,
    plane: ControlPlane,
    client: Client,
    operator: Process,
    audit: Audit,
    /// What the operator had used before this part.
    before: Usage,
    played: JoinSet<Result<()>>,
}

impl Bench<'_> {
    async fn measure(&mut self, what: What) -> Result<Part> {
        match what {
            What::Install => self.install().await,
            What::Rest => self.rest().await,
            What::Restart => self.restart().await,
            What::Prove => self.prove().await,
            What::Remove => self.remove().await,
        }
    }

    async fn install(&mut self) -> Result<Part> {
        let began = Instant::now();
        self.until("the nodes are ready", Self::is_ready).await?;
        self.part(What::Install, began).await
    }

    async fn rest(&mut self) -> Result<Part> {
        self.played
            .spawn(nodes::live(self.client.clone(), self.args.nodes));
        let began = Instant::now();
        let long = Duration::from_secs(u64::from(self.args.rest));
        self.until("it has rested", async |_| Ok(began.elapsed() >= long))
            .await?;
        let requests = self.audit.since()?;
        self.close(What::Rest, began.elapsed(), requests)
    }

    /// Killed, as a node that fails kills it. Its Lease is still its own.
    async fn restart(&mut self) -> Result<Part> {
        self.operator.kill().await?;
        self.operator = start(self.args, &self.plane, &self.folder)?;
        self.before = Usage::default();
        let began = Instant::now();
        self.part(What::Restart, began).await
    }

    async fn prove(&mut self) -> Result<Part> {
        let began = Instant::now();
        let api: Api<Shim> = Api::all(self.client.clone());
        let change = json!({"spec": {"canary": {"image": "registry.test/canary:2"}}});
        api.patch(SHIM, &PatchParams::default(), &Patch::Merge(change))
            .await?;
        self.until("the nodes are proven anew", Self::is_ready)
            .await?;
        self.part(What::Prove, began).await
    }

    async fn remove(&mut self) -> Result<Part> {
        let began = Instant::now();
        let api: Api<Shim> = Api::all(self.client.clone());
        api.delete(SHIM, &DeleteParams::default()).await?;
        self.until("the nodes are clean", async |bench| {
            let all: Api<NodeShim> = Api::all(bench.client.clone());
            let one = ListParams::default().limit(1);
            Ok(api.get_opt(SHIM).await?.is_none()
                && all.list_metadata(&one).await?.items.is_empty())
        })
        .await?;
        self.part(What::Remove, began).await
    }

    /// Every node has what is asked for now.
    async fn is_ready(&mut self) -> Result<bool> {
        let api: Api<Shim> = Api::all(self.client.clone());
        let shim = api.get(SHIM).await?;
        let status = shim.status.unwrap_or_default();
        Ok(status.observed_generation == shim.metadata.generation
            && is_true(&status.conditions, READY)
            && status.nodes.updated == self.args.nodes)
    }

    /// Waits for it; what has ended meanwhile ends the run.
    async fn until(
        &mut self,
        what: &str,
        mut holds: impl AsyncFnMut(&mut Self) -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(u64::from(self.args.deadline));
        while !holds(self).await? {
            self.plane.check()?;
            self.operator.check()?;
            if let Some(ended) = self.played.try_join_next() {
                ended??;
                bail!("what plays the nodes has ended");
            }
            if Instant::now() >= deadline {
                bail!(
                    "not in {} s: {what}; the operator's last words:\n{}",
                    self.args.deadline,
                    self.operator.tail()
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// The end of a part: when it is reached, and the operator rests. The time until it is sure of that is not counted.
    async fn part(&mut self, what: What, began: Instant) -> Result<Part> {
        let reached = Instant::now();
        let (mut requests, mut last) = (Vec::new(), reached);
        self.until("it rests", async |bench| {
            let new = bench.audit.since()?;
            if new.iter().any(|kind| kind.resource != "leases") {
                last = Instant::now();
            }
            merge(&mut requests, new);
            Ok(last.elapsed() >= QUIET)
        })
        .await?;
        let end = if what == What::Restart { last } else { reached };
        self.close(what, end - began, requests)
    }

    fn close(&mut self, what: What, took: Duration, requests: Vec<Requests>) -> Result<Part> {
        let used = self.operator.usage()?;
        let part = Part {
            what,
            seconds: took.as_secs_f64(),
            requests,
            cpu_seconds: used.cpu_seconds - self.before.cpu_seconds,
            peak_kib: used.peak_kib,
            resident_kib: used.resident_kib,
        };
        self.before = used;
        Ok(part)
    }
}

fn merge(all: &mut Vec<Requests>, new: Vec<Requests>) {
    for kind in new {
        let same =
            |found: &&mut Requests| found.verb == kind.verb && found.resource == kind.resource;
        match all.iter_mut().find(same) {
            Some(found) => {
                found.count += kind.count;
                found.failed += kind.failed;
            }
            None => all.push(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_kind_are_added_up() {
        let kind = |verb: &str, count| Requests {
            verb: verb.into(),
            resource: "jobs".into(),
            count,
            failed: 1,
        };
        let mut all = vec![kind("create", 2)];
        merge(&mut all, vec![kind("create", 3), kind("list", 1)]);
        let added = Requests {
            failed: 2,
            ..kind("create", 5)
        };
        assert_eq!(all, [added, kind("list", 1)]);
    }
}
