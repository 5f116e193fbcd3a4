//! Values as people write them.

use std::time::Duration;

/// What [`timeout`] expects.
pub(crate) const A_TIMEOUT: &str = "a time like 30s or 5m, at most 24h, or 0 for none";

/// Longer is a mistake: who means for ever says 0.
const LONGEST: Duration = Duration::from_hours(24);

/// Units of a time, the longer names first where one begins with another.
const UNITS: [(&str, Duration); 4] = [
    ("ms", Duration::from_millis(1)),
    ("h", Duration::from_hours(1)),
    ("m", Duration::from_mins(1)),
    ("s", Duration::from_secs(1)),
];

/// A time in Go's notation without fractions, as Kubernetes has it: `90s`, `1m30s`, `500ms`. `Some(None)` is
/// `0`: no time-out.
pub(crate) fn timeout(text: &str) -> Option<Option<Duration>> {
    if text == "0" {
        return Some(None);
    }
    let mut sum = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let number: u32 = number.parse().ok()?;
        let (unit, length) = UNITS
            .iter()
            .find_map(|(name, unit)| after.starts_with(name).then_some((*unit, name.len())))?;
        sum = sum.checked_add(unit.checked_mul(number)?)?;
        rest = &after[length..];
    }
    if text.is_empty() || sum > LONGEST {
        return None;
    }
    // `0s` is `0` in Go.
    Some((!sum.is_zero()).then_some(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let read = ["0", "0s", "30s", "5m", "1m30s", "500ms", "1h2m3s4ms", "24h"].map(timeout);
        let milliseconds = read.map(|time| time.map(|time| time.map(|time| time.as_millis())));
        assert_eq!(
            milliseconds,
            [
                Some(None),
                Some(None),
                Some(Some(30_000)),
                Some(Some(300_000)),
                Some(Some(90_000)),
                Some(Some(500)),
                Some(Some(3_723_004)),
                Some(Some(86_400_000)),
            ]
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "25h",
            "5d",
            "99999999999s",
            "1s2",
        ] {
            assert_eq!(timeout(text), None, "{text:?}");
        }
    }
}
