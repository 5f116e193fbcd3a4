//! What a run has found, for who reads it: sections with a table each, on a terminal or in Markdown.

mod alone;
mod goals;
mod http;
mod memory;
mod noise;
mod starts;
mod stays;

use crate::results::Results;
use crate::statistics::Ratio;
use crate::table::Table;

/// A section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    /// Its title.
    pub(crate) title: &'static str,
    /// What is said before the table.
    pub(crate) text: Vec<String>,
    /// The table.
    pub(crate) table: Table,
}

/// Everything that was measured.
pub(crate) fn sections(results: &Results) -> Vec<Section> {
    let mut sections = vec![noise::section(results), goals::section(results)];
    if !results.starts.is_empty() {
        sections.push(starts::one_at_a_time(results));
        sections.push(starts::several_at_a_time(results));
    }
    if !results.memory.is_empty() {
        sections.push(memory::pods(results));
        sections.push(memory::processes(results));
    }
    sections.extend(results.alone.as_ref().map(alone::section));
    sections.extend(results.http.as_ref().map(http::section));
    sections.extend(results.churn.as_ref().map(stays::section));
    sections
}

/// For a terminal.
pub(crate) fn text(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        text.push_str(&format!("\n{}\n\n", section.title));
        for line in &section.text {
            text.push_str(&format!("  {line}\n"));
        }
        if !section.text.is_empty() && !section.table.rows.is_empty() {
            text.push('\n');
        }
        if !section.table.rows.is_empty() {
            text.push_str(&section.table.text());
        }
    }
    text
}

/// For a page.
pub(crate) fn markdown(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        text.push_str(&format!("### {}\n\n", section.title));
        if !section.text.is_empty() {
            text.push_str(&format!("{}\n\n", section.text.join("\n")));
        }
        if !section.table.rows.is_empty() {
            text.push_str(&format!("{}\n", section.table.markdown()));
        }
    }
    text
}

/// A ratio with its halves: `0.52 (0.51, 0.55)`.
fn ratio(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(nothing, |ratio| {
        format!(
            "{:.2} ({:.2}, {:.2})",
            ratio.value, ratio.first_half, ratio.second_half
        )
    })
}

/// What stands where nothing was measured.
fn nothing() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests;
