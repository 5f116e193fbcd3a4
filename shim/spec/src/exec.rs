//! Another process of a container: the `process` that `Task.Exec` brings, in the container's own bundle.

use slipway_shim_oci as oci;
use slipway_shim_wire::Plan;

use crate::{MAX_SPEC_BYTES, Spec, SpecError};
use crate::{mounts, process, refuse};

impl Spec {
    /// The plan of another process in this container: what `json` asks for (`Process` of the runtime spec) under the
    /// container's seccomp filter and limits. `#function` as its first argument stands for that function of the
    /// container's own module.
    ///
    /// # Errors
    /// [`SpecError`] naming the field that is missing, wrong or not supported.
    pub fn exec_plan(&self, id: &str, json: &[u8]) -> Result<Plan, SpecError> {
        if json.len() as u64 > MAX_SPEC_BYTES {
            let reason = format!("{} bytes long, more than {MAX_SPEC_BYTES}", json.len());
            return Err(SpecError::invalid("process", reason));
        }
        let process: oci::Process = serde_json::from_slice(json)
            .map_err(|error| SpecError::invalid("process", error.to_string()))?;
        refuse::refuse_process(&process)?;
        let mut plan = self.sandbox_plan(id)?;
        plan.process = process::translate(Some(&process))?;
        plan.annotations = self.own_annotations();
        // They are there already; a guest without the root is shown these.
        plan.mounts =
            mounts::of_spec(&self.bundle, self.oci.mounts.as_deref().unwrap_or_default())?;
        // The container has done these.
        (plan.hostname, plan.domainname) = (None, None);
        plan.namespaces.clear();
        plan.sysctls.clear();
        if let Some(first) = plan.process.args.first_mut()
            && first.starts_with('#')
        {
            first.insert_str(0, self.module());
        }
        Ok(plan)
    }

    /// The path of the container's own module.
    fn module(&self) -> &str {
        let process = self.oci.process.as_ref();
        let args = process.and_then(|process| process.args.as_deref());
        let first = args.and_then(|args| args.first());
        first.map_or("", |first| {
            first.rsplit_once('#').map_or(first, |(path, _)| path)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn plan(json: &str) -> Result<Plan, SpecError> {
        let container = r#"{"ociVersion":"1.1.0","hostname":"h",
            "process":{"user":{"uid":0,"gid":0},"cwd":"/","args":["/app.wasm#serve","x"]},
            "mounts":[{"destination":"/data","source":"/var/v","type":"bind","options":["rbind"]}],
            "linux":{"namespaces":[{"type":"uts"},{"type":"mount"}],
                     "resources":{"memory":{"limit":1024}}}}"#;
        let spec = Spec::parse(Path::new("/bundle"), container.as_bytes()).unwrap();
        spec.exec_plan("c", json.as_bytes())
    }

    #[test]
    fn the_process_is_its_own_and_the_limits_are_the_containers() {
        let plan = plan(
            r##"{"user":{"uid":7,"gid":8},"cwd":"/w","env":["A=b"],"args":["#check","1"],"terminal":true}"##,
        )
        .unwrap();
        assert_eq!(plan.process.args, ["/app.wasm#check", "1"]);
        assert_eq!((plan.process.uid, plan.process.gid), (7, 8));
        assert_eq!(plan.limits.memory, Some(1024));
        assert!(plan.namespaces.is_empty() && plan.hostname.is_none());
        assert_eq!(plan.mounts[0].target, Path::new("/data"));
    }

    #[test]
    fn what_is_no_process_is_refused_by_field() {
        let user = r#""user":{"uid":0,"gid":0}"#;
        for (json, expected) in [
            ("[]".to_owned(), "process: invalid"),
            (format!("{{{user},\"cwd\":\"w\"}}"), "process.cwd: \"w\""),
            (
                format!("{{{user},\"cwd\":\"/\",\"selinuxLabel\":\"a:b:c\"}}"),
                "process.selinuxLabel",
            ),
        ] {
            let message = plan(&json).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
