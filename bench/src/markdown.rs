//! The block of a page that a run writes.

use anyhow::{Context as _, Result, ensure};

/// The page with another block, which has the name of the recipe that writes it.
///
/// # Errors
/// When the page has no marks of that name, or more than one block.
pub fn replace_block(page: &str, recipe: &str, block: &str) -> Result<String> {
    let begin = format!("<!-- {recipe}: written by ./just {recipe} --markdown -->\n");
    let end = format!("<!-- {recipe}: end -->");
    let (before, rest) = page
        .split_once(&begin)
        .context("no mark for the begin of the block")?;
    let (_, after) = rest
        .split_once(&end)
        .context("no mark for the end of the block")?;
    ensure!(!after.contains(&begin), "more than one block");
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", block.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_block_changes_and_twice_is_once() {
        let begin = "<!-- bench: written by ./just bench --markdown -->\n";
        let end = "<!-- bench: end -->";
        let page = format!("# Title\n\n{begin}old\n{end}\n\nMore.\n");
        let once = replace_block(&page, "bench", "new\n").unwrap();
        assert_eq!(once, format!("# Title\n\n{begin}\nnew\n\n{end}\n\nMore.\n"));
        assert_eq!(replace_block(&once, "bench", "new\n").unwrap(), once);
        assert!(replace_block(&once, "bench-operator", "new").is_err());
    }
}
