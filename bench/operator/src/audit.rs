//! What the operator asked for, from the API server's audit log: metrics of the API server do not say who asks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Requests of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Requests {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub(crate) verb: String,
    /// Resource, and subresource after a slash.
    pub(crate) resource: String,
    /// How many.
    pub(crate) count: u64,
    /// How many of them were refused or failed.
    pub(crate) failed: u64,
}

/// The log, as far as it was read.
pub(crate) struct Audit {
    path: PathBuf,
    read: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    #[serde(default)]
    object_ref: Option<Reference>,
    #[serde(default)]
    response_status: Option<Status>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reference {
    resource: String,
    subresource: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl Audit {
    /// From its beginning.
    pub(crate) const fn of(path: PathBuf) -> Self {
        Self { path, read: 0 }
    }

    /// What was asked since the last look, by kind. A watch is counted when it ends.
    pub(crate) fn since(&mut self) -> Result<Vec<Requests>> {
        let context = || self.path.display().to_string();
        let mut file = File::open(&self.path).with_context(context)?;
        file.seek(SeekFrom::Start(self.read))
            .with_context(context)?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(context)?;
        // The last line may be in the writing.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let counted = count(&text[..whole]).with_context(context)?;
        self.read += u64::try_from(whole)?;
        Ok(counted)
    }
}

fn count(lines: &str) -> Result<Vec<Requests>> {
    let mut kinds: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for line in lines.lines() {
        let event: Event = serde_json::from_str(line)?;
        let about = event.object_ref.unwrap_or_default();
        let resource = match &*about.subresource {
            "" => about.resource,
            sub => format!("{}/{sub}", about.resource),
        };
        let failed = event
            .response_status
            .is_some_and(|status| status.code >= 400);
        let (count, failures) = kinds.entry((event.verb, resource)).or_default();
        *count += 1;
        *failures += u64::from(failed);
    }
    let kinds = kinds.into_iter();
    Ok(kinds
        .map(|((verb, resource), (count, failed))| Requests {
            verb,
            resource,
            count,
            failed,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn requests_are_counted_by_kind_and_only_once() {
        let line = |verb: &str, resource: &str, sub: &str, code: u16| {
            format!(
                r#"{{"verb":"{verb}","objectRef":{{"resource":"{resource}","subresource":"{sub}"}},"responseStatus":{{"code":{code}}}}}"#
            ) + "\n"
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut file = File::create(&path).unwrap();
        let mut audit = Audit::of(path);
        let last = line("create", "jobs", "", 201);
        let (begun, rest) = last.split_at(10);
        let lines = line("update", "nodeshims", "status", 200)
            + &line("update", "nodeshims", "status", 409);
        write!(file, "{lines}{begun}").unwrap();
        let found = audit.since().unwrap();
        assert_eq!(
            found,
            [Requests {
                verb: "update".into(),
                resource: "nodeshims/status".into(),
                count: 2,
                failed: 1,
            }]
        );
        write!(file, "{rest}").unwrap();
        let found = audit.since().unwrap();
        assert_eq!((&*found[0].resource, found[0].count), ("jobs", 1));
        assert_eq!(audit.since().unwrap(), []);
    }
}
