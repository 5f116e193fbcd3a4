//! What stands in the cluster before the operator starts: the definitions and the operator's rights, as the chart renders
//! them, and a `Shim`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slipway_crds::Shim;

/// The namespace that the chart's rendered form is for.
pub(crate) const NAMESPACE: &str = "kwasm";
/// The `Shim`.
pub(crate) const SHIM: &str = "slipway";

const ESTABLISHED: Duration = Duration::from_secs(30);

/// Makes it all.
pub(crate) async fn prepare(client: &Client, base: &Path, at_once: u32) -> Result<()> {
    let namespace = json!({"metadata": {"name": NAMESPACE}});
    create::<Namespace>(&Api::all(client.clone()), namespace).await?;
    let text = std::fs::read_to_string(base).with_context(|| base.display().to_string())?;
    for document in documents(&text)? {
        let all = client.clone();
        match document["kind"].as_str().unwrap_or_default() {
            "CustomResourceDefinition" => definition(client, document).await?,
            "ClusterRole" => create::<ClusterRole>(&Api::all(all), document).await?,
            "ClusterRoleBinding" => create::<ClusterRoleBinding>(&Api::all(all), document).await?,
            "Role" => create::<Role>(&Api::namespaced(all, NAMESPACE), document).await?,
            "RoleBinding" => {
                create::<RoleBinding>(&Api::namespaced(all, NAMESPACE), document).await?;
            }
            // The operator itself runs beside it, and what it is given there it is given here by flags.
            _ => {}
        }
    }
    let shim = json!({
        "metadata": {"name": SHIM},
        "spec": {
            "source": {"bundled": {}}, "handlers": [{"name": "wasmtime"}],
            "rollout": {"maxUnavailable": at_once},
        },
    });
    create::<Shim>(&Api::all(client.clone()), shim).await
}

async fn definition(client: &Client, document: Value) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = document["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    create(&api, document).await?;
    let established = await_condition(api, &name, conditions::is_crd_established());
    tokio::time::timeout(ESTABLISHED, established)
        .await
        .with_context(|| format!("definition {name} is not established"))??;
    Ok(())
}

async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let object: K = serde_json::from_value(object)?;
    let name = object.name_any();
    api.create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("{} {name} cannot be made", K::kind(&())))?;
    Ok(())
}

/// The documents of a YAML file that are not empty.
fn documents(text: &str) -> Result<Vec<Value>> {
    let parts = text.split("\n---\n").map(str::trim);
    let parts = parts.filter(|part| {
        part.lines()
            .any(|line| !line.starts_with('#') && line != "---")
    });
    parts
        .map(|part| serde_saphyr::from_str(part).context("a document cannot be read"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rendered_chart_holds_what_is_needed() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/base/slipway.yaml");
        let documents = documents(&std::fs::read_to_string(base).unwrap()).unwrap();
        let count = |kind: &str| {
            documents
                .iter()
                .filter(|found| found["kind"] == kind)
                .count()
        };
        for (kind, wanted) in [
            ("CustomResourceDefinition", 2),
            ("ClusterRole", 1),
            ("ClusterRoleBinding", 1),
            ("Role", 1),
            ("RoleBinding", 1),
        ] {
            assert_eq!(count(kind), wanted, "{kind}");
        }
    }
}
