//! Tables, for eyes and for Markdown.

/// A table; its first column is text, the others are numbers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Table {
    /// What the columns are.
    pub head: Vec<String>,
    /// What is in them.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one.
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&cell| cell.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// One more row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![0; self.head.len()];
        for row in self.rows.iter().chain([&self.head]) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }

    /// Aligned, with a rule below the head.
    #[must_use]
    pub fn text(&self) -> String {
        let widths = self.widths();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            let cells: Vec<String> = cells.collect();
            format!("  {}\n", cells.join("  ").trim_end())
        };
        let rule: usize = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        let mut text = line(&self.head);
        text.push_str(&format!("  {}\n", "─".repeat(rule)));
        text.extend(self.rows.iter().map(line));
        text
    }

    /// As Markdown has it.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |row: &Vec<String>| format!("| {} |\n", row.join(" | "));
        let mut text = line(&self.head);
        let rules = (0..self.head.len()).map(|column| if column == 0 { "---" } else { "---:" });
        text.push_str(&line(&rules.map(str::to_owned).collect()));
        text.extend(self.rows.iter().map(line));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_below_each_other() {
        let mut table = Table::new(&["kind", "ms", "÷"]);
        table.row(["crun".into(), "111.4".into(), "1".into()]);
        table.row(["slipway".into(), "9".into(), "0.08".into()]);
        assert_eq!(
            table.text(),
            "  kind        ms     ÷\n  ────────────────────\n  crun     111.4     1\n  slipway      9  0.08\n"
        );
        assert_eq!(
            table.markdown(),
            "| kind | ms | ÷ |\n| --- | ---: | ---: |\n| crun | 111.4 | 1 |\n| slipway | 9 | 0.08 |\n"
        );
    }
}
