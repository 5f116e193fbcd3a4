//! How many requests servers answer.

use super::{Section, nothing};
use crate::http::{Http, NATIVE, Served, WASMTIME};
use crate::table::Table;

pub(super) fn section(http: &Http) -> Section {
    let mut table = Table::new(&[
        "server",
        "connections",
        "requests/s",
        "÷ native",
        "÷ wasmtime",
        "requests/CPU s",
        "p50, µs",
        "p99, µs",
    ]);
    let mut served: Vec<&Served> = http.served.iter().collect();
    served.sort_by_key(|served| served.connections);
    for served in served {
        let rate = served.of(|served| &served.rates);
        let against = |server| {
            let other = http.served(server, served.connections);
            other.map_or_else(nothing, |other| {
                format!("{:.2}", rate / other.of(|served| &served.rates))
            })
        };
        table.row([
            served.server.clone(),
            served.connections.to_string(),
            format!("{rate:.0}"),
            against(NATIVE),
            against(WASMTIME),
            format!("{:.0}", served.of(|served| &served.rates_cpu)),
            format!("{:.0}", served.of(|served| &served.p50)),
            format!("{:.0}", served.of(|served| &served.p99)),
        ]);
    }
    Section {
        title: "Requests",
        text: vec![
            "Each server alone on one processor, with a limit of one; medians over rounds."
                .to_owned(),
            format!(
                "Our worker's private memory: {:.0} KiB when it listens, {:.0} KiB after {} requests.",
                http.worker_fresh, http.worker_used, http.requests
            ),
        ],
        table,
    }
}
