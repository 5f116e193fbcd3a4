//! A run on a node, from the first look to the last.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use slipway_e2e_cri::node::Node;

use crate::args::{Part, Run};
use crate::exits::Exits;
use crate::results::Results;
use crate::subject::{HELLO, Subject};
use crate::{alone, churn, goals, http, machine, memory, rounds, say};

/// What every part of a run needs.
#[derive(Debug)]
pub(crate) struct Session {
    /// The node.
    pub(crate) node: Node,
    /// Which containers have ended.
    pub(crate) exits: Arc<Exits>,
    /// What was asked for.
    pub(crate) args: Run,
    /// The files in the image.
    pub(crate) guests: Vec<String>,
}

impl Session {
    fn open(args: Run) -> Result<Self> {
        let [socket, scratch] =
            [&args.socket, &args.scratch].map(|path| path.display().to_string());
        let options = [
            "slipway-bench",
            "--socket",
            &socket,
            "--image",
            &args.image,
            "--scratch",
            &scratch,
            "--handler",
            HELLO.handler,
        ];
        let node = Node::new(slipway_e2e_cri::args::Args::try_parse_from(options)?)?;
        // What a run left that was interrupted.
        node.sweep(&[]).context("pods of an earlier run")?;
        let exits = Exits::follow(&node.runtime)?;
        let mut session = Self {
            node,
            exits,
            args,
            guests: Vec::new(),
        };
        session.guests = session.files()?;
        Ok(session)
    }

    /// What is in the image, as its own guest tells it.
    fn files(&self) -> Result<Vec<String>> {
        let pod = self.node.pod_of(HELLO.handler, |_| {})?;
        let container = pod.run(HELLO.guest, &["list"])?;
        container.ends_with(0)?;
        let lines = container.lines()?;
        pod.remove()?;
        Ok(lines.into_iter().map(|line| line.text).collect())
    }

    /// The kinds of pods that are asked for and whose guests are there.
    pub(crate) fn there(&self, subjects: &[Subject]) -> Vec<Subject> {
        let there = |subject: &&Subject| {
            self.args.wants_kind(subject.name)
                && self.guests.iter().any(|guest| guest == subject.guest)
        };
        subjects.iter().filter(there).copied().collect()
    }
}

/// Measures what the arguments ask for.
///
/// # Errors
/// When the node is not as it should be, or pods keep failing.
pub(crate) fn measure(args: Run) -> Result<Results> {
    say("looking at the machine");
    let session = Session::open(args)?;
    let result = parts(&session);
    // Best effort after an error, which says more than this would.
    let swept = session.node.sweep(&[]);
    let results = result?;
    swept?;
    Ok(results)
}

fn parts(session: &Session) -> Result<Results> {
    let args = &session.args;
    let mut results = Results {
        about: args.about.clone(),
        machine: machine::look(&session.node.version, session.node.is_cgroup_v2())?,
        ..Results::default()
    };
    say("a first pod of each kind");
    rounds::warm_up(session)?;
    if args.wants(Part::Start) {
        say("pods one at a time");
        results.starts = rounds::one_at_a_time(session)?;
        say(&format!("pods {} at a time", args.at_once));
        results.batches = rounds::several_at_a_time(session)?;
    }
    if args.wants(Part::Memory) {
        say("pods that are kept");
        results.memory = memory::measure(session)?;
    }
    if let Some(folder) = args.alone.as_deref().filter(|_| args.wants(Part::Worker)) {
        say("workers without a pod");
        match alone::measure(folder, args.rounds) {
            Ok(alone) => results.alone = Some(alone),
            Err(error) => say(&format!("    left out: {error:#}")),
        }
    }
    if args.wants(Part::Http) {
        say("requests");
        results.http = Some(http::measure(session)?);
    }
    if args.wants(Part::Churn) && args.churn > 0 {
        say(&format!("{} pods that come and go", args.churn));
        results.churn = Some(churn::measure(session)?);
    }
    results.goals = goals::judge(&results);
    Ok(results)
}
