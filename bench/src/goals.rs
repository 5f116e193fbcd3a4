//! What is aimed at, and what a run has reached. Where it can be it is a ratio, which holds on other machines too; what a worker
//! takes by itself is in KiB and milliseconds.

use serde::{Deserialize, Serialize};

use crate::alone::Alone;
use crate::http::{Http, NATIVE, OURS, REUSING, Served, WASMTIME};
use crate::results::{Results, Step};
use crate::statistics::median;
use crate::subject::{
    BASELINE, HELLO, HTTP, PAUSELESS_HELLO, PAUSELESS_PYTHON, PYTHON_COMMAND, PYTHONS, Subject,
};

/// The name of the process that a container is.
const WORKER: &str = "slipway-worker";

/// Pods that are kept while memory is compared.
const PODS: u32 = 100;

/// Something that is aimed at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Goal {
    /// What.
    pub(crate) what: String,
    /// Whether it must be at most or at least this.
    pub(crate) bound: Bound,
    /// What was measured, if it was.
    pub(crate) reached: Option<f64>,
}

/// A bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Goal {
    /// Whether it is met, if it was measured.
    pub(crate) fn met(&self) -> Option<bool> {
        let reached = self.reached?;
        Some(match self.bound {
            Bound::AtMost(most) => reached <= most,
            Bound::AtLeast(least) => reached >= least,
        })
    }
}

fn at_most(most: f64, what: impl Into<String>, reached: Option<f64>) -> Goal {
    Goal {
        what: what.into(),
        bound: Bound::AtMost(most),
        reached,
    }
}

fn at_least(least: f64, what: impl Into<String>, reached: Option<f64>) -> Goal {
    Goal {
        what: what.into(),
        bound: Bound::AtLeast(least),
        reached,
    }
}

/// Compares a run with everything that is aimed at.
pub(crate) fn judge(results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (sandboxer, subject, [first, start, stop, rate, memory]) in [
        ("podsandbox", HELLO, [0.55, 0.50, 0.58, 2.0, 0.16]),
        ("shim", PAUSELESS_HELLO, [0.48, 0.45, 0.54, 2.3, 0.14]),
    ] {
        let ratio = |step| Some(results.ratio(subject.name, BASELINE, step)?.value);
        let what = |text: &str| format!("{text} ÷ crun, sandboxer {sandboxer}");
        goals.extend([
            at_most(first, what("first output"), ratio(Step::FirstOutput)),
            at_most(start, what("create + start"), ratio(Step::CreateStart)),
            at_most(stop, what("stop + remove"), ratio(Step::StopRemove)),
            at_least(
                rate,
                what("pods a second, several at a time"),
                results
                    .rate_ratio(subject.name, BASELINE)
                    .map(|ratio| ratio.value),
            ),
            at_most(
                memory,
                what("PSS of a pod, 100 kept"),
                memory_ratio(results, &subject),
            ),
        ]);
    }
    for (subject, most) in [(HELLO, 250.0), (HTTP, 400.0)] {
        let what = format!("private memory of a worker, KiB: {}", subject.name);
        goals.push(at_most(most, what, worker(results, &subject, PODS)));
    }
    let median_of = |samples: fn(&Alone) -> &Vec<f64>| median(samples(results.alone.as_ref()?));
    goals.extend([
        at_most(
            1.5,
            "a worker alone, from its spawn to its first output, ms",
            median_of(|alone| &alone.first_output),
        ),
        at_most(
            2.0,
            "a worker alone, from its spawn until it listens, ms",
            median_of(|alone| &alone.listening),
        ),
    ]);
    let http = results.http.as_ref();
    goals.push(at_most(
        800.0,
        "private memory of a server's worker after 100,000 requests, KiB",
        http.map(|http| http.worker_used),
    ));
    for (python, hello) in [(PYTHON_COMMAND, HELLO), (PAUSELESS_PYTHON, PAUSELESS_HELLO)] {
        let ratio = results.ratio(python.name, hello.name, Step::FirstOutput);
        goals.push(at_most(
            1.4,
            format!("first output, {} ÷ {}", python.name, hello.name),
            ratio.map(|ratio| ratio.value),
        ));
    }
    goals.push(at_most(
        4096.0,
        "private memory of a pod with the interpreter, 20 kept, KiB",
        results
            .kept(PYTHON_COMMAND.name, PYTHONS)
            .map(|kept| kept.pod.uss),
    ));
    goals.extend(requests(http));
    goals.push(at_most(
        0.0,
        "kinds of things that grow while pods come and go",
        results
            .churn
            .as_ref()
            .map(|churn| churn.grown().len() as f64),
    ));
    goals
}

fn memory_ratio(results: &Results, subject: &Subject) -> Option<f64> {
    let pss = |name| Some(results.kept(name, PODS)?.pod.pss);
    Some(pss(subject.name)? / pss(BASELINE)?)
}

fn worker(results: &Results, subject: &Subject, pods: u32) -> Option<f64> {
    let kept = results.kept(subject.name, pods)?;
    let worker = kept.processes.iter().find(|group| group.name == WORKER)?;
    Some(worker.each.uss)
}

fn requests(http: Option<&Http>) -> [Goal; 4] {
    const AT: usize = 16;
    let of = |server, figure: fn(&Served) -> &Vec<f64>| http?.served(server, AT)?.of(figure);
    let ratio = |a, b, figure| Some(of(a, figure)? / of(b, figure)?);
    [
        at_least(
            0.55,
            "requests a second ÷ native hyper, 16 connections",
            ratio(OURS, NATIVE, |served| &served.rates),
        ),
        at_least(
            2.0,
            "requests a second ÷ wasmtime serve, 16 connections",
            ratio(OURS, WASMTIME, |served| &served.rates),
        ),
        at_least(
            0.70,
            "requests a second with reuse ÷ native hyper, 16 connections",
            ratio(REUSING, NATIVE, |served| &served.rates),
        ),
        at_most(
            1.0,
            "p99 ÷ wasmtime serve's, 16 connections",
            ratio(OURS, WASMTIME, |served| &served.p99),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_or_missed_or_neither() {
        let most = |reached| at_most(0.5, "x", reached).met();
        let least = |reached| at_least(0.5, "x", reached).met();
        assert_eq!(
            [most(Some(0.5)), most(Some(0.6)), most(None)],
            [Some(true), Some(false), None]
        );
        assert_eq!(
            [least(Some(0.5)), least(Some(0.4))],
            [Some(true), Some(false)]
        );
    }

    #[test]
    fn nothing_measured_judges_nothing() {
        let goals = judge(&Results::default());
        assert!(goals.iter().all(|goal| goal.met().is_none()), "{goals:?}");
    }
}
