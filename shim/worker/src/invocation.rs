//! What to run a guest with.

use std::path::PathBuf;

use slipway_shim_options::{Options, OptionsError};
use slipway_shim_wire::Plan;

/// How a guest is run, whoever asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocation {
    /// The guest's arguments; the first is the path of its file.
    pub args: Vec<String>,
    /// The guest's environment.
    pub env: Vec<(String, String)>,
    /// Directories that the guest sees: where they are, and their name for the guest.
    pub directories: Vec<(PathBuf, String)>,
    /// The exported function to call instead of the usual one.
    pub function: Option<String>,
    /// The guest's working directory.
    pub cwd: Option<String>,
    /// The container's memory limit in bytes.
    pub memory: Option<u64>,
    /// The container's processor limit in thousandths of a processor.
    pub milli_cpus: Option<u64>,
    /// What was chosen for the pod.
    pub options: Options,
}

impl Invocation {
    /// The invocation a container's plan asks for.
    #[must_use]
    pub fn of(
        plan: &Plan,
        path: &str,
        function: Option<String>,
        directories: Vec<(PathBuf, String)>,
        options: Options,
    ) -> Self {
        let rest = plan.process.args.iter().skip(1).cloned();
        Self {
            args: std::iter::once(path.to_owned()).chain(rest).collect(),
            env: plan
                .process
                .env
                .iter()
                // An entry without `=` is no variable (environ(7)).
                .filter_map(|entry| entry.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            directories,
            function,
            cwd: plan.process.cwd.to_str().map(str::to_owned),
            memory: plan.limits.memory,
            milli_cpus: plan.limits.milli_cpus,
            options,
        }
    }

    /// The path of the guest's file, for messages.
    #[must_use]
    pub fn path(&self) -> &str {
        self.args.first().map_or("the guest", String::as_str)
    }

    /// What follows the path.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        self.args.get(1..).unwrap_or_default()
    }

    /// A variable of the guest; the last one counts, as for a shell.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What was chosen for a pod.
///
/// # Errors
/// The option or annotation that is wrong.
pub(crate) fn options(plan: &Plan) -> Result<Options, OptionsError> {
    let annotations = plan.annotations.iter();
    let annotations = annotations.map(|(name, text)| (name.as_str(), text.as_str()));
    Options::parse(&plan.options, annotations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_looked_for_where_they_are_passed_on() {
        assert_eq!(
            slipway_shim_options::ANNOTATION_PREFIX,
            slipway_shim_wire::ANNOTATION_PREFIX
        );
    }

    #[test]
    fn a_plan_gives_arguments_and_variables() {
        let mut plan = Plan::default();
        plan.process.args = ["/app.wasm#work", "one"].map(str::to_owned).to_vec();
        plan.process.env = ["A=1", "B=x=y", "nothing", "A=2"]
            .map(str::to_owned)
            .to_vec();
        let invocation = Invocation::of(
            &plan,
            "/app.wasm",
            Some("work".into()),
            Vec::new(),
            Options::default(),
        );
        assert_eq!(invocation.args, ["/app.wasm", "one"]);
        assert_eq!(invocation.variable("A"), Some("2"));
        assert_eq!(invocation.variable("B"), Some("x=y"));
        assert_eq!(invocation.variable("nothing"), None);
    }
}
