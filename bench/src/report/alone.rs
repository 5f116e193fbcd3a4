//! What a worker takes without a pod.

use super::Section;
use crate::alone::Alone;
use crate::statistics::Summary;
use crate::table::Table;

pub(super) fn section(alone: &Alone) -> Section {
    let mut table = Table::new(&["from its spawn to", "median, ms", "p10–p90", "workers"]);
    for (what, samples) in [
        ("hello's first output", &alone.first_output),
        ("http listening", &alone.listening),
    ] {
        if let Some(summary) = Summary::of(samples) {
            table.row([
                what.to_owned(),
                format!("{:.2}", summary.median),
                format!("{:.2}–{:.2}", summary.p10, summary.p90),
                summary.count.to_string(),
            ]);
        }
    }
    Section {
        title: "A worker alone",
        text: vec!["On the node, without containerd, pod and cgroup.".to_owned()],
        table,
    }
}
