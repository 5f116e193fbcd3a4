//! Leader election by a Lease: 15 s long, given up after 10 s without a renewal, tried every 2 s.
//!
//! As client-go does it (`tools/leaderelection`@v0.36.3): another's lease counts as expired when *we*
//! have seen it unchanged for its duration. Clocks of different machines are never compared.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};

/// How long a lease is good for.
pub const DURATION: Duration = Duration::from_secs(15);
/// How long renewing may fail before the leader stops.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is tried.
pub const RETRY: Duration = Duration::from_secs(2);

const NAME: &str = "slipway-operator";

/// What a look at the Lease tells this process to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Write this: it is ours, or to be had.
    Write(Box<LeaseSpec>),
    /// Someone else holds it.
    Wait,
}

/// What is remembered between two looks.
#[derive(Clone, Debug)]
pub struct Seen {
    spec: LeaseSpec,
    since: Instant,
}

/// What to do about a lease that reads `found`.
#[must_use]
pub fn next(
    found: &LeaseSpec,
    me: &str,
    seen: Option<&Seen>,
    now: Instant,
    clock: Timestamp,
) -> Move {
    let held_by = found
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty());
    let ours = held_by == Some(me);
    let expired = seen.is_some_and(|seen| {
        let seconds =
            u64::try_from(found.lease_duration_seconds.unwrap_or(15).max(1)).unwrap_or(15);
        seen.spec == *found && now.duration_since(seen.since) >= Duration::from_secs(seconds)
    });
    if held_by.is_some() && !ours && !expired {
        return Move::Wait;
    }
    let transitions = found.lease_transitions.unwrap_or(0);
    Move::Write(Box::new(LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: if ours {
            found.acquire_time.clone()
        } else {
            Some(MicroTime(clock))
        },
        renew_time: Some(MicroTime(clock)),
        lease_transitions: Some(if ours {
            transitions
        } else {
            transitions.saturating_add(1)
        }),
        ..found.clone()
    }))
}

/// This process's hold on the Lease.
pub struct Leadership {
    api: Api<Lease>,
    me: String,
    seen: Option<Seen>,
}

impl Leadership {
    /// Not held yet.
    #[must_use]
    pub fn new(client: Client, namespace: &str, me: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            me,
            seen: None,
        }
    }

    /// Waits until the Lease is ours.
    pub async fn acquire(&mut self) {
        loop {
            match self.attempt().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "Lease cannot be read or written"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Renews the Lease until that has failed for too long, or someone else holds it.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RETRY).await;
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.attempt()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "Lease cannot be renewed"),
                Err(_elapsed) => {}
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                return;
            }
        }
    }

    /// Gives the Lease back, so that another replica need not wait for it to expire.
    pub async fn release(&self) {
        let result = async {
            let Some(mut lease) = self.api.get_opt(NAME).await? else {
                return Ok(());
            };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.me) {
                return Ok(());
            }
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            self.api
                .replace(NAME, &PostParams::default(), &lease)
                .await
                .map(drop)
        };
        if let Err(error) = result.await {
            let error: kube::Error = error;
            tracing::warn!(%error, "Lease cannot be released; it expires by itself");
        }
    }

    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let post = PostParams::default();
        let Some(mut lease) = self.api.get_opt(NAME).await? else {
            let Move::Write(spec) = next(
                &LeaseSpec::default(),
                &self.me,
                None,
                Instant::now(),
                Timestamp::now(),
            ) else {
                return Ok(false);
            };
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(*spec),
            };
            return won(self.api.create(&post, &lease).await);
        };
        let found = lease.spec.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|seen| seen.spec != found) {
            self.seen = Some(Seen {
                spec: found.clone(),
                since: Instant::now(),
            });
        }
        match next(
            &found,
            &self.me,
            self.seen.as_ref(),
            Instant::now(),
            Timestamp::now(),
        ) {
            Move::Wait => Ok(false),
            Move::Write(spec) => {
                // The resource version in `lease` lets only one of two writers through.
                lease.spec = Some(*spec);
                won(self.api.replace(NAME, &post, &lease).await)
            }
        }
    }
}

/// A conflict is not an error: someone was quicker, look again.
fn won(result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(by: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(by.into()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(3),
            acquire_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
            renew_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
            ..LeaseSpec::default()
        }
    }

    fn seen(spec: LeaseSpec, since: Instant) -> Seen {
        Seen { spec, since }
    }

    #[test]
    fn a_free_lease_is_taken_and_counted() {
        let found = LeaseSpec {
            holder_identity: None,
            lease_transitions: Some(3),
            ..LeaseSpec::default()
        };
        let Move::Write(spec) = next(&found, "me", None, Instant::now(), Timestamp::now()) else {
            panic!("it is free");
        };
        assert_eq!(spec.holder_identity.as_deref(), Some("me"));
        assert_eq!(spec.lease_transitions, Some(4));
        assert_eq!(spec.lease_duration_seconds, Some(15));
    }

    #[test]
    fn our_own_is_renewed_without_a_transition() {
        let clock = Timestamp::from_second(100).unwrap();
        let Move::Write(spec) = next(&held("me"), "me", None, Instant::now(), clock) else {
            panic!("it is ours");
        };
        assert_eq!(spec.lease_transitions, Some(3));
        assert_eq!(spec.acquire_time, Some(MicroTime(Timestamp::UNIX_EPOCH)));
        assert_eq!(spec.renew_time, Some(MicroTime(clock)));
    }

    #[test]
    fn anothers_is_taken_only_when_unchanged_for_its_duration() {
        let began = Instant::now();
        let found = held("other");
        let clock = Timestamp::now();
        // However old its renew time reads: clocks are not compared.
        assert_eq!(next(&found, "me", None, began, clock), Move::Wait);
        let unchanged = seen(found.clone(), began);
        let soon = began + Duration::from_secs(14);
        assert_eq!(
            next(&found, "me", Some(&unchanged), soon, clock),
            Move::Wait
        );
        let late = began + Duration::from_secs(15);
        assert!(matches!(
            next(&found, "me", Some(&unchanged), late, clock),
            Move::Write(_)
        ));
        let renewed = LeaseSpec {
            renew_time: Some(MicroTime(clock)),
            ..found
        };
        assert_eq!(
            next(&renewed, "me", Some(&unchanged), late, clock),
            Move::Wait
        );
    }
}
