//! Events on a node, as `kubectl describe node` shows them.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;

use crate::scene::Scene;
use crate::wait::until;

/// What was said about the scene's node for this reason so far, one entry each time it was said.
///
/// # Errors
/// When the API server does not answer.
pub async fn warnings(scene: &Scene, reason: &str) -> Result<Vec<String>> {
    let events: Api<Event> = Api::namespaced(scene.client.clone(), "default");
    let about = ListParams::default().fields(&format!(
        "involvedObject.kind=Node,involvedObject.name={},reason={reason},type=Warning",
        scene.worker.name
    ));
    let mut said = Vec::new();
    for event in events.list(&about).await? {
        let series = event
            .series
            .as_ref()
            .and_then(|series| series.count)
            .unwrap_or(1);
        let times = event.count.unwrap_or(0).max(series).max(1);
        let note = event.message.unwrap_or_default();
        said.extend((0..times).map(|_| note.clone()));
    }
    Ok(said)
}

/// Waits until more than `told` warnings of this reason were given, one with all these words, whatever their case.
///
/// # Errors
/// When there is none; what was said instead is in the message.
pub async fn until_warned(
    scene: &Scene,
    reason: &str,
    told: usize,
    words: &[impl AsRef<str>],
) -> Result<()> {
    until("an event on the node", Duration::from_secs(30), || async {
        let all = warnings(scene, reason).await?;
        let new = all.len() > told;
        let fits = |note: &String| {
            let note = note.to_lowercase();
            words
                .iter()
                .all(|word| note.contains(&word.as_ref().to_lowercase()))
        };
        Ok(if new && all.iter().any(fits) {
            Ok(())
        } else {
            Err(format!("{all:?}"))
        })
    })
    .await
}
