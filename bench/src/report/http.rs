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
    let cell = |number: Option<f64>| number.map_or_else(nothing, |number| format!("{number:.0}"));
    for served in served {
        let rate = served.of(|served| &served.rates);
        let against = |server| {
            let other = http.served(server, served.connections)?;
            Some(rate? / other.of(|served| &served.rates)?)
        };
        let ratio = |server| against(server).map_or_else(nothing, |ratio| format!("{ratio:.2}"));
        table.row([
            served.server.clone(),
            served.connections.to_string(),
            cell(rate),
            ratio(NATIVE),
            ratio(WASMTIME),
            cell(served.of(|served| &served.rates_cpu)),
            cell(served.of(|served| &served.p50)),
            cell(served.of(|served| &served.p99)),
        ]);
    }
    Section {
        title: "Requests",
        text: vec![
            "Each server alone on one processor, with a limit of one; medians over rounds."
                .to_owned(),
            format!(
                "Our worker's private memory: {:.0} KiB when it listens, {:.0} KiB after 100,000 requests over 16 connections, {:.0} \
                 KiB three seconds later, {:.0} KiB three seconds after the end, after {} of them, some over 128.",
                http.worker_fresh,
                http.worker_used,
                http.worker_quiet,
                http.worker_last,
                http.requests
            ),
        ],
        table,
    }
}
