//! What a shell remembers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most bytes of one variable.
const VALUE_LIMIT: usize = 1 << 20;

/// A variable.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variable {
    pub(crate) value: String,
    pub(crate) exported: bool,
}

/// A shell's state; a subshell is a copy.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    /// The working directory, absolute; the process's own does not change.
    pub(crate) cwd: PathBuf,
    pub(crate) variables: BTreeMap<String, Variable>,
    /// `$0`, `$1` …
    pub(crate) parameters: Vec<String>,
    /// `$?`
    pub(crate) status: i32,
    /// Of the last `$(…)` of a command that is only assignments.
    pub(crate) status_of_output: Option<i32>,
    /// Whether there is a terminal.
    pub(crate) terminal: bool,
    /// Whether what is said goes into a pipe, and so is read only after the end.
    pub(crate) in_pipe: bool,
    /// `set -e`
    pub(crate) exit_on_error: bool,
    /// How many conditions stand around what runs now.
    pub(crate) guards: usize,
    /// How many scripts do.
    pub(crate) depth: usize,
}

impl Shell {
    /// One that has the environment's variables and the process's working directory.
    pub(crate) fn new(env: &[(String, String)], terminal: bool) -> Self {
        let exported = |(name, value): &(String, String)| {
            let variable = Variable {
                value: value.clone(),
                exported: true,
            };
            (name.clone(), variable)
        };
        Self {
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            variables: env.iter().map(exported).collect(),
            parameters: vec!["sh".to_owned()],
            status: 0,
            status_of_output: None,
            terminal,
            in_pipe: false,
            exit_on_error: false,
            guards: 0,
            depth: 0,
        }
    }

    /// A path as the working directory makes it.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.cwd.join(path)
    }

    /// The value of a variable or a parameter.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        match name {
            "?" => Some(self.status.to_string()),
            "$" => Some(std::process::id().to_string()),
            "#" => Some(self.parameters.len().saturating_sub(1).to_string()),
            "@" | "*" => Some(self.parameters.get(1..).unwrap_or_default().join(" ")),
            "PWD" => Some(self.cwd.to_string_lossy().into_owned()),
            _ => match name.parse::<usize>() {
                Ok(at) => self.parameters.get(at).cloned(),
                Err(_) => self
                    .variables
                    .get(name)
                    .map(|variable| variable.value.clone()),
            },
        }
    }

    /// Sets a variable, cut to what one may hold.
    pub(crate) fn set(&mut self, name: &str, mut value: String) {
        if value.len() > VALUE_LIMIT {
            value.truncate(value.floor_char_boundary(VALUE_LIMIT));
        }
        self.variables.entry(name.to_owned()).or_default().value = value;
    }

    /// Sets a variable of the environment.
    pub(crate) fn export(&mut self, name: &str, value: String) {
        self.set(name, value);
        self.variables.entry(name.to_owned()).or_default().exported = true;
    }

    /// The environment, sorted by name.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let exported = self
            .variables
            .iter()
            .filter(|(_, variable)| variable.exported);
        exported.map(|(name, variable)| (name.as_str(), variable.value.as_str()))
    }
}
