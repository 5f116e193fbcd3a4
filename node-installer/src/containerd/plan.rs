//! What to write where: a pure function of the files as they would be without us.
//!
//! containerd 2.x merges an imported file's tables into the root's, so a file of our own is enough. containerd 1.x
//! replaces the whole CRI section by an imported one (`mergeConfig`@v1.7.34), so there the handlers go into the file
//! that finally provides the section.

mod local_pull;
mod rendered;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml_edit::DocumentMut;

use super::document::{self, DocumentError};
use super::handler::Handler;
use super::imports::Source;
use super::layout::{self, Layout};
use super::leftovers;
use super::rewrite::{self, Additions, RewriteError};
use super::schema::{Schema, SchemaError};
use super::tables;
use super::version::Version;
use crate::crio;
use crate::failure::Reason;
use crate::report::Method;

/// The name of our drop-in: late in a folder's lexical order, because the last value wins.
pub const DROP_IN: &str = "99-slipway.toml";

/// What was found, without anything of ours.
#[derive(Debug, Clone)]
pub struct Observed<'a> {
    /// containerd's.
    pub version: Version,
    /// The root file's host path; it need not exist.
    pub config: &'a Path,
    /// The root file, if it exists, and what it imports, in merge order.
    pub sources: &'a [Source],
    /// How the root file comes about.
    pub layout: &'a Layout,
    /// What [`Layout::own_file`] holds, if it is there.
    pub own: Option<&'a str>,
    /// The handlers to serve, of all shims.
    pub handlers: &'a [Handler],
    /// Below which our own shims are; handlers of others are named in [`Additions::adopted`].
    pub install_root: &'a Path,
    /// Whether to switch local image pull on. Only where containerd knows it
    /// ([`Version::knows_local_image_pull`]).
    pub local_image_pull: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How.
    pub method: Method,
    /// The files to write, in this order.
    pub files: Vec<PlannedFile>,
    /// What goes in besides the handlers.
    pub additions: Additions,
    /// What containerd will find once the distribution has written its files anew; `None` if it is what we write.
    pub preview: Option<Vec<PlannedFile>>,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// The host path.
    pub path: PathBuf,
    /// The text without us; `None` if there is no such file.
    pub base: Option<String>,
    /// The text with us.
    pub after: String,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A file does not parse.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A file's form is unknown.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A file cannot be edited.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// Somebody else serves the handler.
    #[error(
        "the handler {handler} is already defined in {path} (runtime_type {runtime_type:?}): remove that table or choose another handler"
    )]
    HandlerTaken {
        /// The handler.
        handler: String,
        /// Where it is.
        path: PathBuf,
        /// What it is.
        runtime_type: String,
    },
    /// containerd would start, and see nothing of us.
    #[error(
        "{path} is of version 1, from which containerd {version} takes no runtimes: write it in version 2 or 3"
    )]
    OldRoot {
        /// The root file.
        path: PathBuf,
        /// containerd's.
        version: Version,
    },
    /// The distribution's template is not where it should be.
    #[error("there is no {0}, from which the distribution makes containerd's configuration")]
    NoTemplate(PathBuf),
    /// Another installer's table serves it.
    #[error(
        "the handler {handler} is still defined in {path} by {owner} ({program}): install with leftovers \"remove\", or take that table out"
    )]
    HandlerLeft {
        /// The handler.
        handler: String,
        /// Where it is.
        path: PathBuf,
        /// Whose it is.
        owner: &'static str,
        /// The binary it names.
        program: PathBuf,
    },
    /// A table of theirs in a template, which is text and not TOML.
    #[error(
        "{path} still names {program} of {owner}, and a template is edited by people only: take the tables of {owner} out of it, restart the unit that runs containerd, and install again"
    )]
    LeftInTemplate {
        /// The template.
        path: PathBuf,
        /// Whose it is.
        owner: &'static str,
        /// The binary it names.
        program: PathBuf,
    },
    /// A table of theirs in a file that a distribution writes, from something that is not known.
    #[error(
        "the handler {handler} is still defined in {path} by {owner} ({program}), and the distribution writes that file: take the table out of what it is made from, or move {program} away if the distribution looks for it there; then restart the unit that runs containerd, and install again"
    )]
    LeftInGenerated {
        /// The handler.
        handler: String,
        /// Where it is.
        path: PathBuf,
        /// Whose it is.
        owner: &'static str,
        /// The binary it names.
        program: PathBuf,
    },
    /// A table that looks like a Wasm runtime and is runc.
    #[error(
        "the handler {handler} in {path} is runc: containerd ignores its runtime_engine {engine:?}, so its pods run as native containers; take that table out"
    )]
    HandlerBroken {
        /// The handler.
        handler: String,
        /// Where it is.
        path: PathBuf,
        /// What it names in vain.
        engine: String,
    },
    /// The key of local image pull has no place in so old a file.
    #[error(
        "{0} has no version, and local image pull takes one: add the line 'version = 2' and use full plugin names"
    )]
    TooOldForLocalPull(PathBuf),
    /// The section may be there already in what the distribution renders, and TOML takes it once.
    #[error(
        "local image pull cannot be set through {0}, from which the distribution makes containerd's configuration: set use_local_image_pull there by hand"
    )]
    NoRoomForLocalPull(PathBuf),
    /// Somebody else has a file of our name.
    #[error("{0} exists and is not ours: rename it")]
    DropInTaken(PathBuf),
}

impl Reason for PlanError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Document(error) => error.reason(),
            Self::Schema(error) => error.reason(),
            Self::Rewrite(error) => error.reason(),
            Self::HandlerTaken { .. } => "HandlerTaken",
            Self::OldRoot { .. } => "ConfigUnsupported",
            Self::NoTemplate(_) => "ConfigUnreadable",
            Self::HandlerLeft { .. }
            | Self::LeftInTemplate { .. }
            | Self::LeftInGenerated { .. } => "HandlerLeft",
            Self::HandlerBroken { .. } => "HandlerBroken",
            Self::TooOldForLocalPull(_) | Self::NoRoomForLocalPull(_) => "ConfigUnsupported",
            Self::DropInTaken(_) => "DropInTaken",
        }
    }
}

/// Plans an install.
pub fn plan(observed: &Observed<'_>) -> Result<Plan, PlanError> {
    if let Layout::DropIns(folder) = observed.layout {
        return crio::plan::plan(observed, folder);
    }
    let root = observed
        .sources
        .iter()
        .find(|source| source.path == observed.config);
    let schema = match root {
        None => Schema::for_new_file(observed.version),
        Some(root) => {
            let document = document::parse(&root.path, &root.text)?;
            let schema = Schema::of(&root.path, &document)?.check(&root.path, observed.version)?;
            seen(schema, root, &document, observed.version)?
        }
    };
    for source in observed.sources {
        refuse_taken(source, schema_of_import(source, schema)?, observed.handlers)?;
    }
    let pull = local_pull::is_due(observed, schema)?;
    let mut plan = if *observed.layout != Layout::Own {
        rendered::plan(observed, root, schema)?
    } else if observed.version.merges_imports() {
        plan_drop_in(observed, root, schema)?
    } else {
        in_place(observed, root, schema)?
    };
    plan.additions.adopted = adopted(observed);
    if pull {
        local_pull::add(&mut plan)?;
    }
    Ok(plan)
}

/// The form in which containerd sees runtimes at all. A root file without plugins may be without a version too: then
/// ours is the only one, and counts.
fn seen(
    schema: Schema,
    root: &Source,
    document: &DocumentMut,
    version: Version,
) -> Result<Schema, PlanError> {
    if schema != Schema::One || !version.loses_version_1() {
        return Ok(schema);
    }
    if document.contains_key("plugins") {
        return Err(PlanError::OldRoot {
            path: root.path.clone(),
            version,
        });
    }
    Ok(Schema::for_new_file(version))
}

/// An imported file without a version is read in the root's.
fn schema_of_import(source: &Source, root: Schema) -> Result<Schema, PlanError> {
    let document = document::parse(&source.path, &source.text)?;
    Ok(if document.contains_key("version") {
        Schema::of(&source.path, &document)?
    } else {
        root
    })
}

/// Refuses handlers that a file gives to somebody else.
pub(crate) fn refuse_taken(
    source: &Source,
    schema: Schema,
    handlers: &[Handler],
) -> Result<(), PlanError> {
    let document = document::parse(&source.path, &source.text)?;
    let Some(runtimes) = tables::runtimes(&document, schema) else {
        return Ok(());
    };
    match handlers
        .iter()
        .find_map(|handler| Some((&handler.name, runtimes.get(&handler.name)?)))
    {
        None => Ok(()),
        Some((handler, item)) => Err(taken(handler.clone(), source.path.clone(), item)),
    }
}

/// Why a handler cannot be had, from the table that has it.
fn taken(handler: String, path: PathBuf, item: &toml_edit::Item) -> PlanError {
    if let Some(engine) = leftovers::ignored_engine(item) {
        let engine = engine.to_owned();
        return PlanError::HandlerBroken {
            handler,
            path,
            engine,
        };
    }
    match leftovers::program(item) {
        Some((program, owner)) => PlanError::HandlerLeft {
            handler,
            path,
            owner,
            program,
        },
        None => PlanError::HandlerTaken {
            handler,
            path,
            runtime_type: tables::runtime_type(item).unwrap_or_default().to_owned(),
        },
    }
}

fn plan_drop_in(
    observed: &Observed<'_>,
    root: Option<&Source>,
    schema: Schema,
) -> Result<Plan, PlanError> {
    let (folder, import) = drop_in_folder(observed.config, root)?;
    let path = folder.join(DROP_IN);
    if observed.sources.iter().any(|source| source.path == path) {
        return Err(PlanError::DropInTaken(path));
    }
    // Exactly the root's version: 2.3.0 to 2.3.4 refuse an imported file with a higher one (removed on main by
    // a8ed546), and 2.0 to 2.2 migrate the merged whole by the last version seen.
    let after = rewrite::drop_in(
        schema,
        observed.handlers,
        observed.version.wants_task_api_hint(),
    );
    let mut files = vec![PlannedFile {
        path,
        base: None,
        after,
    }];
    if let Some(pattern) = &import {
        let after = match root {
            Some(root) => rewrite::add_import(&root.path, &root.text, pattern)?,
            None => rewrite::new_root(schema, pattern),
        };
        let base = root.map(|root| root.text.clone());
        files.push(PlannedFile {
            path: observed.config.to_owned(),
            base,
            after,
        });
    }
    Ok(Plan {
        method: Method::DropIn,
        files,
        additions: Additions {
            import,
            ..Additions::default()
        },
        preview: None,
    })
}

/// The folder for our drop-in and the import to add. A folder the root file imports already is best (EKS has its own);
/// else `conf.d` beside the root file, which is containerd's own choice from 2.2 on, imported by a glob: a glob
/// without matches is harmless, whereas an import of a missing file keeps containerd from starting.
fn drop_in_folder(
    config: &Path,
    root: Option<&Source>,
) -> Result<(PathBuf, Option<String>), PlanError> {
    let beside = config.parent().unwrap_or(Path::new("/")).join("conf.d");
    let mut usable = match root {
        None => Vec::new(),
        Some(root) => layout::imported_folders(config, &root.text)?,
    };
    // Our drop-in as the root's neighbour would be picked up by whoever globs for root files.
    usable.retain(|folder| Some(folder.as_path()) != config.parent());
    usable.sort_by_key(|folder| *folder != beside);
    Ok(match usable.into_iter().next() {
        Some(folder) => (folder, None),
        None => {
            let pattern = beside.join("*.toml").to_string_lossy().into_owned();
            (beside, Some(pattern))
        }
    })
}

fn in_place(
    observed: &Observed<'_>,
    root: Option<&Source>,
    schema: Schema,
) -> Result<Plan, PlanError> {
    let mut target = root;
    let mut target_schema = schema;
    for source in observed.sources {
        let schema = schema_of_import(source, schema)?;
        if tables::has_section(&document::parse(&source.path, &source.text)?, schema) {
            (target, target_schema) = (Some(source), schema);
        }
    }
    let path = target.map_or(observed.config, |target| &target.path);
    let new = schema
        .number()
        .map(|number| format!("version = {number}\n"))
        .unwrap_or_default();
    let text = target.map_or(new.as_str(), |target| &target.text);
    let document = document::parse(path, text)?;
    let built_in_runc =
        tables::runtimes(&document, target_schema).is_none_or(toml_edit::TableLike::is_empty);
    let after = rewrite::add_handlers(path, text, target_schema, observed.handlers, built_in_runc)?;
    Ok(Plan {
        method: Method::InPlace,
        files: vec![PlannedFile {
            path: path.to_owned(),
            base: target.map(|target| target.text.clone()),
            after,
        }],
        additions: Additions {
            built_in_runc,
            ..Additions::default()
        },
        preview: None,
    })
}

/// The handlers that later cannot be told by where their shim is.
pub(crate) fn adopted(observed: &Observed<'_>) -> BTreeMap<String, PathBuf> {
    let handlers = observed.handlers.iter();
    handlers
        .filter(|handler| !handler.shim.starts_with(observed.install_root))
        .map(|handler| (handler.name.clone(), handler.shim.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
