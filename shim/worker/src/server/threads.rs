//! How many threads a server has.

/// Without a processor limit: more cost memory in every pod that is idle, and a server that needs them says so
/// by a limit.
const UNLIMITED: usize = 2;

/// As many as the limit lets run at once, and no more than there are processors.
pub(super) fn count(milli_cpus: Option<u64>, processors: usize) -> usize {
    let wanted = match milli_cpus {
        None => UNLIMITED,
        Some(limit) => usize::try_from(limit.div_ceil(1000)).unwrap_or(usize::MAX),
    };
    wanted.clamp(1, processors.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_says_how_many() {
        for (limit, processors, threads) in [
            (Some(100), 8, 1),
            (Some(1000), 8, 1),
            (Some(1001), 8, 2),
            (Some(4000), 8, 4),
            (Some(64_000), 8, 8),
            (None, 8, 2),
            (None, 1, 1),
            (Some(0), 0, 1),
        ] {
            assert_eq!(
                count(limit, processors),
                threads,
                "{limit:?} of {processors}"
            );
        }
    }
}
