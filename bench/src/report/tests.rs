use super::*;
use crate::alone::Alone;
use crate::churn::Churn;
use crate::http::{Http, NATIVE, OURS, Served};
use crate::life::Life;
use crate::machine::Machine;
use crate::memory::{Group, Kept};
use crate::processes::Size;
use crate::results::{Batches, Starts};
use crate::rounds::Batch;
use crate::subject::{BASELINE, HELLO};

fn life(scale: f64) -> Life {
    Life {
        sandbox: 70.0 * scale,
        create: 6.0 * scale,
        start: 24.0 * scale,
        first_output: 110.0 * scale,
        exit: Some(112.0 * scale),
        stop: 60.0 * scale,
        remove: 45.0 * scale,
        whole: 220.0 * scale,
    }
}

fn starts(subject: &str, scale: f64) -> Starts {
    Starts {
        subject: subject.to_owned(),
        failed: Vec::new(),
        lives: vec![life(scale), life(scale * 1.02)],
    }
}

fn batches(subject: &str, seconds: f64) -> Batches {
    Batches {
        subject: subject.to_owned(),
        at_once: 4,
        batches: vec![Batch {
            pods: 24,
            seconds,
            first_output: vec![150.0],
        }],
    }
}

fn kept(subject: &str, process: &str, pss: f64) -> Kept {
    let size = Size {
        pss,
        uss: pss / 2.0,
    };
    Kept {
        subject: subject.to_owned(),
        pods: 100,
        pod: size,
        processes: vec![Group {
            name: process.to_owned(),
            a_pod: 1.0,
            each: size,
        }],
        charged: Some(900.0),
        charged_kernel: None,
    }
}

fn served(server: &str, rate: f64) -> Served {
    Served {
        server: server.to_owned(),
        connections: 16,
        rates: vec![rate],
        rates_cpu: vec![rate * 1.1],
        p50: vec![200.0],
        p99: vec![900.0],
    }
}

fn run() -> Results {
    let mut results = Results {
        about: "2026-11-21, commit abc".into(),
        machine: Machine {
            processor: "A processor".into(),
            processors: 2,
            kernel: "6.18".into(),
            cgroup_v2: false,
            containerd: "v2.4.2".into(),
            busy: 0.01,
            load: 0.2,
        },
        starts: vec![starts(BASELINE, 1.0), starts(HELLO.name, 0.5)],
        batches: vec![batches(BASELINE, 5.0), batches(HELLO.name, 2.4)],
        memory: vec![
            kept(BASELINE, "hello", 5000.0),
            kept(HELLO.name, "slipway-worker", 400.0),
        ],
        alone: Some(Alone {
            first_output: vec![0.7, 0.75, 0.9],
            listening: vec![1.9, 2.1, 2.2],
        }),
        http: Some(Http {
            served: vec![served(NATIVE, 80_000.0), served(OURS, 40_000.0)],
            worker_fresh: 300.0,
            worker_used: 600.0,
            worker_quiet: 400.0,
            worker_last: 1200.0,
            requests: 340_000,
        }),
        churn: Some(Churn {
            pods: 1000,
            before: 50,
            rate: 9.0,
            things: [("mounts".to_owned(), (20, 20))].into(),
            containerd: vec![51200.0, 52224.0],
        }),
        goals: Vec::new(),
    };
    results.goals = crate::goals::judge(&results);
    results
}

#[test]
fn a_run_is_shown_on_a_terminal() {
    insta::assert_snapshot!(text(&sections(&run())));
}

#[test]
fn a_run_is_shown_on_a_page() {
    insta::assert_snapshot!(markdown(&sections(&run())));
}

#[test]
fn results_are_read_as_they_were_written() {
    let written = serde_json::to_string(&run()).unwrap();
    let read: Results = serde_json::from_str(&written).unwrap();
    assert_eq!(sections(&read), sections(&run()));
}

#[test]
fn a_run_that_measured_nothing_is_shown_too() {
    let shown = text(&sections(&Results::default()));
    assert!(shown.contains("Goals"), "{shown}");
}
