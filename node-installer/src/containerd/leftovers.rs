//! What installers that are no longer maintained have left in a configuration: tables that name binaries in their
//! folders, and tables that never worked.

use std::path::{Path, PathBuf};

use toml_edit::{Item, TableLike};

use super::document;
use super::rewrite::RewriteError;
use super::schema::Schema;
use super::tables;

/// Folders of binaries, and whose they are (`provision.sh` of kwasm-node-installer, `HOST_PATH` of
/// runtime-class-manager).
pub const FOLDERS: [(&str, &str); 3] = [
    ("/opt/kwasm", "KWasm"),
    ("/var/snap/microk8s/common/kwasm", "KWasm"),
    ("/opt/rcm", "runtime-class-manager"),
];

/// A table of another installer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The handler.
    pub handler: String,
    /// The file it is in, a host path.
    pub file: PathBuf,
    /// The binary it names, a host path.
    pub program: PathBuf,
    /// Whose it is.
    pub owner: &'static str,
}

/// Whose folder a path is in.
pub fn owner_of(path: &Path) -> Option<&'static str> {
    FOLDERS
        .iter()
        .find(|(folder, _)| path.starts_with(folder))
        .map(|(_, owner)| *owner)
}

/// The binary of another installer that a runtime's table names, in whichever key.
pub fn program(runtime: &Item) -> Option<(PathBuf, &'static str)> {
    fn look(table: &dyn TableLike) -> Option<(PathBuf, &'static str)> {
        table.iter().find_map(|(_, item)| {
            if let Some(inner) = item.as_table_like() {
                return look(inner);
            }
            let path = Path::new(item.as_str()?);
            Some((path.to_owned(), owner_of(path)?))
        })
    }
    look(runtime.as_table_like()?)
}

/// The engine that a table of runc names. containerd 1.x handed it to a shim that is gone since 2.0, and the shim of
/// runc never looked at it: pods of such a handler run as native containers.
pub fn ignored_engine(runtime: &Item) -> Option<&str> {
    let kind = tables::runtime_type(runtime)?;
    let engine = runtime.as_table_like()?.get("runtime_engine")?.as_str()?;
    (kind.starts_with("io.containerd.runc.") && !engine.is_empty()).then_some(engine)
}

/// The first binary of another installer that a text names which is not TOML, outside of lines that are comments.
pub fn named_in(text: &str) -> Option<(PathBuf, &'static str)> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split(['"', '\'', '=', ' ', '\t']));
    words
        .map(Path::new)
        .find_map(|word| Some((word.to_owned(), owner_of(word)?)))
}

/// Takes tables of other installers out of a file, those that `goes` says, and tells of all of them. Comments above a table
/// go with it.
pub fn remove(
    path: &Path,
    text: &str,
    goes: impl Fn(&Leftover) -> bool,
) -> Result<(String, Vec<Leftover>), RewriteError> {
    let mut document = document::parse(path, text)?;
    let mut found = Vec::new();
    for schema in Schema::ANY {
        let Some(runtimes) = tables::runtimes_mut(&mut document, schema) else {
            continue;
        };
        let before = found.len();
        for (name, item) in runtimes.iter() {
            if let Some((program, owner)) = program(item) {
                found.push(Leftover {
                    handler: name.to_owned(),
                    file: path.to_owned(),
                    program,
                    owner,
                });
            }
        }
        for leftover in found[before..].iter().filter(|left| goes(left)) {
            runtimes.remove(&leftover.handler);
        }
    }
    let text = if found.iter().any(goes) {
        document.to_string()
    } else {
        text.to_owned()
    };
    Ok((text, found))
}

/// Sentences on tables of a file that do not what they seem to.
pub fn oddities(path: &Path, text: &str) -> Result<Vec<String>, RewriteError> {
    let document = document::parse(path, text)?;
    let odd = Schema::ANY
        .into_iter()
        .filter_map(|schema| tables::runtimes(&document, schema))
        .flat_map(|runtimes| runtimes.iter());
    Ok(odd
        .filter_map(|(handler, item)| {
            let engine = ignored_engine(item)?;
            Some(format!(
                "the handler {handler} in {} is runc: containerd ignores its runtime_engine {engine:?}, so its pods run as native containers",
                path.display()
            ))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KWASM: &str = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n\
        runtime_type = \"io.containerd.runc.v2\"\n\n\
        [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.spin]\n\
        runtime_type = \"/opt/kwasm/bin/containerd-shim-spin-v1\"\n";
    const RCM: &str = "\n# RCM runtime config for slight\n\
        [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.slight]\n\
        runtime_type = \"/opt/rcm/bin/containerd-shim-slight-v1\"\n\
        [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.slight.options]\nSystemdCgroup = true\n";

    #[test]
    fn their_tables_go_with_their_comments_and_the_others_stay() {
        let path = Path::new("/etc/containerd/config.toml");
        let both = format!("{KWASM}{RCM}");
        let remove = |text: &str| remove(path, text, |_| true).unwrap();
        let (rest, found) = remove(&both);
        assert_eq!(rest, KWASM.split_once("\n\n").unwrap().0.to_owned() + "\n");
        let named: Vec<_> = found
            .iter()
            .map(|l| (l.handler.as_str(), l.owner))
            .collect();
        assert_eq!(
            named,
            [("spin", "KWasm"), ("slight", "runtime-class-manager")]
        );
        assert_eq!(remove(&rest), (rest, Vec::new()));

        let slight = |left: &Leftover| left.handler == "slight";
        let (rest, found) = super::remove(path, &both, slight).unwrap();
        assert_eq!((rest.as_str(), found.len()), (KWASM, 2));
        let (rest, _) = super::remove(path, &both, |_| false).unwrap();
        assert_eq!(rest, both);
    }

    #[test]
    fn a_template_is_searched_as_text() {
        let named = |text: &str| named_in(text).map(|(program, _)| program);
        let text = "{{ template \"base\" . }}\n# not /opt/rcm/bin/a\n[plugins.x]\nruntime_type=\"/opt/kwasm/bin/b\"\n";
        assert_eq!(named(text), Some("/opt/kwasm/bin/b".into()));
        assert_eq!(
            named("runtime_type = '/opt/kwasm-other/b' # {{ . }}\n"),
            None
        );
    }

    #[test]
    fn an_engine_beside_runc_is_seen_as_what_it_is() {
        let engine = |text: &str| {
            let document = document::parse(Path::new("/c"), text).unwrap();
            ignored_engine(&document["r"]).map(str::to_owned)
        };
        assert_eq!(
            engine("[r]\nruntime_engine = \"/usr/local/bin/x\"\nruntime_type = \"io.containerd.runc.v2\"\n").as_deref(),
            Some("/usr/local/bin/x")
        );
        assert_eq!(
            engine("[r]\nruntime_engine = \"\"\nruntime_type = \"io.containerd.runc.v2\"\n"),
            None
        );
        assert_eq!(
            engine("[r]\nruntime_type = \"io.containerd.runc.v2\"\n"),
            None
        );
    }
}
