//! How often: requests counted by scope, and by account or client address.

use crate::settings::{Rate, ThrottleScope, Throttles};
use axum::http::{HeaderMap, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

/// Keys are forgotten, once they mean nothing any more, when there are so many of them.
const KEYS_BEFORE_SWEEP: usize = 4_096;

type Keyed =
    RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// The counters of all scopes.
pub struct Limits {
    scopes: BTreeMap<ThrottleScope, Scope>,
    clock: DefaultClock,
}

struct Scope {
    count: u32,
    period: Duration,
    limiter: Keyed,
}

/// What a scope says to one more request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The scope has no limit.
    Unlimited,
    Allowed(Standing),
    Refused {
        retry_after_secs: u64,
        standing: Standing,
    },
}

/// Where a client stands with its limit, for the `RateLimit` headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    scope: ThrottleScope,
    count: u32,
    period_secs: u64,
    remaining: u32,
    reset_secs: u64,
}

impl Limits {
    pub fn new(throttles: &Throttles) -> Self {
        let scopes = ThrottleScope::ALL
            .into_iter()
            .filter_map(|scope| match throttles.rate(scope) {
                Rate::Off => None,
                Rate::Per { count, period } => {
                    let burst = NonZeroU32::new(count)?;
                    let quota = Quota::with_period(period / count)?.allow_burst(burst);
                    let limiter =
                        RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>();
                    Some((
                        scope,
                        Scope {
                            count,
                            period,
                            limiter,
                        },
                    ))
                }
            })
            .collect();
        Self {
            scopes,
            clock: DefaultClock::default(),
        }
    }

    /// Counts one request of `key`.
    pub fn count(&self, scope: ThrottleScope, key: &str) -> Verdict {
        let Some(limit) = self.scopes.get(&scope) else {
            return Verdict::Unlimited;
        };
        if limit.limiter.len() > KEYS_BEFORE_SWEEP {
            limit.limiter.retain_recent();
        }
        let each = limit.period / limit.count;
        let standing = |remaining: u32, wait: Duration| Standing {
            scope,
            count: limit.count,
            period_secs: limit.period.as_secs(),
            remaining,
            reset_secs: (wait + each * (limit.count - remaining).saturating_sub(1))
                .as_secs_f64()
                .ceil() as u64,
        };
        match limit.limiter.check_key(&key.to_string()) {
            Ok(state) => Verdict::Allowed(standing(
                state.remaining_burst_capacity().min(limit.count),
                each,
            )),
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                Verdict::Refused {
                    retry_after_secs: (wait.as_secs_f64().ceil() as u64).max(1),
                    standing: standing(0, wait),
                }
            }
        }
    }
}

impl Standing {
    /// Writes `RateLimit-Policy` and `RateLimit`.
    pub fn write(&self, headers: &mut HeaderMap) {
        let name = self.scope.as_str();
        let policy = format!("\"{name}\";q={};w={}", self.count, self.period_secs);
        let state = format!("\"{name}\";r={};t={}", self.remaining, self.reset_secs);
        for (header, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            headers.insert(
                header,
                HeaderValue::try_from(value).expect("names and digits"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_backup_of_an_hour_waits_for_half_an_hour() {
        let limits = Limits::new(&Throttles::default());
        for remaining in [1, 0] {
            match limits.count(ThrottleScope::BackupCreate, "user:1") {
                Verdict::Allowed(standing) => assert_eq!(standing.remaining, remaining),
                other => panic!("{other:?}"),
            }
        }
        match limits.count(ThrottleScope::BackupCreate, "user:1") {
            Verdict::Refused {
                retry_after_secs, ..
            } => assert!(
                (1..=1_800).contains(&retry_after_secs),
                "{retry_after_secs}"
            ),
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            limits.count(ThrottleScope::BackupCreate, "user:2"),
            Verdict::Allowed(_)
        ));
    }

    #[test]
    fn a_scope_that_is_off_counts_nothing() {
        let throttles = Throttles {
            rates: [(ThrottleScope::Login, Rate::Off)].into(),
        };
        let limits = Limits::new(&throttles);
        for _ in 0..1_000 {
            assert_eq!(
                limits.count(ThrottleScope::Login, "address:x"),
                Verdict::Unlimited
            );
        }
    }
}
