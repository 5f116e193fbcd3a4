//! A server of files over HTTPS on a node, for shims that are fetched: socat, and a shell script that speaks just enough
//! HTTP. Its authority is made anew in every run, and the chart is told to trust it.

use std::net::IpAddr;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::names::NAMESPACE;
use crate::node::Inside;
use crate::scene::Scene;

/// The ConfigMap with the authority's certificate, as the release is told (`installer.fetch.caConfigMap`).
pub const AUTHORITY: &str = "slipway-e2e-ca";

const PORT: u16 = 8443;

/// Everything of it on the node. Below it, `files` is what is served.
const FOLDER: &str = "/var/lib/slipway-e2e-files";

/// Answers one request on its standard input: GET of a file, whatever the folder in its path.
const ANSWER: &str = r#"#!/bin/bash
read -r _ path _
while read -r line && [ "${line%$'\r'}" != '' ]; do :; done
file=/var/lib/slipway-e2e-files/files/${path##*/}
if [ -f "$file" ]; then
  printf 'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' "$(stat -c %s "$file")"
  cat "$file"
else
  printf 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
fi
"#;

/// A certificate authority: certificate and key in one PEM text.
static PEM: OnceCell<String> = OnceCell::const_new();

/// The server, until dropped.
#[derive(Debug)]
pub struct FileServer {
    inside: Inside,
    address: IpAddr,
}

impl FileServer {
    /// Starts it on the scene's node. Serves nothing yet.
    ///
    /// # Errors
    /// When the node cannot be entered, or lacks openssl or socat.
    pub async fn start(scene: &Scene) -> Result<Self> {
        let inside = &scene.worker.inside;
        let address = address(scene).await?;
        let pem = PEM.get_or_try_init(|| authority(scene)).await?;
        let server = Self {
            inside: inside.clone(),
            address,
        };
        server.stop()?;
        let script = format!(
            "install -d {FOLDER}/files\n\
             cd {FOLDER}\n\
             cat >ca.pem <<'END'\n{pem}\nEND\n\
             cat >answer <<'END'\n{ANSWER}\nEND\n\
             chmod 0755 answer\n\
             printf 'subjectAltName=IP:{address}\\nbasicConstraints=CA:FALSE\\n' >extensions\n\
             openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out request.pem \
             -subj /CN=slipway-e2e 2>/dev/null\n\
             openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.pem -set_serial 1 -days 2 -extfile extensions \
             -out certificate.pem 2>/dev/null\n\
             systemd-run -q --collect --unit=e2e-files socat \
             OPENSSL-LISTEN:{PORT},reuseaddr,fork,cert={FOLDER}/certificate.pem,key={FOLDER}/key.pem,verify=0 \
             EXEC:{FOLDER}/answer\n"
        );
        inside.bash(&script).await?;
        Ok(server)
    }

    /// The folder on the node whose files are served.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{FOLDER}/files")
    }

    /// Where a file of the folder is to be had.
    #[must_use]
    pub fn url(&self, file: &str) -> String {
        format!("https://{}:{PORT}/shims/{file}", self.address)
    }

    fn stop(&self) -> Result<()> {
        self.inside.bash_now(&format!(
            "systemctl stop e2e-files.service 2>/dev/null || true; rm -rf {FOLDER}"
        ))
    }
}

// === impl FileServer ===

impl Drop for FileServer {
    fn drop(&mut self) {
        // What stays is outside every place that tests watch, and the next start clears it away.
        let _ = self.stop();
    }
}

/// Makes an authority, and tells the release of it.
async fn authority(scene: &Scene) -> Result<String> {
    let script = "folder=$(mktemp -d)\n\
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=slipway-e2e-ca \
         -keyout $folder/key -out $folder/certificate 2>/dev/null\n\
         cat $folder/certificate $folder/key\n\
         rm -r $folder\n";
    let pem = scene.worker.inside.bash(script).await?;
    let end = "-----END CERTIFICATE-----\n";
    let (certificate, _) = pem.split_once(end).context("openssl made no certificate")?;
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": AUTHORITY },
        "data": { "ca.crt": format!("{certificate}{end}") },
    });
    let maps: Api<ConfigMap> = Api::namespaced(scene.client.clone(), NAMESPACE);
    let params = PatchParams::apply("e2e").force();
    maps.patch(AUTHORITY, &params, &Patch::Apply(&map)).await?;
    Ok(pem)
}

/// The node's address, which pods reach.
async fn address(scene: &Scene) -> Result<IpAddr> {
    let node = Api::<Node>::all(scene.client.clone())
        .get(&scene.worker.name)
        .await?;
    let addresses = node.status.and_then(|status| status.addresses);
    let mut addresses = addresses.unwrap_or_default().into_iter();
    let internal = addresses.find(|address| address.type_ == "InternalIP");
    let internal = internal.context("the node has no internal address")?;
    internal.address.parse().context("not an address")
}
