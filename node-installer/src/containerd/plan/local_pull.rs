//! Local image pull: an option of the whole node, beside the handlers of whoever asked for it.

use super::{Observed, Plan, PlanError};
use crate::containerd::schema::Schema;
use crate::containerd::{document, rewrite, tables, template};

/// Whether it is asked for and nobody has set it yet.
pub(super) fn is_due(observed: &Observed<'_>, schema: Schema) -> Result<bool, PlanError> {
    if !observed.local_image_pull {
        return Ok(false);
    }
    for source in observed.sources {
        if tables::has_local_image_pull(&document::parse(&source.path, &source.text)?) {
            return Ok(false);
        }
    }
    if schema == Schema::One {
        return Err(PlanError::TooOldForLocalPull(observed.config.to_owned()));
    }
    Ok(true)
}

/// Switches it on in the file that holds our handlers.
pub(super) fn add(plan: &mut Plan) -> Result<(), PlanError> {
    let Some(file) = plan.files.first_mut() else {
        return Ok(());
    };
    // What is appended to the text of others may name a section twice; only where their text is read can it be avoided.
    let appended = template::is_template(&file.path) || file.base.is_none();
    if appended && plan.preview.is_some() {
        return Err(PlanError::NoRoomForLocalPull(file.path.clone()));
    }
    let previewed = plan.preview.iter_mut().flatten().take(1);
    for file in std::iter::once(&mut *file).chain(previewed) {
        file.after = rewrite::add_local_image_pull(&file.path, &file.after)?;
    }
    let name = file.path.file_name().unwrap_or_default();
    plan.additions.local_image_pull = Some(name.to_string_lossy().into_owned());
    Ok(())
}
