//! Sums between the scales of the OCI spec (cgroup v1's), of cgroup v2 and of systemd.

/// The kernel's period where none is given (sched-bwc.rst).
const DEFAULT_PERIOD: u64 = 100_000;
/// systemd keeps a quota as whole percents of a CPU: 10 ms of each second.
const PERCENT: u64 = 10_000;
/// Highest CPU or memory node number taken; more than any kernel is built for.
const MAX_NUMBER: usize = 8191;

/// v1's CPU shares (2 to 262144, default 1024) as v2's weight (1 to 10000, default 100): the curve through the three
/// points, as in opencontainers/cgroups utils.go@v0.0.6, so that a Wasm container weighs what a native one does.
pub(crate) fn weight_of_shares(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    (10f64.powf(exponent)).ceil() as u64
}

/// The OCI spec counts memory and swap together, v2 counts swap alone. `None` leaves it as it is; -1 is no limit.
/// The error is the reason it makes no sense.
pub(crate) fn swap_only(
    both: Option<i64>,
    memory: Option<i64>,
) -> Result<Option<i64>, &'static str> {
    match (both, memory) {
        (None, Some(-1)) => Ok(Some(-1)),
        (None, _) => Ok(None),
        (Some(-1), _) => Ok(Some(-1)),
        (Some(both), Some(-1)) => Ok(Some(both)),
        (Some(_), None) => Err("memory.swap needs memory.limit"),
        (Some(both), Some(memory)) if both < memory => {
            Err("memory.swap counts memory too, so it is at least its limit")
        }
        (Some(both), Some(memory)) => Ok(Some(both - memory)),
    }
}

/// systemd's CPUQuotaPerSecUSec, in whole percents, rounded up; `u64::MAX` is no limit.
pub(crate) fn quota_per_second(quota: Option<i64>, period: Option<u64>) -> Option<u64> {
    match quota {
        None if period.is_none() => None,
        Some(quota) if quota > 0 => {
            let period = period.unwrap_or(DEFAULT_PERIOD).max(1);
            let exact = quota.unsigned_abs().saturating_mul(1_000_000) / period;
            Some(exact.div_ceil(PERCENT).saturating_mul(PERCENT))
        }
        _ => Some(u64::MAX),
    }
}

/// The quota that is the same number of whole percents.
pub(crate) fn round_quota(quota: i64, period: Option<u64>) -> i64 {
    let period = period.unwrap_or(DEFAULT_PERIOD);
    match quota_per_second(Some(quota), Some(period)) {
        Some(per_second) if per_second != u64::MAX => {
            let exact = u128::from(per_second) * u128::from(period) / 1_000_000;
            i64::try_from(exact).unwrap_or(quota)
        }
        _ => quota,
    }
}

/// `0-3,8` as a bit set, lowest byte first, as systemd's AllowedCPUs wants it. `None` if it is no such list.
pub(crate) fn list_to_bits(list: &str) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > MAX_NUMBER {
            return None;
        }
        bits.resize(bits.len().max(last / 8 + 1), 0);
        for number in first..=last {
            bits[number / 8] |= 1 << (number % 8);
        }
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights_as_in_runc() {
        // The table of opencontainers/cgroups utils_test.go@v0.0.6.
        for (shares, weight) in [
            (1, 1),
            (2, 1),
            (3, 2),
            (1024, 100),
            (262_143, 10_000),
            (262_144, 10_000),
            (1 << 40, 10_000),
        ] {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }

    #[test]
    fn swap_is_what_is_left() {
        assert_eq!(swap_only(Some(300), Some(100)), Ok(Some(200)));
        assert_eq!(swap_only(Some(100), Some(100)), Ok(Some(0)));
        assert_eq!(swap_only(Some(-1), Some(100)), Ok(Some(-1)));
        assert_eq!(swap_only(Some(300), Some(-1)), Ok(Some(300)));
        assert_eq!(swap_only(None, Some(-1)), Ok(Some(-1)));
        assert_eq!(swap_only(None, Some(100)), Ok(None));
        assert!(swap_only(Some(50), Some(100)).is_err());
        assert!(swap_only(Some(50), None).is_err());
    }

    #[test]
    fn quotas_are_rounded_up_to_percents() {
        assert_eq!(quota_per_second(Some(20_000), Some(100_000)), Some(200_000));
        assert_eq!(quota_per_second(Some(9_999), Some(1_000_000)), Some(10_000));
        assert_eq!(round_quota(9_999, Some(1_000_000)), 10_000);
        assert_eq!(round_quota(20_000, None), 20_000);
        assert_eq!(quota_per_second(Some(-1), None), Some(u64::MAX));
        assert_eq!(quota_per_second(None, Some(100_000)), Some(u64::MAX));
        assert_eq!(quota_per_second(None, None), None);
        assert_eq!(round_quota(i64::MAX, Some(1)), i64::MAX);
    }

    #[test]
    fn lists_become_bits() {
        assert_eq!(list_to_bits("0-3,8"), Some(vec![0b1111, 1]));
        assert_eq!(list_to_bits("9"), Some(vec![0, 2]));
        for bad in ["", "a", "3-1", "0-99999", "1,,2", "-1"] {
            assert_eq!(list_to_bits(bad), None, "{bad:?}");
        }
    }
}
