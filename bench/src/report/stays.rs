//! What stays behind.

use super::Section;
use crate::churn::Churn;
use crate::table::Table;

pub(super) fn section(churn: &Churn) -> Section {
    let mut table = Table::new(&["on the node", "before", "after", "more"]);
    for (name, (before, after)) in &churn.things {
        table.row([
            name.clone(),
            before.to_string(),
            after.to_string(),
            after.saturating_sub(*before).to_string(),
        ]);
    }
    let mib: Vec<String> = churn
        .containerd
        .iter()
        .map(|kib| format!("{:.1}", kib / 1024.0))
        .collect();
    Section {
        title: "Pods that come and go",
        text: vec![
            format!(
                "{} pods at {:.1} a second, after {} that are not counted.",
                churn.pods, churn.rate, churn.before
            ),
            format!(
                "containerd's resident memory along the way, in MiB: {}.",
                mib.join(", ")
            ),
        ],
        table,
    }
}
