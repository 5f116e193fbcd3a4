//! Who and where: `id`, `whoami`, `hostname`, `uname`, `date`.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{getegid, geteuid, getgroups};
use rustix::system::uname as kernel;

use super::{Answer, Context, Failure};
use crate::users;

pub(super) fn id(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("ugGn", "")?;
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let mut groups: Vec<u32> = vec![group];
    let others = getgroups().map_err(std::io::Error::from)?;
    groups.extend(
        others
            .iter()
            .map(|group| group.as_raw())
            .filter(|other| *other != group),
    );
    let named = |id: u32, name: Option<String>| match name {
        Some(name) if flags.has('n') => name,
        _ => id.to_string(),
    };
    let both = |id: u32, name: Option<String>| match name {
        Some(name) => format!("{id}({name})"),
        None => id.to_string(),
    };
    let join = |each: &dyn Fn(u32, Option<String>) -> String, by: &str| {
        let texts: Vec<String> = groups
            .iter()
            .map(|id| each(*id, users::group(*id)))
            .collect();
        texts.join(by)
    };
    let text = if flags.has('u') {
        named(user, users::user(user))
    } else if flags.has('g') {
        named(group, users::group(group))
    } else if flags.has('G') {
        join(&named, " ")
    } else {
        let (user, group) = (
            both(user, users::user(user)),
            both(group, users::group(group)),
        );
        format!("uid={user} gid={group} groups={}", join(&both, ","))
    };
    writeln!(context.streams.stdout, "{text}")?;
    Ok(0)
}

pub(super) fn whoami(context: &mut Context<'_, '_>) -> Answer {
    let user = geteuid().as_raw();
    let name = users::user(user).unwrap_or_else(|| user.to_string());
    writeln!(context.streams.stdout, "{name}")?;
    Ok(0)
}

pub(super) fn hostname(context: &mut Context<'_, '_>) -> Answer {
    let name = kernel();
    writeln!(
        context.streams.stdout,
        "{}",
        name.nodename().to_string_lossy()
    )?;
    Ok(0)
}

pub(super) fn uname(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("asnrvmo", "")?;
    let kernel = kernel();
    let fields = [
        ('s', kernel.sysname()),
        ('n', kernel.nodename()),
        ('r', kernel.release()),
        ('v', kernel.version()),
        ('m', kernel.machine()),
    ];
    let any = fields.iter().any(|(letter, _)| flags.has(*letter));
    let shown = fields
        .iter()
        .filter(|(letter, _)| flags.has('a') || flags.has(*letter) || (!any && *letter == 's'));
    let texts: Vec<_> = shown.map(|(_, text)| text.to_string_lossy()).collect();
    writeln!(context.streams.stdout, "{}", texts.join(" "))?;
    Ok(0)
}

/// Times are UTC: a container of one file has no time zones.
pub(super) fn date(context: &mut Context<'_, '_>) -> Answer {
    let flags = context.flags("u", "")?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let date = calendar(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let text = match flags.rest.first() {
        None => date.format("%a %b %e %H:%M:%S UTC %Y", now.subsec_nanos())?,
        Some(format) => match format.strip_prefix('+') {
            Some(format) => date.format(format, now.subsec_nanos())?,
            None => {
                return Err(Failure::Usage(
                    "the clock can be read here, not set".to_owned(),
                ));
            }
        },
    };
    writeln!(context.streams.stdout, "{text}")?;
    Ok(0)
}

/// A moment of UTC.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Date {
    seconds: i64,
    pub(super) year: i64,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    second: u32,
    /// 0 is Sunday.
    weekday: usize,
}

/// The proleptic Gregorian calendar, from days since 1970, counted in eras of 400 years that begin in March.
pub(super) fn calendar(seconds: i64) -> Date {
    let days = seconds.div_euclid(86400);
    let of_day = seconds.rem_euclid(86400);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let small = |value: i64| u32::try_from(value).unwrap_or(0);
    Date {
        seconds,
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month: small(month),
        day: small(of_year - (153 * march + 2) / 5 + 1),
        hour: small(of_day / 3600),
        minute: small(of_day / 60 % 60),
        second: small(of_day % 60),
        weekday: (days + 4).rem_euclid(7) as usize,
    }
}

impl Date {
    const DAYS: [&'static str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&'static str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];

    pub(super) fn day_text(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    pub(super) fn time_text(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    fn format(&self, format: &str, nanoseconds: u32) -> Result<String, Failure> {
        let mut text = String::new();
        let mut characters = format.chars();
        while let Some(c) = characters.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            text.push_str(&match characters.next() {
                Some('Y') => format!("{:04}", self.year),
                Some('m') => format!("{:02}", self.month),
                Some('d') => format!("{:02}", self.day),
                Some('e') => format!("{:2}", self.day),
                Some('H') => format!("{:02}", self.hour),
                Some('M') => format!("{:02}", self.minute),
                Some('S') => format!("{:02}", self.second),
                Some('N') => format!("{nanoseconds:09}"),
                Some('s') => self.seconds.to_string(),
                Some('F') => self.day_text(),
                Some('T') => self.time_text(),
                Some('z') => "+0000".to_owned(),
                Some('Z') => "UTC".to_owned(),
                Some('a') => Self::DAYS[self.weekday].to_owned(),
                Some('b') => Self::MONTHS[(self.month as usize + 11) % 12].to_owned(),
                Some('n') => "\n".to_owned(),
                Some('%') => "%".to_owned(),
                _ => {
                    return Err(Failure::Usage(
                        "only %Y %m %d %e %H %M %S %N %s %F %T %z %Z %a %b are known here"
                            .to_owned(),
                    ));
                }
            });
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_right() {
        for (seconds, text, weekday) in [
            (0, "1970-01-01", 4),
            (-1, "1969-12-31", 3),
            (951_782_400, "2000-02-29", 2),
            (1_795_219_200, "2026-11-21", 6),
            (4_107_542_400, "2100-03-01", 1),
        ] {
            let date = calendar(seconds);
            assert_eq!((date.day_text().as_str(), date.weekday), (text, weekday));
        }
        assert_eq!(calendar(86399).time_text(), "23:59:59");
    }
}
