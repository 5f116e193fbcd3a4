//! The operator's own figures.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use crate::names;
use crate::scene::Scene;

/// Where the chart has the operator serve `/metrics`.
const PORT: u16 = 8080;

/// The value of the operator's metrics whose lines begin so, the sum of all and of all replicas (only one of them works, and
/// counts). 0 if there is none.
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
        sum += value(&text, line);
    }
    Ok(sum)
}

/// What stands behind the name and the labels of such lines.
fn value(text: &str, beginning: &str) -> f64 {
    let found = text.lines().filter(|line| line.starts_with(beginning));
    let values = found.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_their_first_labels() {
        let text = "# TYPE a counter\na_total{b=\"c\"} 3\na_total{b=\"d\"} 1.5\n";
        assert!((value(text, "a_total{b=\"d\"}") - 1.5).abs() < f64::EPSILON);
        assert!((value(text, "a_total{") - 4.5).abs() < f64::EPSILON);
        assert!(value(text, "a_total{b=\"e\"}").abs() < f64::EPSILON);
    }
}
