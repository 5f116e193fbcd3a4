//! The Job that runs the installer on a node.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, HostPathVolumeSource, PodSpec, PodTemplateSpec, ResourceRequirements,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use slipway_crds::node_shim::{Operation, Transaction};
use slipway_crds::{BUNDLED_SHIM, labels};

use super::{Frame, payload, priority, pull_secrets, tolerations};
use crate::goal;

/// Exit codes by which the installer says that another try right away would end the same: usage,
/// refused, rolled back, failed. Others (killed, evicted, node lost) are tried again by the Job.
const FINAL_EXITS: [i32; 4] = [2, 3, 4, 5];
const RETRIES: i32 = 3;

/// The Job of a transaction.
///
/// It is bound to its node by `nodeName`, past the scheduler: a node that is cordoned, tainted or
/// full must still be put in order. Privileged since it writes the host's files, talks to its systemd
/// and probes its mounts; without a token since it never talks to the API server.
#[must_use]
pub fn job(frame: &Frame<'_>, transaction: &Transaction) -> Job {
    let mut metadata = frame.metadata(&transaction.job, labels::COMPONENT_INSTALLER);
    metadata
        .labels
        .get_or_insert_default()
        .insert(labels::KWASM_JOB.to_owned(), "true".to_owned());
    let installer = frame.installer;
    let payload = payload::of(frame, transaction);
    let pod = PodSpec {
        node_name: Some(frame.object.spec.node_name.clone()),
        restart_policy: Some("Never".to_owned()),
        host_pid: Some(true),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: pull_secrets(frame),
        tolerations: Some(tolerations(&installer.pod)),
        priority_class_name: priority(&installer.pod),
        init_containers: Some(payload.containers).filter(|all| !all.is_empty()),
        containers: vec![container(frame, transaction, payload.mount)],
        volumes: Some(std::iter::once(host()).chain(payload.volumes).collect()),
        ..PodSpec::default()
    };
    Job {
        spec: Some(JobSpec {
            active_deadline_seconds: Some(i64::from(installer.job_deadline_seconds)),
            ttl_seconds_after_finished: i32::try_from(installer.job_ttl_seconds).ok(),
            backoff_limit: Some(RETRIES),
            pod_failure_policy: Some(PodFailurePolicy {
                rules: vec![PodFailurePolicyRule {
                    action: "FailJob".to_owned(),
                    on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                        // Of whichever container: those that fetch end in the same ways.
                        container_name: None,
                        operator: "In".to_owned(),
                        values: FINAL_EXITS.to_vec(),
                    }),
                    ..PodFailurePolicyRule::default()
                }],
            }),
            template: PodTemplateSpec {
                metadata: Some(frame.pod_metadata(&metadata)),
                spec: Some(pod),
            },
            ..JobSpec::default()
        }),
        metadata,
        ..Job::default()
    }
}

fn host() -> Volume {
    Volume {
        name: "host".to_owned(),
        host_path: Some(HostPathVolumeSource {
            path: "/".to_owned(),
            type_: Some("Directory".to_owned()),
        }),
        ..Volume::default()
    }
}

fn container(
    frame: &Frame<'_>,
    transaction: &Transaction,
    payload: Option<VolumeMount>,
) -> Container {
    let installer = frame.installer;
    let (more, env) = told(frame, transaction.operation);
    let mut args = vec![
        transaction.operation.as_str().to_owned(),
        "--host-root=/host".to_owned(),
        "--payload=/payload".to_owned(),
        format!("--install-root={}", installer.install_root),
        "--report=/dev/termination-log".to_owned(),
    ];
    args.extend(more);
    let host = VolumeMount {
        name: "host".to_owned(),
        mount_path: "/host".to_owned(),
        mount_propagation: Some("HostToContainer".to_owned()),
        ..VolumeMount::default()
    };
    Container {
        name: "installer".to_owned(),
        image: Some(installer.image.clone()),
        image_pull_policy: Some(installer.pull_policy.as_str().to_owned()),
        args: Some(args),
        env,
        resources: Some(installer.pod.resources.clone().unwrap_or_else(small)),
        termination_message_path: Some("/dev/termination-log".to_owned()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(SecurityContext {
            privileged: Some(true),
            run_as_user: Some(0),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(std::iter::once(host).chain(payload).collect()),
        ..Container::default()
    }
}

/// What is to be installed or taken off: flags where names say it all, else a specification.
fn told(frame: &Frame<'_>, operation: Operation) -> (Vec<String>, Option<Vec<EnvVar>>) {
    let goal = frame.goal;
    let mut args = Vec::new();
    if goal.shim != BUNDLED_SHIM {
        args.push(format!("--shim={}", goal.shim));
    }
    if operation == Operation::Uninstall {
        return (args, None);
    }
    if let Some(handlers) = goal::short_form(&goal.shim, &goal.spec) {
        args.extend(handlers.iter().map(|name| format!("--handler={name}")));
        return (args, None);
    }
    let spec = EnvVar {
        name: "SLIPWAY_SPEC".to_owned(),
        value: Some(goal::installer_spec(&goal.spec).to_string()),
        ..EnvVar::default()
    };
    (args, Some(vec![spec]))
}

/// Little enough to fit on a full node: past the scheduler, the kubelet refuses what does not fit.
pub(super) fn small() -> ResourceRequirements {
    let requests = [("cpu", "10m"), ("memory", "32Mi")];
    ResourceRequirements {
        requests: Some(BTreeMap::from(
            requests.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))),
        )),
        ..ResourceRequirements::default()
    }
}
