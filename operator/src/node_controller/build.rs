//! The objects a plan makes: installer Jobs and canary pods. Pure.

use k8s_openapi::api::core::v1::{LocalObjectReference, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource as _, ResourceExt as _};
use slipway_crds::{NodeShim, labels};

use crate::goal::Goal;
use crate::settings::{InstallerSettings, PodSettings};

mod canary;
mod job;
mod payload;

pub use canary::canary;
pub use job::job;

/// What Jobs and canaries have in common.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Whose they are.
    pub object: &'a NodeShim,
    /// The namespace of installers and canaries.
    pub namespace: &'a str,
    /// What the node is to have.
    pub goal: &'a Goal,
    /// How pods on nodes run.
    pub installer: &'a InstallerSettings,
}

impl Frame<'_> {
    /// Metadata with labels to find the object by and an owner to be collected with. The owner does
    /// not block deletion: that would need a permission on finalizers for nothing.
    fn metadata(&self, name: &str, component: &str) -> ObjectMeta {
        let owner = self
            .object
            .controller_owner_ref(&())
            .map(|owner| OwnerReference {
                block_owner_deletion: None,
                ..owner
            });
        let own = [
            (labels::MANAGED_BY, labels::OPERATOR.to_owned()),
            (labels::COMPONENT, component.to_owned()),
            (labels::NODE_SHIM, self.object.name_any()),
        ];
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(
                own.into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect(),
            ),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        }
    }

    /// Metadata of a pod: ours, below it what the settings add.
    fn pod_metadata(&self, own: &ObjectMeta) -> ObjectMeta {
        let mut pod_labels = self.installer.pod.labels.clone();
        pod_labels.extend(own.labels.clone().unwrap_or_default());
        ObjectMeta {
            labels: Some(pod_labels),
            annotations: Some(self.installer.pod.annotations.clone())
                .filter(|annotations| !annotations.is_empty()),
            ..ObjectMeta::default()
        }
    }
}

/// Every taint by default: not-ready and unschedulable nodes are to be put in order, too.
fn tolerations(pod: &PodSettings) -> Vec<Toleration> {
    pod.tolerations.clone().unwrap_or_else(|| {
        vec![Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        }]
    })
}

/// Those of the installer and, for an image of the user's, its own.
fn pull_secrets(frame: &Frame<'_>) -> Option<Vec<LocalObjectReference>> {
    let image = frame.goal.spec.source.image.as_ref();
    let own = image.into_iter().flat_map(|image| &image.pull_secrets);
    let own = own.map(|secret| LocalObjectReference {
        name: secret.name.clone(),
    });
    let mut secrets = frame.installer.pod.image_pull_secrets.clone();
    secrets.extend(own);
    (!secrets.is_empty()).then_some(secrets)
}

fn priority(pod: &PodSettings) -> Option<String> {
    Some(pod.priority_class_name.clone()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
