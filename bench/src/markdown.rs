//! The block of a page that a run writes.

use anyhow::{Context as _, Result, ensure};

/// The line above the block.
const BEGIN: &str = "<!-- bench: written by ./just bench --markdown -->\n";
/// The line below it.
const END: &str = "<!-- bench: end -->";

/// The page with another block.
///
/// # Errors
/// When the page has no marks, or more than one block.
pub(crate) fn replace_block(page: &str, block: &str) -> Result<String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .context("no mark for the begin of the block")?;
    let (_, after) = rest
        .split_once(END)
        .context("no mark for the end of the block")?;
    ensure!(!after.contains(BEGIN), "more than one block");
    Ok(format!("{before}{BEGIN}\n{}\n\n{END}{after}", block.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_block_changes_and_twice_is_once() {
        let page = format!("# Title\n\n{BEGIN}old\n{END}\n\nMore.\n");
        let once = replace_block(&page, "new\n").unwrap();
        assert_eq!(once, format!("# Title\n\n{BEGIN}\nnew\n\n{END}\n\nMore.\n"));
        assert_eq!(replace_block(&once, "new\n").unwrap(), once);
        assert!(replace_block("# Title\n", "new").is_err());
    }
}
