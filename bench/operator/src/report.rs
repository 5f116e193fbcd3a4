//! What a run has found, for who reads it.

use anyhow::Result;
use slipway_bench::markdown;
use slipway_bench::table::Table;

use crate::results::{Part, Results, What};

/// The name of the block, and of the recipe that writes it.
const BLOCK: &str = "bench-operator";

/// For a terminal.
pub(crate) fn text(results: &Results) -> String {
    let said = said(results).join("\n  ");
    let parts = parts(results).text();
    format!("\n  {said}\n\n{parts}\n{}", kinds(results).text())
}

/// The page with another block.
pub(crate) fn replace(page: &str, results: &Results) -> Result<String> {
    let said = said(results).join("\n");
    let parts = parts(results).markdown();
    let block = format!("{said}\n\n{parts}\n{}", kinds(results).markdown());
    markdown::replace_block(page, BLOCK, &block)
}

fn said(results: &Results) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{}: {} nodes, at most {} at a time, Kubernetes {}.",
            results.about, results.nodes, results.at_once, results.kubernetes
        ),
        format!(
            "Operator, API server, etcd and what plays the nodes share {} processors.",
            results.processors
        ),
    ];
    let rest = results.parts.iter().find(|part| part.what == What::Rest);
    lines.extend(rest.map(|part| {
        let minutes = part.seconds / 60.0;
        let all: u64 = part.requests.iter().map(|kind| kind.count).sum();
        format!(
            "At rest: {:.1} requests a minute besides {:.0} for the Lease, {:.1} % of a processor.",
            part.count() as f64 / minutes,
            (all - part.count()) as f64 / minutes,
            100.0 * part.cpu_seconds / part.seconds
        )
    }));
    lines
}

const fn name(what: What) -> &'static str {
    match what {
        What::Install => "every node gets a shim and is proven",
        What::Rest => "rest",
        What::Restart => "the operator is killed and starts again",
        What::Prove => "another canary on every node",
        What::Remove => "every node is cleaned",
    }
}

fn parts(results: &Results) -> Table {
    let mut table = Table::new(&[
        "",
        "s",
        "requests",
        "a node",
        "changes a node",
        "failed",
        "CPU s",
        "memory, MiB",
        "most, MiB",
    ]);
    let nodes = f64::from(results.nodes.max(1));
    let mib = |kib: u64| format!("{:.0}", kib as f64 / 1024.0);
    for part in &results.parts {
        table.row([
            name(part.what).to_owned(),
            format!("{:.1}", part.seconds),
            part.count().to_string(),
            format!("{:.2}", part.count() as f64 / nodes),
            format!("{:.2}", part.writes() as f64 / nodes),
            part.failed().to_string(),
            format!("{:.1}", part.cpu_seconds),
            mib(part.resident_kib),
            mib(part.peak_kib),
        ]);
    }
    table
}

/// What is asked for, for each node.
fn kinds(results: &Results) -> Table {
    let of = |what: What| results.parts.iter().find(move |part| part.what == what);
    let columns = [What::Install, What::Prove, What::Remove].map(of);
    let mut table = Table::new(&["requests a node", "install", "canary", "remove"]);
    let mut kinds: Vec<(&str, &str)> = columns
        .iter()
        .flatten()
        .flat_map(|part| part.own())
        .map(|kind| (&*kind.resource, &*kind.verb))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    for (resource, verb) in kinds {
        let count = |part: &Option<&Part>| {
            let mut own = part.iter().flat_map(|part| part.own());
            let found = own.find(|kind| kind.resource == resource && kind.verb == verb);
            let count = found.map_or(0, |kind| kind.count);
            format!("{:.2}", count as f64 / f64::from(results.nodes.max(1)))
        };
        let cells = columns.each_ref().map(count);
        table.row([format!("{verb} {resource}")].into_iter().chain(cells));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Requests;

    fn part(what: What, seconds: f64, kinds: &[(&str, &str, u64)]) -> Part {
        let request = |(verb, resource, count): &(&str, &str, u64)| Requests {
            verb: (*verb).into(),
            resource: (*resource).into(),
            count: *count,
            failed: u64::from(*resource == "nodeshims/status"),
        };
        Part {
            what,
            seconds,
            requests: kinds.iter().map(request).collect(),
            cpu_seconds: seconds / 10.0,
            peak_kib: 40 * 1024,
            resident_kib: 30 * 1024,
        }
    }

    #[test]
    fn a_run_is_shown() {
        let results = Results {
            about: "Measured on a day".into(),
            nodes: 100,
            at_once: 10,
            processors: 2,
            kubernetes: "v1.36.3".into(),
            parts: vec![
                part(
                    What::Install,
                    20.0,
                    &[
                        ("create", "jobs", 100),
                        ("list", "pods", 1),
                        ("update", "leases", 10),
                        ("update", "nodeshims/status", 450),
                    ],
                ),
                part(
                    What::Rest,
                    120.0,
                    &[("list", "pods", 3), ("get", "leases", 60)],
                ),
                part(
                    What::Remove,
                    10.0,
                    &[("delete", "jobs", 100), ("list", "pods", 100)],
                ),
            ],
        };
        insta::assert_snapshot!(text(&results));
        let page = "# T\n\n<!-- bench-operator: written by ./just bench-operator --markdown -->\nold\n<!-- bench-operator: end -->\n";
        let page = replace(page, &results).unwrap();
        assert!(
            page.contains("| list pods | 0.01 | 0.00 | 1.00 |"),
            "{page}"
        );
    }
}
