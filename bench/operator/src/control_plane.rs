//! etcd and an API server, as processes on loopback that go when this is dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::time::Instant;

use crate::args::Run;
use crate::process::Process;

/// How long the API server may take to answer.
const START: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

/// The user that the chart's roles are bound to.
const OPERATOR: &str = "system:serviceaccount:kwasm:kwasm-operator-slipway";

/// Only what the operator asks for, and that once, when it is answered.
const POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata", "users": ["system:serviceaccount:kwasm:kwasm-operator-slipway"]}, {"level": "None"}]}"#;

/// A control plane without controllers.
pub(crate) struct ControlPlane {
    etcd: Process,
    api_server: Process,
    folder: PathBuf,
    url: String,
}

impl ControlPlane {
    /// Starts it, with all that it writes in `folder`.
    pub(crate) fn start(args: &Run, folder: &Path) -> Result<Self> {
        let [clients, peers, secure] = ports()?;
        let etcd_url = format!("http://127.0.0.1:{clients}");
        let peer_url = format!("http://127.0.0.1:{peers}");
        let etcd = Process::start("etcd", &args.etcd, folder, |command| {
            command
                .arg("--data-dir")
                .arg(folder.join("etcd"))
                .args(["--listen-client-urls", &etcd_url])
                .args(["--advertise-client-urls", &etcd_url])
                .args(["--listen-peer-urls", &peer_url])
                .args(["--initial-advertise-peer-urls", &peer_url])
                .args(["--initial-cluster", &format!("default={peer_url}")])
                .args(["--unsafe-no-fsync", "--log-level=warn"]);
        })?;
        let tokens = folder.join("tokens.csv");
        let certificates = folder.join("certificates");
        // Made by the API server itself, before it reads it; no token is ever signed with it.
        let key = certificates.join("apiserver.key");
        let policy = folder.join("audit-policy.json");
        std::fs::write(
            &tokens,
            format!(
                "bench,bench,1,system:masters\n\
                 operator,{OPERATOR},2,\"system:serviceaccounts,system:serviceaccounts:kwasm\"\n"
            ),
        )?;
        std::fs::write(&policy, POLICY)?;
        let api_server =
            Process::start("kube-apiserver", &args.kube_apiserver, folder, |command| {
                command
                    .arg(format!("--etcd-servers={etcd_url}"))
                    .arg(format!("--secure-port={secure}"))
                    .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
                    .args([
                        "--endpoint-reconciler-type=none",
                        "--authorization-mode=RBAC",
                    ])
                    // Pods are made without the controller that makes a namespace's account.
                    .arg("--disable-admission-plugins=ServiceAccount")
                    .args([
                        "--service-cluster-ip-range=10.0.0.0/24",
                        "--allow-privileged=true",
                    ])
                    .args(["--service-account-issuer=https://kubernetes.default.svc"])
                    .args(["--audit-log-maxsize=4096"])
                    .arg(flag("service-account-key-file", &key))
                    .arg(flag("service-account-signing-key-file", &key))
                    .arg(flag("cert-dir", &certificates))
                    .arg(flag("token-auth-file", &tokens))
                    .arg(flag("audit-policy-file", &policy))
                    .arg(flag("audit-log-path", &audit_log(folder)));
            })?;
        let url = format!("https://127.0.0.1:{secure}");
        for user in ["bench", "operator"] {
            std::fs::write(kubeconfig(folder, user), kubeconfig_of(&url, user))?;
        }
        Ok(Self {
            etcd,
            api_server,
            folder: folder.to_owned(),
            url,
        })
    }

    /// Waits until it is ready, and gives a client that may do everything.
    pub(crate) async fn client(&mut self) -> Result<Client> {
        let file = Kubeconfig::read_from(kubeconfig(&self.folder, "bench"))?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let deadline = Instant::now() + START;
        loop {
            self.check()?;
            let asked = client.request_text(readyz()?).await;
            match asked {
                Ok(_) => return Ok(client),
                Err(error) if Instant::now() >= deadline => {
                    let log = self.api_server.tail();
                    return Err(error)
                        .with_context(|| format!("{} is not ready:\n{log}", self.url));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Says so when a process of it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.etcd.check()?;
        self.api_server.check()
    }

    /// The operator's way to it.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        kubeconfig(&self.folder, "operator")
    }

    /// What the operator asked for.
    pub(crate) fn audit_log(&self) -> PathBuf {
        audit_log(&self.folder)
    }
}

fn readyz() -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get("/readyz").body(Vec::new())?)
}

fn flag(name: &str, path: &Path) -> std::ffi::OsString {
    let mut flag = std::ffi::OsString::from(format!("--{name}="));
    flag.push(path);
    flag
}

fn audit_log(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}

fn kubeconfig(folder: &Path, user: &str) -> PathBuf {
    folder.join(format!("{user}.kubeconfig"))
}

/// The certificate is one that the API server made for itself a moment ago, on this machine: it is not checked.
fn kubeconfig_of(url: &str, user: &str) -> String {
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": url, "insecure-skip-tls-verify": true}}],
        "users": [{"name": user, "user": {"token": user}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": user}}],
    });
    config.to_string()
}

/// Ports that nobody listens on; all are held until all are known.
pub(crate) fn ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
