//! Pods of all kinds in turns, so that what the machine does meanwhile meets all of them alike.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use slipway_e2e_cri::grpc::Connection;

use crate::life::{self, Life};
use crate::results::{Batches, Starts, Step};
use crate::session::Session;
use crate::subject::{AT_ONCE, STARTED, Subject};
use crate::{cache, say};

/// Pods in a batch.
const BATCH: u32 = 24;

/// Pods that may fail, of a kind, before it is no use to go on.
const MOST_FAILED: usize = 3;

/// Pods that were started several at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// How many.
    pub(crate) pods: u32,
    /// From the first call to the last answer, removal included.
    pub(crate) seconds: f64,
    /// Each pod's time to its first output, in milliseconds.
    pub(crate) first_output: Vec<f64>,
}

impl Batch {
    /// Pods a second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.pods) / self.seconds
    }
}

/// One pod, with or without compiled code.
fn one(session: &Session, connection: &mut Connection, subject: &Subject) -> Result<Life> {
    let mut live = || life::live(&session.node, &session.exits, connection, subject);
    match subject.cold {
        Some(_) => cache::without(&session.args.cache, live),
        None => live(),
    }
}

/// Each kind once, which nobody measures: it fills the caches of the node, and shows that everything works.
///
/// # Errors
/// The first that fails.
pub(crate) fn warm_up(session: &Session) -> Result<()> {
    let mut connection = session.node.runtime.connection()?;
    for subject in session.there(STARTED) {
        one(session, &mut connection, &subject)
            .with_context(|| format!("the first pod of {}", subject.name))?;
    }
    Ok(())
}

/// Pods one at a time.
///
/// # Errors
/// When pods of a kind keep failing.
pub(crate) fn one_at_a_time(session: &Session) -> Result<Vec<Starts>> {
    let subjects = session.there(STARTED);
    let mut connection = session.node.runtime.connection()?;
    let mut all: Vec<Starts> = subjects
        .iter()
        .map(|subject| Starts {
            subject: subject.name.to_owned(),
            failed: Vec::new(),
            lives: Vec::new(),
        })
        .collect();
    let rounds = session.args.rounds;
    for round in 0..rounds {
        for turn in turns(subjects.len(), round) {
            let (subject, starts) = (&subjects[turn], &mut all[turn]);
            if subject.cold.is_some_and(|most| round >= most) {
                continue;
            }
            match one(session, &mut connection, subject) {
                Ok(life) => starts.lives.push(life),
                Err(error) => {
                    say(&format!("    a pod of {} failed: {error:#}", subject.name));
                    starts.failed.push(format!("{error:#}"));
                    session.node.sweep(&[])?;
                    if starts.failed.len() > MOST_FAILED {
                        bail!("pods of {} keep failing: {error:#}", subject.name);
                    }
                }
            }
        }
        if (round + 1) % 5 == 0 || round + 1 == rounds {
            say(&progress(round + 1, rounds, &all));
        }
    }
    Ok(all)
}

/// Whose turn it is in a round: everybody's once, and everybody is first equally often.
fn turns(subjects: usize, round: u32) -> impl Iterator<Item = usize> {
    let first = usize::try_from(round).unwrap_or_default();
    (0..subjects).map(move |turn| (turn + first) % subjects)
}

fn progress(round: u32, rounds: u32, all: &[Starts]) -> String {
    let firsts = all.iter().take(4).filter_map(|starts| {
        let median = starts.summary(Step::FirstOutput)?.median;
        Some(format!("{} {median:.0}", starts.subject))
    });
    let firsts: Vec<String> = firsts.collect();
    format!(
        "    round {round} of {rounds}: first output in ms: {}",
        firsts.join(", ")
    )
}

/// Pods several at a time.
///
/// # Errors
/// When a pod fails.
pub(crate) fn several_at_a_time(session: &Session) -> Result<Vec<Batches>> {
    let subjects = session.there(AT_ONCE);
    let mut all: Vec<Batches> = subjects
        .iter()
        .map(|subject| Batches {
            subject: subject.name.to_owned(),
            at_once: session.args.at_once,
            batches: Vec::new(),
        })
        .collect();
    for round in 0..session.args.batches {
        for turn in turns(subjects.len(), round) {
            let batch = batch(session, &subjects[turn])
                .with_context(|| format!("{} at once", subjects[turn].name))?;
            say(&format!(
                "    {} of {}: {:<20} {:.1} pods/s",
                round + 1,
                session.args.batches,
                subjects[turn].name,
                batch.rate()
            ));
            all[turn].batches.push(batch);
        }
    }
    Ok(all)
}

fn batch(session: &Session, subject: &Subject) -> Result<Batch> {
    let begun = Instant::now();
    let lives = hands(session, BATCH, |connection, _| {
        one(session, connection, subject)
    })?;
    Ok(Batch {
        pods: BATCH,
        seconds: begun.elapsed().as_secs_f64(),
        first_output: lives.iter().map(|life| life.first_output).collect(),
    })
}

/// Does something so many times, with as many hands as pods are wanted at once, each with a connection of its own.
///
/// # Errors
/// The first that fails; others are not begun then.
pub(crate) fn hands<T: Send>(
    session: &Session,
    times: u32,
    work: impl Fn(&mut Connection, u32) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..session.args.at_once.max(1))
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = session.node.runtime.connection()?;
                    let mut done = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= times {
                            return Ok(done);
                        }
                        let result = work(&mut connection, number);
                        if result.is_err() {
                            next.store(times, Ordering::Relaxed);
                        }
                        done.push(result?);
                    }
                })
            })
            .collect();
        let mut all = Vec::new();
        let mut failed = None;
        for hand in hands {
            match hand.join() {
                Ok(Ok(done)) => all.extend(done),
                Ok(Err(error)) => failed = failed.or(Some(error)),
                Err(_) => failed = failed.or(Some(anyhow!("a thread panicked"))),
            }
        }
        failed.map_or(Ok(all), Err)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_first_in_turn() {
        let orders: Vec<Vec<usize>> = (0..4).map(|round| turns(3, round).collect()).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }

    #[test]
    fn a_batch_has_a_rate() {
        let batch = Batch {
            pods: 24,
            seconds: 2.0,
            first_output: Vec::new(),
        };
        assert_eq!(batch.rate(), 12.0);
    }
}
