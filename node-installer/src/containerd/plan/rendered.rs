//! The plan where a distribution writes the root file: what goes into the template or folder that it is made from, and
//! what containerd will find once it is made.

use super::{Observed, Plan, PlanError, PlannedFile, in_place};
use crate::containerd::document;
use crate::containerd::imports::Source;
use crate::containerd::layout::Layout;
use crate::containerd::plan::DROP_IN;
use crate::containerd::rewrite::{self, Additions};
use crate::containerd::schema::Schema;
use crate::containerd::template;
use crate::report::Method;

pub(super) fn plan(
    observed: &Observed<'_>,
    root: Option<&Source>,
    schema: Schema,
) -> Result<Plan, PlanError> {
    // Rendered, our tables stand among the others, whatever the version merges.
    let rendered = in_place(observed, root, schema)?;
    match observed.layout {
        Layout::Folder(folder) => {
            let path = folder.join(DROP_IN);
            if observed.own.is_some() {
                return Err(PlanError::DropInTaken(path));
            }
            let imported =
                observed
                    .layout
                    .is_imported(observed.version, observed.config, observed.sources)?;
            let after = if imported {
                let hint = observed.version.wants_task_api_hint();
                rewrite::drop_in(schema, observed.handlers, hint)
            } else {
                rewrite::piece(schema, observed.handlers)
            };
            let file = PlannedFile {
                path,
                base: None,
                after,
            };
            Ok(Plan {
                method: Method::DropIn,
                files: vec![file],
                additions: Additions::default(),
                preview: (!imported).then_some(rendered.files),
            })
        }
        Layout::Template(path) => {
            let built_in_runc = rendered.additions.built_in_runc;
            let after = if template::is_template(path) {
                let hint = observed.version.wants_task_api_hint();
                let tables = rewrite::tables(schema, observed.handlers, hint, built_in_runc);
                template::add(observed.own, &tables)
            } else {
                let text = observed
                    .own
                    .ok_or_else(|| PlanError::NoTemplate(path.clone()))?;
                let own = Schema::of(path, &document::parse(path, text)?)?;
                rewrite::add_handlers(path, text, own, observed.handlers, built_in_runc)?
            };
            Ok(Plan {
                method: Method::InPlace,
                files: vec![PlannedFile {
                    path: path.clone(),
                    base: observed.own.map(str::to_owned),
                    after,
                }],
                additions: Additions {
                    // In a text of ours it needs no memory.
                    built_in_runc: built_in_runc && !template::is_template(path),
                    ..Additions::default()
                },
                preview: Some(rendered.files),
            })
        }
        Layout::Own | Layout::DropIns(_) => Ok(rendered),
    }
}
