//! What kept pods take.

use super::{Section, nothing};
use crate::results::Results;
use crate::subject::BASELINE;
use crate::table::Table;

pub(super) fn pods(results: &Results) -> Section {
    let mut table = Table::new(&[
        "pod",
        "kept",
        "PSS",
        "÷ crun",
        "USS",
        "charged",
        "of it the kernel's",
    ]);
    let cell = |number: Option<f64>| number.map_or_else(nothing, |number| format!("{number:.0}"));
    for kept in &results.memory {
        let baseline = results.kept(BASELINE, kept.pods);
        table.row([
            kept.subject.clone(),
            kept.pods.to_string(),
            cell(Some(kept.pod.pss)),
            baseline.map_or_else(nothing, |baseline| {
                format!("{:.2}", kept.pod.pss / baseline.pod.pss)
            }),
            cell(Some(kept.pod.uss)),
            cell(kept.charged),
            cell(kept.charged_kernel),
        ]);
    }
    Section {
        title: "Pods that are kept",
        text: vec!["KiB a pod: all of its processes, and what the cgroup above all pods is charged, divided by their number.".to_owned()],
        table,
    }
}

pub(super) fn processes(results: &Results) -> Section {
    let mut table = Table::new(&["pod", "kept", "process", "a pod", "PSS", "USS"]);
    for kept in &results.memory {
        for group in &kept.processes {
            table.row([
                kept.subject.clone(),
                kept.pods.to_string(),
                group.name.clone(),
                format!("{:.1}", group.a_pod),
                format!("{:.0}", group.each.pss),
                format!("{:.0}", group.each.uss),
            ]);
        }
    }
    Section {
        title: "Their processes",
        text: vec!["KiB each.".to_owned()],
        table,
    }
}
