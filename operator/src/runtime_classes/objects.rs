//! The `RuntimeClasses` as objects.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::api::node::v1::{Overhead, RuntimeClass, Scheduling};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use slipway_crds::shim::{self, Handler};
use slipway_crds::{Shim, labels};

/// What a pod of our own shim takes beyond its containers: the pod process and the pause container
/// (0.3 MB measured; docs/benchmarks.md), with room. CPU is not reserved: an idle pod takes none. Of other shims
/// nothing is known unless their `Shim` says it.
const OVERHEAD_MEMORY: &str = "2Mi";

/// Name of the `RuntimeClass` of canaries through `handler`.
#[must_use]
pub fn canary_class(handler: &str) -> String {
    format!("slipway-canary-{handler}")
}

pub(super) fn base(name: String, handler: &str, component: &str) -> RuntimeClass {
    let own = [
        (labels::MANAGED_BY, labels::OPERATOR),
        (labels::COMPONENT, component),
    ];
    RuntimeClass {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(
                own.iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
            ),
            ..ObjectMeta::default()
        },
        handler: handler.to_owned(),
        overhead: None,
        scheduling: None,
    }
}

/// For users' pods through this handler.
pub(super) fn for_users(shim: &Shim, handler: &Handler) -> RuntimeClass {
    let name = shim.name_any();
    let mut class = base(
        handler.class_name().to_owned(),
        &handler.name,
        labels::COMPONENT_RUNTIME_CLASS,
    );
    class
        .labels_mut()
        .insert(labels::SHIM.to_owned(), name.clone());
    class.overhead = overhead(shim, handler);
    let tolerations: Vec<_> = handler
        .runtime_class
        .tolerations
        .iter()
        .map(toleration)
        .collect();
    class.scheduling = Some(Scheduling {
        node_selector: Some(BTreeMap::from([(
            labels::shim_label(&name),
            labels::READY.to_owned(),
        )])),
        tolerations: Some(tolerations).filter(|tolerations| !tolerations.is_empty()),
    });
    class
}

fn overhead(shim: &Shim, handler: &Handler) -> Option<Overhead> {
    let fixed: BTreeMap<_, _> = match &handler.runtime_class.overhead {
        Some(overhead) => overhead
            .pod_fixed
            .iter()
            .map(|(resource, amount)| (resource.clone(), Quantity(amount.clone())))
            .collect(),
        None if shim.spec.source.kind() == "bundled" => {
            BTreeMap::from([("memory".to_owned(), Quantity(OVERHEAD_MEMORY.to_owned()))])
        }
        None => BTreeMap::new(),
    };
    (!fixed.is_empty()).then_some(Overhead {
        pod_fixed: Some(fixed),
    })
}

fn toleration(from: &shim::Toleration) -> Toleration {
    Toleration {
        key: from.key.clone(),
        operator: from.operator.map(|operator| operator.as_str().to_owned()),
        value: from.value.clone(),
        effect: from.effect.map(|effect| effect.as_str().to_owned()),
        toleration_seconds: from.toleration_seconds,
    }
}

/// For the canaries through this handler.
pub(super) fn for_canaries(handler: &str) -> RuntimeClass {
    base(canary_class(handler), handler, labels::COMPONENT_CANARY)
}

/// The same for the pods that there are, and for no new one.
pub(super) fn retired(class: &RuntimeClass) -> RuntimeClass {
    let nowhere = BTreeMap::from([(labels::RETIRED.to_owned(), class.handler.clone())]);
    RuntimeClass {
        metadata: ObjectMeta {
            name: class.metadata.name.clone(),
            labels: class.metadata.labels.clone(),
            ..ObjectMeta::default()
        },
        handler: class.handler.clone(),
        overhead: class.overhead.clone(),
        scheduling: Some(Scheduling {
            node_selector: Some(nowhere),
            tolerations: None,
        }),
    }
}
