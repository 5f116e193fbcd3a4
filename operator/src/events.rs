//! Kubernetes Events, on the Node and on the `NodeShim` alike, and on the `Shim`.
//!
//! kube's `Recorder` folds events of one reason into a series and keeps the first one's note; here the
//! note (the installer's own sentence) is the point, so each is created anew. They follow changes of
//! state, which the back-off keeps rare. Their namespace is `default`, as for every object that has
//! none; `kubectl describe node` finds them by the Node's UID (`describe.go`, kubectl@v0.36.3).

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as KubeEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::report::clean;

/// events.k8s.io allows 1024 bytes (`pkg/apis/core/validation/events.go`: `NoteLengthLimit`).
const MAX_NOTE: usize = 1024;

/// Why an event is written; part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An installer Job begins.
    InstallStarted,
    /// The installer has done it.
    Installed,
    /// The installer has seen something worth knowing on the node.
    Noted,
    /// The installer has left the node alone, on purpose.
    InstallRefused,
    /// The installer has put the node back.
    InstallRolledBack,
    /// The installer has failed, or never reported.
    InstallFailed,
    /// The shim's files were not to be had.
    FetchFailed,
    /// A handler of this name belongs to another shim of the node.
    HandlerTaken,
    /// A Wasm pod did not run.
    CanaryFailed,
    /// Another canary is asked for; the node is proven by it.
    CanaryChanged,
    /// A Wasm pod has run; the node is labelled.
    WasmReady,
    /// What was proven no longer holds; the labels are off.
    ProofLost,
    /// Removal waits for pods.
    PodsRunning,
    /// An uninstaller Job begins.
    UninstallStarted,
    /// The uninstaller did not succeed.
    UninstallFailed,
    /// The node is as it was before.
    Removed,
    /// Wasm is wanted again before anything was removed.
    RemovalCancelled,
    /// The shim cannot run on this node.
    UnsupportedNode,
    /// Someone's `RuntimeClass` has the name but not the handler.
    RuntimeClassConflict,
    /// What a `Shim` asks for begins to reach its nodes.
    RolloutStarted,
    /// A node failed, so no further one is changed.
    RolloutStopped,
    /// Every node has what the `Shim` asks for.
    RolloutFinished,
}

impl Reason {
    /// Whether someone should have a look.
    #[must_use]
    pub const fn is_warning(self) -> bool {
        matches!(
            self,
            Self::InstallRefused
                | Self::InstallRolledBack
                | Self::InstallFailed
                | Self::FetchFailed
                | Self::HandlerTaken
                | Self::CanaryFailed
                | Self::ProofLost
                | Self::PodsRunning
                | Self::UninstallFailed
                | Self::UnsupportedNode
                | Self::RuntimeClassConflict
                | Self::RolloutStopped
        )
    }

    /// What the operator was about, for the event's `action`.
    const fn action(self) -> &'static str {
        match self {
            Self::InstallStarted
            | Self::Installed
            | Self::Noted
            | Self::InstallRefused
            | Self::InstallRolledBack
            | Self::InstallFailed
            | Self::FetchFailed
            | Self::HandlerTaken
            | Self::UnsupportedNode => "Install",
            Self::RolloutStarted | Self::RolloutStopped | Self::RolloutFinished => "RollOut",
            Self::CanaryFailed
            | Self::CanaryChanged
            | Self::WasmReady
            | Self::ProofLost
            | Self::RuntimeClassConflict => "Verify",
            Self::PodsRunning
            | Self::UninstallStarted
            | Self::UninstallFailed
            | Self::Removed
            | Self::RemovalCancelled => "Uninstall",
        }
    }
}

/// One event to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Why.
    pub reason: Reason,
    /// A sentence for people.
    pub note: String,
}

impl Event {
    /// An event of this reason.
    #[must_use]
    pub fn new(reason: Reason, note: impl Into<String>) -> Self {
        Self {
            reason,
            note: note.into(),
        }
    }
}

/// Writes events as this operator.
#[derive(Clone)]
pub struct Emitter {
    client: Client,
    instance: String,
}

impl Emitter {
    /// For the replica of this name.
    #[must_use]
    pub const fn new(client: Client, instance: String) -> Self {
        Self { client, instance }
    }

    /// Writes `event` about each of `objects`.
    ///
    /// # Errors
    /// With the API's first refusal.
    pub async fn emit(
        &self,
        event: &Event,
        objects: &[ObjectReference],
    ) -> Result<(), kube::Error> {
        for object in objects {
            let namespace = object.namespace.as_deref().unwrap_or("default");
            let events: Api<KubeEvent> = Api::namespaced(self.client.clone(), namespace);
            let made = build(event, object, namespace, &self.instance, Timestamp::now());
            events.create(&PostParams::default(), &made).await?;
        }
        Ok(())
    }
}

fn build(
    event: &Event,
    about: &ObjectReference,
    namespace: &str,
    instance: &str,
    now: Timestamp,
) -> KubeEvent {
    KubeEvent {
        metadata: ObjectMeta {
            name: Some(format!(
                "{}.{:x}",
                about.name.as_deref().unwrap_or("slipway"),
                now.as_nanosecond()
            )),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        action: Some(event.reason.action().to_owned()),
        reason: Some(format!("{:?}", event.reason)),
        note: Some(clean(&event.note, MAX_NOTE)),
        type_: Some(
            if event.reason.is_warning() {
                "Warning"
            } else {
                "Normal"
            }
            .to_owned(),
        ),
        event_time: Some(MicroTime(now)),
        regarding: Some(about.clone()),
        reporting_controller: Some("slipway.dev/operator".to_owned()),
        // The API refuses more than 128 characters.
        reporting_instance: Some(clean(instance, 128)),
        ..KubeEvent::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_hold_what_the_api_demands() {
        let about = ObjectReference {
            kind: Some("Node".into()),
            name: Some("n".into()),
            uid: Some("u".into()),
            ..ObjectReference::default()
        };
        let now = Timestamp::from_second(1).unwrap();
        let event = Event::new(Reason::InstallRefused, "line\n".repeat(1000));
        let made = build(&event, &about, "default", &"i".repeat(300), now);
        assert_eq!(made.reason.as_deref(), Some("InstallRefused"));
        assert_eq!(made.type_.as_deref(), Some("Warning"));
        assert!(made.note.unwrap().len() <= MAX_NOTE);
        assert!(made.reporting_instance.unwrap().len() <= 128);
        assert_eq!(made.metadata.namespace.as_deref(), Some("default"));
        assert_eq!(
            made.regarding.unwrap().namespace,
            None,
            "kubectl searches nodes without one"
        );
    }
}
