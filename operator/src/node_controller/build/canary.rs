//! The Wasm pod that shows that a node can run Wasm pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, Pod, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use slipway_crds::labels;

use super::{Frame, priority, pull_secrets, tolerations};
use crate::runtime_classes::canary_class;

/// How long it may take from its start, pulling the image and compiling included.
const DEADLINE_SECONDS: i64 = 120;

/// A canary through `handler`. The node is not labelled yet, so it goes there by `nodeName` and
/// through a `RuntimeClass` that selects no nodes. It holds no rights at all, as a user's pod should.
#[must_use]
pub fn canary(frame: &Frame<'_>, name: &str, handler: &str) -> Pod {
    let own = frame.metadata(name, labels::COMPONENT_CANARY);
    let mut metadata = frame.pod_metadata(&own);
    metadata.name = own.name;
    metadata.namespace = own.namespace;
    metadata.owner_references = own.owner_references;
    let installer = frame.installer;
    let asked = frame.goal.spec.canary.as_ref();
    let own_image = asked.and_then(|canary| canary.image.clone());
    Pod {
        metadata,
        spec: Some(PodSpec {
            node_name: Some(frame.object.spec.node_name.clone()),
            runtime_class_name: Some(canary_class(handler)),
            restart_policy: Some("Never".to_owned()),
            active_deadline_seconds: Some(DEADLINE_SECONDS),
            termination_grace_period_seconds: Some(1),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            image_pull_secrets: pull_secrets(frame),
            tolerations: Some(tolerations(&installer.pod)),
            priority_class_name: priority(&installer.pod),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(65532),
                run_as_group: Some(65532),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            containers: vec![Container {
                name: "canary".to_owned(),
                command: match own_image {
                    Some(_) => asked.and_then(|canary| canary.command.clone()),
                    None => Some(vec!["/canary.wasm".to_owned()]),
                },
                image_pull_policy: match own_image {
                    Some(_) => None,
                    None => Some(installer.pull_policy.as_str().to_owned()),
                },
                image: Some(own_image.unwrap_or_else(|| installer.image.clone())),
                termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
                resources: Some(resources()),
                security_context: Some(SecurityContext {
                    allow_privilege_escalation: Some(false),
                    read_only_root_filesystem: Some(true),
                    capabilities: Some(Capabilities {
                        drop: Some(vec!["ALL".to_owned()]),
                        ..Capabilities::default()
                    }),
                    ..SecurityContext::default()
                }),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
        ..Pod::default()
    }
}

fn resources() -> ResourceRequirements {
    let amounts = |cpu: &str, memory: &str| {
        Some(BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu.to_owned())),
            ("memory".to_owned(), Quantity(memory.to_owned())),
        ]))
    };
    ResourceRequirements {
        requests: amounts("10m", "16Mi"),
        // A quota in the namespace may demand limits; these are far above what the canary needs.
        limits: amounts("500m", "128Mi"),
        ..ResourceRequirements::default()
    }
}
