//! From what shall stand on a node to the bytes that say so.
//!
//! Every operation begins with the files as they would be without anything of ours, and puts the tables of *all* shims
//! into them that shall stand there. So one shim's install or removal never has to know how another's came about, and
//! the last one's removal gives back every byte, in whichever order they come and go.

mod base;
mod target;
mod tidy;

pub use base::BaseFile;
pub use target::Target;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::containerd::document;
use crate::containerd::dump::Dump;
use crate::containerd::handler::Handler;
use crate::containerd::imports::Source;
use crate::containerd::layout::Layout;
use crate::containerd::leftovers::Leftover;
use crate::containerd::plan::{self, Observed, Plan};
use crate::containerd::schema::Schema;
use crate::containerd::tables;
use crate::containerd::validate::{self, ValidateError};
use crate::containerd::version::Version;
use crate::failure::Failure;
use crate::host::HostRoot;
use crate::journal::{
    Change, DaemonRecord, Expectation, Installed, InstalledShim, Journal, ManagedFile,
};
use crate::spec::Leftovers;

/// The node and its containerd.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// Its files.
    pub root: &'a HostRoot,
    /// Its journal.
    pub journal: &'a Journal,
    /// Its containerd.
    pub daemon: &'a DaemonRecord,
    /// containerd's version.
    pub version: Version,
    /// How its root file comes about.
    pub layout: &'a Layout,
    /// Below which our binaries are.
    pub install_root: &'a Path,
    /// What stands there now.
    pub installed: Option<&'a Installed>,
}

/// What shall stand there.
#[derive(Debug, Clone)]
pub struct Wish {
    /// All shims, by name.
    pub shims: BTreeMap<String, InstalledShim>,
    /// What to do with the tables of other installers.
    pub leftovers: Leftovers,
}

/// The files that say it.
#[derive(Debug, Clone)]
pub struct Configuration {
    shims: BTreeMap<String, InstalledShim>,
    handlers: Vec<Handler>,
    /// The handlers that are there without us: somebody may have written one of our name meanwhile.
    others: BTreeSet<String>,
    files: Vec<BaseFile>,
    plan: Option<Plan>,
    /// The files that are or shall be different.
    pub targets: Vec<Target>,
    /// Tables of other installers that the targets do not have any more.
    gone: Vec<Leftover>,
    /// Tables of theirs that stay: nobody asked for their removal, or a distribution would write them again.
    pub staying: Vec<Leftover>,
    /// Sentences on tables that do not what they seem to.
    pub oddities: Vec<String>,
}

impl Configuration {
    /// Reads the files and plans.
    ///
    /// # Errors
    /// A refusal: nothing was changed.
    pub fn of(node: &Node<'_>, wish: Wish) -> Result<Self, Failure> {
        refuse_twice(&wish.shims)?;
        let mut files = base::files(node)?;
        let tidied = tidy::tidy(&mut files, node.layout, wish.leftovers)?;
        let shims = wish.shims.values();
        let handlers: Vec<Handler> = shims
            .clone()
            .flat_map(|shim| shim.handlers.iter().cloned())
            .collect();
        tidy::refuse_staying(&tidied, wish.leftovers, &handlers)?;
        let local_image_pull = shims.clone().any(|shim| shim.local_image_pull)
            && node.version.knows_local_image_pull();
        let plan = if handlers.is_empty() && !local_image_pull {
            None
        } else {
            let observed = Observed {
                version: node.version,
                config: &node.daemon.config,
                sources: &sources(&files),
                layout: node.layout,
                own: own(&files, node.layout),
                handlers: &handlers,
                install_root: node.install_root,
                local_image_pull,
            };
            Some(plan::plan(&observed).map_err(|error| Failure::refused(&error))?)
        };
        let targets = target::of(node, &files, plan.as_ref())?;
        Ok(Self {
            shims: wish.shims,
            handlers,
            others: defined(&files),
            files,
            plan,
            targets,
            gone: tidied.gone,
            staying: tidied.staying,
            oddities: tidied.oddities,
        })
    }

    /// Every file that containerd would find changed and its text, `None` if it is to go. What a distribution writes is
    /// seen as it will write it.
    pub fn candidates(&self) -> Vec<(PathBuf, Option<String>)> {
        let preview = self.plan.as_ref().and_then(|plan| plan.preview.as_ref());
        if let Some(preview) = preview {
            let files = preview.iter();
            return files
                .map(|file| (file.path.clone(), Some(file.after.clone())))
                .collect();
        }
        let generated = self
            .files
            .iter()
            .filter(|file| file.generated && file.has_ours());
        let generated = generated.map(|file| {
            let text = file.base.as_ref().map(|(text, _)| text.clone());
            (file.path.clone(), text)
        });
        // A template is nothing that containerd reads.
        let read = |target: &&Target| {
            self.plan.is_some()
                || self
                    .files
                    .iter()
                    .any(|file| file.path == target.path && file.loaded)
        };
        let targets = self.targets.iter().filter(read);
        targets
            .map(|target| (target.path.clone(), target.after.clone()))
            .chain(generated)
            .collect()
    }

    /// Whether any file would be changed.
    pub fn is_change(&self) -> bool {
        self.targets.iter().any(Target::is_change)
    }

    /// Files that others have edited since we did, and that therefore do not go back to recorded bytes.
    pub fn edited(&self) -> impl Iterator<Item = &Path> {
        self.files
            .iter()
            .filter(|file| file.edited)
            .map(|file| file.path.as_path())
    }

    /// Whether containerd makes of the candidates what is meant, and nothing else.
    ///
    /// # Errors
    /// The first handler that is missing or should not have changed.
    pub fn check(&self, node: &Node<'_>, before: &Dump, after: &Dump) -> Result<(), ValidateError> {
        let stood = standing(node).map(|handler| &handler.name);
        let ours: BTreeSet<&str> = stood
            .chain(self.handlers.iter().map(|handler| &handler.name))
            .chain(self.gone.iter().map(|leftover| &leftover.handler))
            .map(String::as_str)
            .collect();
        let config = &node.daemon.config;
        let asked = self.plan.as_ref();
        if asked.is_some_and(|plan| plan.additions.local_image_pull.is_some())
            && !after.local_image_pull
        {
            return Err(ValidateError::LocalPullMissing(config.clone()));
        }
        validate::compare(
            config,
            before,
            after,
            &self.handlers,
            &ours,
            node.install_root,
        )
    }

    /// What will stand on the node, with the bytes without us kept in the journal; `None` if nothing will.
    ///
    /// # Errors
    /// A refusal, when the journal cannot be written.
    pub fn goal(
        &self,
        node: &Node<'_>,
        placed_folders: &[PathBuf],
        boot: Option<String>,
    ) -> Result<Option<Installed>, Failure> {
        if self.shims.is_empty() {
            return Ok(None);
        }
        let mut managed = Vec::new();
        let before = node.installed.map(|installed| &installed.created_folders);
        let mut folders: Vec<PathBuf> = before.cloned().unwrap_or_default();
        let mut add = |folder: &PathBuf| {
            if !folders.contains(folder) {
                folders.push(folder.clone());
            }
        };
        placed_folders.iter().for_each(&mut add);
        for target in self.targets.iter().filter(|target| target.planned) {
            let Some(ours) = target.kept_after(node)? else {
                continue;
            };
            managed.push(ManagedFile {
                path: target.resolved.clone(),
                base: target.kept_base(node)?,
                ours,
            });
            target.missing_folders(node.root).iter().for_each(&mut add);
        }
        let plan = self.plan.as_ref();
        Ok(Some(Installed {
            version: crate::journal::record::VERSION,
            shims: self.shims.clone(),
            install_root: node.install_root.to_owned(),
            method: plan.map(|plan| plan.method),
            files: managed,
            additions: plan.map(|plan| plan.additions.clone()).unwrap_or_default(),
            created_folders: folders,
            daemon: node.daemon.clone(),
            verified_boot: boot,
        }))
    }

    /// The files to write, in order, with all bytes kept in the journal. What goes away goes last: an import must
    /// never name a file that is gone, should somebody restart containerd in between.
    ///
    /// # Errors
    /// A refusal, when the journal cannot be written.
    pub fn changes(&self, node: &Node<'_>) -> Result<Vec<Change>, Failure> {
        let mut targets: Vec<&Target> = self.targets.iter().filter(|t| t.is_change()).collect();
        targets.sort_by_key(|target| target.after.is_none());
        let changes = targets.into_iter().map(|target| {
            Ok(Change {
                path: target.resolved.clone(),
                before: target.kept_now(node)?,
                after: target.kept_after(node)?,
            })
        });
        changes.collect()
    }

    /// Folders that the files need and that are not there, host paths, outermost first.
    pub fn missing_folders(&self, node: &Node<'_>) -> Vec<PathBuf> {
        let mut missing = Vec::new();
        for folder in self
            .targets
            .iter()
            .filter(|target| target.after.is_some())
            .flat_map(|target| target.missing_folders(node.root))
        {
            if !missing.contains(&folder) {
                missing.push(folder);
            }
        }
        missing
    }

    /// What containerd must say when all is done.
    pub fn expectation(&self, node: &Node<'_>) -> Expectation {
        let written = self.handlers.iter();
        let present: BTreeMap<String, String> = written
            .map(|handler| {
                (
                    handler.name.clone(),
                    handler.shim.to_string_lossy().into_owned(),
                )
            })
            .collect();
        let absent = standing(node)
            .map(|handler| handler.name.clone())
            .chain(self.gone.iter().map(|leftover| leftover.handler.clone()))
            .filter(|name| !present.contains_key(name) && !self.others.contains(name))
            .collect::<BTreeSet<String>>();
        Expectation {
            present,
            absent: absent.into_iter().collect(),
        }
    }
}

/// The handlers that were written for the shims that stand there now.
fn standing<'a>(node: &Node<'a>) -> impl Iterator<Item = &'a Handler> {
    let shims = node.installed.into_iter();
    let shims = shims.flat_map(|installed| installed.shims.values());
    shims.flat_map(|shim| &shim.handlers)
}

/// The handlers that the files define without us.
fn defined(files: &[BaseFile]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in sources(files) {
        let Ok(document) = document::parse(&source.path, &source.text) else {
            continue;
        };
        for schema in Schema::ANY {
            let tables = tables::runtimes(&document, schema);
            let tables = tables.iter().flat_map(|tables| tables.iter());
            names.extend(tables.map(|(name, _)| name.to_owned()));
        }
    }
    names
}

/// What the file that a distribution leaves to us holds.
fn own<'f>(files: &'f [BaseFile], layout: &Layout) -> Option<&'f str> {
    let own = layout.own_file()?;
    let file = files.iter().find(|file| file.path == own)?;
    Some(&file.base.as_ref()?.0)
}

/// The files that containerd loads, as a plan takes them.
fn sources(files: &[BaseFile]) -> Vec<Source> {
    let files = files.iter().filter(|file| file.loaded);
    files
        .filter_map(|file| {
            Some(Source {
                path: file.path.clone(),
                text: file.base.as_ref()?.0.clone(),
            })
        })
        .collect()
}

/// Two shims cannot have one handler: containerd would take whichever came last.
fn refuse_twice(shims: &BTreeMap<String, InstalledShim>) -> Result<(), Failure> {
    let mut owners: BTreeMap<String, &String> = BTreeMap::new();
    for (name, shim) in shims {
        for handler in shim.names() {
            if let Some(other) = owners.insert(handler.clone(), name) {
                return Err(Failure::refusal(
                    "HandlerTaken",
                    format!(
                        "the shims {other} and {name} of this node both claim the handler {handler}: choose another for one"
                    ),
                ));
            }
        }
    }
    Ok(())
}
