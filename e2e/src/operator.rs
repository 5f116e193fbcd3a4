//! The operator's own figures.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use crate::names;
use crate::scene::Scene;

/// Where the chart has the operator serve `/metrics`.
const PORT: u16 = 8080;

/// The value of one line of the operator's metrics, the sum of all replicas (only one of them works, and counts). A line
/// that nobody has is 0.
///
/// # Errors
/// When an operator does not answer.
pub async fn metric(scene: &Scene, line: &str) -> Result<f64> {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), names::NAMESPACE);
    let operators = ListParams::default()
        .labels("app.kubernetes.io/component=operator")
        .fields("status.phase=Running");
    let mut sum = 0.0;
    for pod in pods.list(&operators).await? {
        let address = pod.status.and_then(|status| status.pod_ip);
        let address = address.context("an operator has no address")?;
        let url = format!("http://{address}:{PORT}/metrics");
        let (_, text) = scene.worker.inside.get(&url).await?;
        sum += value(&text, line).unwrap_or_default();
    }
    Ok(sum)
}

/// What stands behind a line's name and labels.
fn value(text: &str, line: &str) -> Option<f64> {
    let value = text.lines().find_map(|found| found.strip_prefix(line))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_all_of_its_labels() {
        let text = "# TYPE a counter\na_total{b=\"c\"} 3\na_total{b=\"d\"} 1.5\n";
        assert_eq!(value(text, "a_total{b=\"d\"}"), Some(1.5));
        assert_eq!(value(text, "a_total{b=\"e\"}"), None);
    }
}
