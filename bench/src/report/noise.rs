//! What was measured where, and how far to trust it.

use super::Section;
use crate::results::{Results, Step};
use crate::statistics::{halves, median};
use crate::subject::BASELINE;
use crate::table::Table;

/// A machine is quiet that others use less than this, and on which the baseline moves less than this.
const QUIET: f64 = 0.05;

pub(super) fn section(results: &Results) -> Section {
    let machine = &results.machine;
    let cgroups = if machine.cgroup_v2 { "v2" } else { "v1" };
    let mut text = vec![
        format!("{}.", results.about),
        format!(
            "{} processors ({}), kernel {}, cgroup {cgroups}, containerd {}; no kubelet, no other pods.",
            machine.processors, machine.processor, machine.kernel, machine.containerd
        ),
    ];
    text.extend(noise(results));
    Section {
        title: "The run",
        text,
        table: Table::default(),
    }
}

/// How noisy the run was.
fn noise(results: &Results) -> Vec<String> {
    let machine = &results.machine;
    let mut text = vec![format!(
        "Noise: before the run, others used {:.0} % of the processors (load average {:.1}).",
        machine.busy * 100.0,
        machine.load
    )];
    let mut quiet = machine.busy < QUIET;
    if let Some(starts) = results.starts(BASELINE) {
        let samples = starts.samples(Step::FirstOutput);
        let (first, second) = halves(&samples);
        if let (Some(first), Some(second), Some(all)) = (
            median(first),
            median(second),
            starts.summary(Step::FirstOutput),
        ) {
            let moved = second / first - 1.0;
            let spread = (all.p90 - all.p10) / all.median;
            quiet &= moved.abs() < QUIET;
            text.push(format!(
                "The baseline's first output moved by {:+.0} % from the first half of the run to the second; between its p10 and \
                 its p90 lie {:.0} % of its median.",
                moved * 100.0,
                spread * 100.0
            ));
        }
    }
    let failed: usize = results
        .starts
        .iter()
        .map(|starts| starts.failed.len())
        .sum();
    if failed > 0 {
        text.push(format!("{failed} pods failed and are left out."));
    }
    let verdict = if quiet {
        "A quiet run."
    } else {
        "**A noisy run**: trust ratios, and those only whose halves agree."
    };
    text.push(verdict.to_owned());
    text
}
