//! The guests in the image of `e2e/guests`, by the names the tests use.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::names;
use crate::pods::{self, Runtime};
use crate::scene::Scene;

impl Scene {
    /// A pod on this scene's node with a guest of the guests' image.
    #[must_use]
    pub fn guest(&self, name: &str, runtime: Runtime, command: &[&str]) -> Value {
        pods::pod(
            name,
            &self.worker.name,
            runtime,
            &self.settings.guests,
            command,
        )
    }

    /// Runs a Wasm pod on this scene's node to its good end.
    ///
    /// # Errors
    /// With its state and its log when it ends otherwise.
    pub async fn runs_a_job(&self, name: &str) -> Result<()> {
        self.runs_a_job_by(names::RUNTIME_CLASS, name).await
    }

    /// As [`Scene::runs_a_job`], by another `RuntimeClass`.
    ///
    /// # Errors
    /// The same.
    pub async fn runs_a_job_by(&self, class: &str, name: &str) -> Result<()> {
        let mut pod = self.guest(name, Runtime::Wasm, &["/job.wasm"]);
        pod["spec"]["runtimeClassName"] = class.into();
        pods::create(&self.client, &self.ns, pod).await?;
        let ended = pods::until_ended(&self.client, &self.ns, name).await?;
        ensure!(
            ended.phase == "Succeeded" && ended.state.exit_code == 0,
            "{name} ended with {:?}: {}",
            ended.state,
            ended.log
        );
        Ok(())
    }

    /// A pod on this scene's node that prints a line a second for ever: a Wasm one, or the same program as a
    /// native one.
    #[must_use]
    pub fn ticker(&self, name: &str, runtime: Runtime) -> Value {
        let program = match runtime {
            Runtime::Native => "/native-ticker",
            Runtime::Wasm => "/ticker.wasm",
        };
        self.guest(name, runtime, &[program])
    }

    /// A Deployment of the example HTTP component on this scene's node, and a Service in front of it on
    /// port 80.
    #[must_use]
    pub fn hello(&self, replicas: u32) -> [Value; 2] {
        let labels = json!({ "app": "hello" });
        let mut template = pods::pod(
            "",
            &self.worker.name,
            Runtime::Wasm,
            &self.settings.hello,
            &[],
        );
        let spec = &mut template["spec"];
        spec["restartPolicy"] = json!("Always");
        let container = &mut spec["containers"][0];
        container["ports"] = json!([{ "name": "http", "containerPort": 8080 }]);
        container["readinessProbe"] =
            json!({ "httpGet": { "path": "/", "port": "http" }, "periodSeconds": 1 });
        // The image's own entrypoint.
        container
            .as_object_mut()
            .map(|fields| fields.remove("command"));
        let deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": "hello" },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": template["spec"] },
            },
        });
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": "hello" },
            "spec": { "selector": labels, "ports": [{ "port": 80, "targetPort": "http" }] },
        });
        [deployment, service]
    }
}
