//! Numbers about numbers.

use serde::{Deserialize, Serialize};

/// What a set of samples is like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How many there are.
    pub(crate) count: usize,
    /// Half are below.
    pub(crate) median: f64,
    /// A tenth is below.
    pub(crate) p10: f64,
    /// A tenth is above.
    pub(crate) p90: f64,
}

impl Summary {
    /// Of samples in any order; nothing of none.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            count: sorted.len(),
            median: quantile(&sorted, 0.5)?,
            p10: quantile(&sorted, 0.1)?,
            p90: quantile(&sorted, 0.9)?,
        })
    }
}

/// A quantile of sorted samples, between neighbours if it falls there.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = part * last as f64;
    let below = at.floor() as usize;
    let [low, high] = [below, (below + 1).min(last)].map(|index| sorted[index]);
    Some(low + (high - low) * (at - at.floor()))
}

/// The median of samples in any order.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    Summary::of(samples).map(|summary| summary.median)
}

/// One thing against another, and how far to trust it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// The medians' ratio.
    pub(crate) value: f64,
    /// The same in the first half of the run.
    pub(crate) first_half: f64,
    /// And in the second.
    pub(crate) second_half: f64,
}

impl Ratio {
    /// Of samples in the order in which they were taken, each with its own neighbour in time.
    pub(crate) fn of(samples: &[f64], baseline: &[f64]) -> Option<Self> {
        let ratio = |a: &[f64], b: &[f64]| Some(median(a)? / median(b).filter(|b| *b > 0.0)?);
        let (a, b) = (halves(samples), halves(baseline));
        let value = ratio(samples, baseline)?;
        Some(Self {
            value,
            // A single sample has no halves.
            first_half: ratio(a.0, b.0).unwrap_or(value),
            second_half: ratio(a.1, b.1).unwrap_or(value),
        })
    }
}

/// The first and the second half.
pub(crate) fn halves(samples: &[f64]) -> (&[f64], &[f64]) {
    samples.split_at(samples.len() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let samples: Vec<f64> = (0..=10).rev().map(f64::from).collect();
        let summary = Summary::of(&samples).unwrap();
        assert_eq!((summary.p10, summary.median, summary.p90), (1.0, 5.0, 9.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_ratio_tells_its_halves() {
        let ratio = Ratio::of(&[1.0, 1.0, 3.0, 3.0], &[2.0, 2.0, 2.0, 2.0]).unwrap();
        assert_eq!((ratio.first_half, ratio.second_half), (0.5, 1.5));
        assert_eq!(ratio.value, 1.0);
        let one = Ratio::of(&[1.0], &[4.0]).unwrap();
        assert_eq!((one.first_half, one.value), (0.25, 0.25));
        assert_eq!(Ratio::of(&[1.0], &[0.0]), None);
        assert_eq!(Ratio::of(&[], &[1.0]), None);
    }
}
