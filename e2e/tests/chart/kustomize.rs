//! `config/base`: what the chart renders by default, for those who use kustomize.

use std::fs;
use std::path::Path;

use slipway_e2e::helm;

const HEADER: &str = "# Generated from charts/slipway by the test `the_base_is_what_the_chart_renders`; do not edit.\n";

/// Hooks are Helm's own, and so are the labels that name it.
fn plain(rendered: &str) -> String {
    let lines = rendered.lines().filter(|line| {
        let line = line.trim_start();
        !line.starts_with("helm.sh/chart:") && !line.starts_with("# Source:")
    });
    let text: String = lines
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect();
    let text = text.replace(
        "app.kubernetes.io/managed-by: Helm",
        "app.kubernetes.io/managed-by: kustomize",
    );
    format!("{HEADER}{text}")
}

#[tokio::test]
async fn the_base_is_what_the_chart_renders() {
    let wanted = plain(&helm::template(&["--no-hooks"]).await.unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/base/slipway.yaml");
    let found = fs::read_to_string(&path).unwrap_or_default();
    if found != wanted {
        fs::write(&path, wanted).unwrap();
        panic!(
            "{} was not what the chart renders; it is written anew: look at the difference and commit it",
            path.display()
        );
    }
}

#[test]
fn nothing_of_helm_is_left() {
    let rendered =
        "# Source: x\nlabels:\n  helm.sh/chart: slipway-1\n  app.kubernetes.io/managed-by: Helm\n";
    assert_eq!(
        plain(rendered),
        format!("{HEADER}labels:\n  app.kubernetes.io/managed-by: kustomize\n")
    );
}
