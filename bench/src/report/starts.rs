//! How fast pods come and go.

use super::{Section, nothing, ratio};
use crate::results::{Batches, Results, Step};
use crate::statistics::{Summary, median};
use crate::subject::BASELINE;
use crate::table::Table;

pub(super) fn one_at_a_time(results: &Results) -> Section {
    let mut table = Table::new(&[
        "pod",
        "sandbox",
        "create + start",
        "÷ crun",
        "first output",
        "p10–p90",
        "÷ crun (halves)",
        "exit seen",
        "stop + remove",
        "÷ crun",
        "whole",
        "pods",
    ]);
    for starts in &results.starts {
        let milliseconds = |step| {
            starts
                .summary(step)
                .map_or_else(nothing, |s| format!("{:.1}", s.median))
        };
        let against = |step| results.ratio(&starts.subject, BASELINE, step);
        let short =
            |step| against(step).map_or_else(nothing, |ratio| format!("{:.2}", ratio.value));
        let range = |s: Summary| format!("{:.1}–{:.1}", s.p10, s.p90);
        table.row([
            starts.subject.clone(),
            milliseconds(Step::Sandbox),
            milliseconds(Step::CreateStart),
            short(Step::CreateStart),
            milliseconds(Step::FirstOutput),
            starts
                .summary(Step::FirstOutput)
                .map_or_else(nothing, range),
            ratio(against(Step::FirstOutput)),
            milliseconds(Step::Exit),
            milliseconds(Step::StopRemove),
            short(Step::StopRemove),
            milliseconds(Step::Whole),
            starts.lives.len().to_string(),
        ]);
    }
    Section {
        title: "Pods one at a time",
        text: vec![
            "Medians in milliseconds; first output and exit count from the call of RunPodSandbox."
                .to_owned(),
        ],
        table,
    }
}

pub(super) fn several_at_a_time(results: &Results) -> Section {
    let mut table = Table::new(&[
        "pod",
        "pods/s",
        "÷ crun (halves)",
        "first output, ms",
        "pods",
    ]);
    for batches in &results.batches {
        let outputs: Vec<f64> = batches
            .batches
            .iter()
            .flat_map(|batch| batch.first_output.clone())
            .collect();
        let cell =
            |number: Option<f64>| number.map_or_else(nothing, |number| format!("{number:.1}"));
        table.row([
            batches.subject.clone(),
            cell(median(&batches.rates())),
            ratio(results.rate_ratio(&batches.subject, BASELINE)),
            cell(median(&outputs)),
            batches
                .batches
                .iter()
                .map(|batch| batch.pods)
                .sum::<u32>()
                .to_string(),
        ]);
    }
    let at_once = results
        .batches
        .first()
        .map_or(0, |batches: &Batches| batches.at_once);
    Section {
        title: "Pods several at a time",
        text: vec![format!(
            "{at_once} at a time, whole lives; medians over batches."
        )],
        table,
    }
}
