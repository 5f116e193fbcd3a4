//! The cluster: a client for it, its workers, and the chart installed on it once a run.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::sync::OnceCell;

use crate::node::Inside;
use crate::settings::{Settings, cache_dir};
use crate::wait::until;
use crate::{helm, names, namespace, report};

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// A worker node.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The node's name.
    pub name: String,
    /// What it runs, as the kubelet says it: `containerd://2.4.2`.
    pub runtime: String,
    /// The way into it.
    pub inside: Inside,
}

/// The cluster with the chart on it.
#[derive(Clone)]
pub struct Cluster {
    /// A client with every right.
    pub client: Client,
    /// The workers, by name.
    pub workers: Vec<Worker>,
    /// Where things are and which images to use.
    pub settings: Settings,
}

impl Cluster {
    /// Connects, installs the chart if this run has not done so yet, and lists the workers.
    ///
    /// # Errors
    /// When no cluster answers, the chart cannot be installed, or there are not two workers.
    pub async fn connect() -> Result<Self> {
        let settings = Settings::read()?;
        let client = client(&settings).await?;
        // The workers once as well: while a test has one of them leave the cluster, others begin.
        static INSTALLED: OnceCell<(File, Vec<Worker>)> = OnceCell::const_new();
        let (_, workers) = INSTALLED
            .get_or_try_init(async || {
                let claim = claim_and_install(&client, &settings).await?;
                anyhow::Ok((claim, workers(&client).await?))
            })
            .await?;
        Ok(Self {
            client,
            workers: workers.clone(),
            settings,
        })
    }
}

/// A client for the kubeconfig in the settings, whatever `KUBECONFIG` says: it must never be another cluster.
async fn client(settings: &Settings) -> Result<Client> {
    // Only the first call installs it; the answer of the others says that one is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let path = &settings.kubeconfig;
    let file = Kubeconfig::read_from(path)
        .with_context(|| format!("no kubeconfig at {}: run ./just cluster", path.display()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    client.apiserver_version().await.with_context(|| {
        format!(
            "no cluster answers for {}: run ./just cluster",
            path.display()
        )
    })?;
    Ok(client)
}

/// Keeps a second run of the tests off the cluster until this process ends, clears away what a killed run left,
/// and installs the chart.
async fn claim_and_install(client: &Client, settings: &Settings) -> Result<File> {
    let path = cache_dir()?.join("e2e.lock");
    let claim = tokio::task::spawn_blocking(move || -> Result<File> {
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        file.lock()
            .with_context(|| format!("lock {}", path.display()))?;
        Ok(file)
    })
    .await??;
    namespace::sweep(client).await?;
    helm::install(settings).await?;
    operator_ready(client).await?;
    Ok(claim)
}

/// Waits until the operator that was installed last does the work.
///
/// # Errors
/// When it does not in time; what its pods say is in the message.
pub async fn operator_ready(client: &Client) -> Result<()> {
    let operators: Api<Deployment> = Api::namespaced(client.clone(), names::NAMESPACE);
    let selector = format!("app.kubernetes.io/instance={}", names::RELEASE);
    let ready = until("the operator", Duration::from_secs(120), || async {
        let found = operators
            .list(&ListParams::default().labels(&selector))
            .await?;
        let Some(deployment) = found.items.first() else {
            bail!(
                "the chart made no Deployment labelled {selector} in {}",
                names::NAMESPACE
            );
        };
        Ok(if rolled_out(deployment) {
            Ok(())
        } else {
            Err("its pods are not all available".to_owned())
        })
    })
    .await;
    if let Err(error) = ready {
        let pods = report::pods(client, names::NAMESPACE, None).await?;
        bail!("{error:#}\n{pods}");
    }
    Ok(())
}

/// The same question as `kubectl rollout status` asks.
fn rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation >= deployment.metadata.generation
            && status.updated_replicas.unwrap_or(0) == wanted
            && status.replicas.unwrap_or(0) == wanted
            && status.available_replicas.unwrap_or(0) == wanted
    })
}

async fn workers(client: &Client) -> Result<Vec<Worker>> {
    let nodes = Api::<Node>::all(client.clone())
        .list(&ListParams::default())
        .await?;
    let mut workers: Vec<Worker> = nodes
        .into_iter()
        .filter(|node| {
            !node
                .metadata
                .labels
                .iter()
                .flatten()
                .any(|(key, _)| key == CONTROL_PLANE)
        })
        .filter_map(|node| {
            let name = node.metadata.name?;
            let runtime = node.status?.node_info?.container_runtime_version;
            let inside = Inside::of(&name);
            Some(Worker {
                name,
                runtime,
                inside,
            })
        })
        .collect();
    workers.sort_by(|a, b| a.name.cmp(&b.name));
    if workers.len() < 2 {
        bail!(
            "the cluster has {} workers, two are needed: run ./just cluster",
            workers.len()
        );
    }
    Ok(workers)
}
