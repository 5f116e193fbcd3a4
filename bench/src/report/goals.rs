//! What was aimed at.

use super::{Section, nothing};
use crate::goals::{Bound, Goal};
use crate::results::Results;
use crate::table::Table;

pub(super) fn section(results: &Results) -> Section {
    let mut table = Table::new(&["goal", "bound", "measured", ""]);
    let measured = results.goals.iter().filter(|goal| goal.met().is_some());
    let met = measured
        .clone()
        .filter(|goal| goal.met() == Some(true))
        .count();
    for goal in &results.goals {
        let bound = match goal.bound {
            Bound::AtMost(most) => format!("≤ {}", number(goal, most)),
            Bound::AtLeast(least) => format!("≥ {}", number(goal, least)),
        };
        let verdict = match goal.met() {
            Some(true) => "met",
            Some(false) => "missed",
            None => "not measured",
        };
        table.row([
            goal.what.clone(),
            bound,
            goal.reached
                .map_or_else(nothing, |reached| number(goal, reached)),
            verdict.to_owned(),
        ]);
    }
    Section {
        title: "Goals",
        text: vec![format!(
            "{met} of {} that were measured are met.",
            measured.count()
        )],
        table,
    }
}

/// With as many digits as say something: ratios have two, KiB and counts none.
fn number(goal: &Goal, number: f64) -> String {
    match goal.bound {
        Bound::AtMost(bound) | Bound::AtLeast(bound) if bound > 0.0 && bound < 10.0 => {
            format!("{number:.2}")
        }
        _ => format!("{number:.0}"),
    }
}
