//! What other installers left in the files: found, and with consent taken out of what they hold without us.
//!
//! What a distribution writes is never edited: it would be written again. A table in there goes if it goes from what the
//! file is made from; otherwise it stays, and so must the binary that it names.

use super::BaseFile;
use crate::containerd::handler::Handler;
use crate::containerd::layout::Layout;
use crate::containerd::leftovers::{self, Leftover};
use crate::containerd::plan::PlanError;
use crate::containerd::template;
use crate::failure::Failure;
use crate::spec::Leftovers;

/// What was found.
#[derive(Debug, Clone, Default)]
pub(super) struct Tidied {
    /// Tables of other installers that the files do not hold any more.
    pub(super) gone: Vec<Leftover>,
    /// Those that they still hold.
    pub(super) staying: Vec<Leftover>,
    /// Sentences on tables that do not what they seem to.
    pub(super) oddities: Vec<String>,
}

/// Looks, and takes out what may go.
///
/// # Errors
/// A refusal, for a file that cannot be read, and for a template from which their tables would have to go.
pub(super) fn tidy(
    files: &mut [BaseFile],
    layout: &Layout,
    wish: Leftovers,
) -> Result<Tidied, Failure> {
    let refused = |error| Failure::refused(&PlanError::Rewrite(error));
    let mut tidied = Tidied::default();
    let (generated, written): (Vec<_>, Vec<_>) = files.iter_mut().partition(|file| file.generated);
    // What people write comes first: it says what goes from what is made of it.
    for file in written.into_iter().chain(generated) {
        let Some((text, _)) = &mut file.base else {
            continue;
        };
        // Not TOML before it is rendered.
        if template::is_template(&file.path) {
            if wish == Leftovers::Remove
                && let Some((program, owner)) = leftovers::named_in(text)
            {
                let path = file.path.clone();
                return Err(Failure::refused(&PlanError::LeftInTemplate {
                    path,
                    owner,
                    program,
                }));
            }
            continue;
        }
        let goes = |left: &Leftover| {
            wish == Leftovers::Remove
                && (!file.generated || tidied.gone.iter().any(|gone| is_of(left, gone, layout)))
        };
        let (rest, found) = leftovers::remove(&file.path, text, goes).map_err(refused)?;
        let (gone, staying): (Vec<_>, Vec<_>) = found.into_iter().partition(goes);
        *text = rest;
        let oddities = leftovers::oddities(&file.path, text).map_err(refused)?;
        tidied.oddities.extend(oddities);
        tidied.gone.extend(gone);
        tidied.staying.extend(staying);
    }
    Ok(tidied)
}

/// Whether a table that a distribution wrote comes from one in its template.
fn is_of(left: &Leftover, gone: &Leftover, layout: &Layout) -> bool {
    matches!(layout, Layout::Template(template) if *template == gone.file)
        && (&left.handler, &left.program) == (&gone.handler, &gone.program)
}

/// Refuses a handler that a distribution will go on to give to another installer's shim.
pub(super) fn refuse_staying(
    tidied: &Tidied,
    wish: Leftovers,
    handlers: &[Handler],
) -> Result<(), Failure> {
    if wish == Leftovers::Keep {
        // Then consent is what is missing, and the plan says so.
        return Ok(());
    }
    let is_asked = |left: &&Leftover| handlers.iter().any(|ours| ours.name == left.handler);
    match tidied.staying.iter().find(is_asked) {
        None => Ok(()),
        Some(left) => Err(Failure::refused(&PlanError::LeftInGenerated {
            handler: left.handler.clone(),
            path: left.file.clone(),
            owner: left.owner,
            program: left.program.clone(),
        })),
    }
}
