//! Which backups are kept and which go: see [`plan`].
//!
//! The rules are those of restic's `forget`: each app is a group of its own; a rule such as "daily 7" walks from the
//! newest backup to the oldest and keeps the newest one of each day until seven days are used up, and where a rule is
//! not used up, the oldest backup of the group is kept by it too. Days, weeks (ISO), months and years are those of the
//! time zone passed in; the two equal clock hours at the end of summer time count as two hours.
//!
//! Four things stand above every rule, because a wrong rule must not cost the last good backup: a pinned backup, the newest
//! few ([`KeepPolicy::protect_newest`], at least one), the newest proven one, and the newest that was found whole. None of
//! them takes the place of another: what was proven may be old, and what is new may not have been looked at yet. Partial,
//! damaged and doubted backups are groups of their own, so that the newest few of a group of good ones are good.

mod of_policy;

pub use of_policy::{Guards, plan_policy};

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Span, Timestamp, Zoned, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// Rules of what to keep; a backup stays when at least one rule wants it. Zero means that a rule is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepPolicy {
    pub last: u32,
    pub hourly: u32,
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
    pub yearly: u32,
    /// Keeps everything made this long before the group's newest backup.
    pub within: Option<KeepSpan>,
    /// Keeps what carries one of these tags; `a,b` asks for both.
    pub keep_tags: Vec<String>,
    /// How many of the newest whole backups of a group stay whatever the rules say; the newest one always does.
    pub protect_newest: u32,
}

/// A rule's count that never runs out.
pub const UNLIMITED: u32 = u32::MAX;

impl Default for KeepPolicy {
    fn default() -> Self {
        Self {
            last: 0,
            hourly: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
            within: None,
            keep_tags: Vec::new(),
            protect_newest: 3,
        }
    }
}

impl KeepPolicy {
    /// The rules in words: `daily 7, weekly 4, within 1y`; empty where there is none.
    pub fn describe(&self) -> String {
        let counts = self.counts();
        let mut words: Vec<String> = counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(period, count)| match *count {
                UNLIMITED => format!("all {}", period.label()),
                count => format!("{} {count}", period.label()),
            })
            .collect();
        words.extend(self.within.map(|span| format!("within {span}")));
        words.extend(self.keep_tags.iter().map(|tag| format!("tag {tag}")));
        words.join(", ")
    }

    /// Tells whether no rule is set, in which case nothing is ever removed.
    pub fn is_empty(&self) -> bool {
        self.counts().iter().all(|(_, count)| *count == 0)
            && self.within.is_none()
            && self.keep_tags.is_empty()
    }

    fn counts(&self) -> [(Period, u32); 6] {
        [
            (Period::Last, self.last),
            (Period::Hour, self.hourly),
            (Period::Day, self.daily),
            (Period::Week, self.weekly),
            (Period::Month, self.monthly),
            (Period::Year, self.yearly),
        ]
    }
}

/// A span in calendar units, written like `1y6m`, `2w`, `30d12h`; `m` is a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeepSpan {
    pub years: u16,
    pub months: u16,
    pub weeks: u16,
    pub days: u16,
    pub hours: u32,
}

/// A text that is not a [`KeepSpan`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "time span \"{0}\" is not understood: write it like 30d12h, with the units y, m, w, d and h"
)]
pub struct BadSpan(String);

impl KeepSpan {
    /// The moment that lies this span before `end`, by the calendar of `end`'s time zone.
    fn before(self, end: &Zoned) -> Option<Zoned> {
        let span = Span::new()
            .try_years(self.years)
            .and_then(|span| span.try_months(self.months))
            .and_then(|span| span.try_weeks(self.weeks))
            .and_then(|span| span.try_days(self.days))
            .and_then(|span| span.try_hours(self.hours))
            .ok()?;
        end.checked_sub(span).ok()
    }
}

impl FromStr for KeepSpan {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(text.to_owned());
        let mut span = KeepSpan::default();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let unit = rest[digits..].chars().next().ok_or_else(bad)?;
            let number = &rest[..digits];
            let small = || number.parse::<u16>().map_err(|_| bad());
            let (slot, value) = match unit {
                'y' => (&mut span.years, small()?),
                'm' => (&mut span.months, small()?),
                'w' => (&mut span.weeks, small()?),
                'd' => (&mut span.days, small()?),
                'h' => {
                    let value: u32 = number.parse().map_err(|_| bad())?;
                    span.hours = span.hours.checked_add(value).ok_or_else(bad)?;
                    rest = &rest[digits + 1..];
                    continue;
                }
                _ => return Err(bad()),
            };
            *slot = slot.checked_add(value).ok_or_else(bad)?;
            rest = &rest[digits + 1..];
        }
        Ok(span)
    }
}

impl fmt::Display for KeepSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (u32::from(self.years), 'y'),
            (u32::from(self.months), 'm'),
            (u32::from(self.weeks), 'w'),
            (u32::from(self.days), 'd'),
            (self.hours, 'h'),
        ];
        if parts.iter().all(|(value, _)| *value == 0) {
            return f.write_str("0h");
        }
        for (value, unit) in parts.into_iter().filter(|(value, _)| *value > 0) {
            write!(f, "{value}{unit}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for KeepSpan {
    type Error = BadSpan;

    fn try_from(text: String) -> Result<Self, BadSpan> {
        text.parse()
    }
}

impl From<KeepSpan> for String {
    fn from(span: KeepSpan) -> Self {
        span.to_string()
    }
}

/// What retention needs to know of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: String,
    pub time: Timestamp,
    /// Rules count within a group: the app and its environment.
    pub group: String,
    pub tags: Vec<String>,
    /// A pinned backup is never removed.
    pub pinned: bool,
    /// A restore of it was made and its evidence found equal.
    pub proven: bool,
    /// Its stored objects were found whole.
    pub checked: bool,
}

/// Why a backup stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepReason {
    NoRules,
    Pinned,
    NewestProven,
    /// Its stored objects were found whole, which is not known of any newer one.
    NewestWhole,
    Protected,
    Tag(String),
    Within(KeepSpan),
    Period(Period),
    /// The rule was not used up, so it keeps the oldest backup as well.
    Oldest(Period),
    /// Neither too old nor one too many.
    WithinLimits,
    /// Something reads it at this moment.
    InUse(String),
    /// Nothing goes while this is so.
    Held(String),
}

/// The stretch of time of which a rule keeps one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    Last,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeepReason::NoRules => f.write_str("no rule is set"),
            KeepReason::Pinned => f.write_str("pinned"),
            KeepReason::NewestProven => f.write_str("newest proven"),
            KeepReason::NewestWhole => f.write_str("newest verified"),
            KeepReason::Protected => f.write_str("among the newest whole backups"),
            KeepReason::Tag(tag) => write!(f, "tag {tag}"),
            KeepReason::Within(span) => write!(f, "within {span}"),
            KeepReason::Period(period) => f.write_str(period.label()),
            KeepReason::Oldest(period) => write!(f, "oldest {}", period.label()),
            KeepReason::WithinLimits => f.write_str("within age and number"),
            KeepReason::InUse(by) => write!(f, "in use by {by}"),
            KeepReason::Held(why) => write!(f, "held: {why}"),
        }
    }
}

impl Period {
    /// The word shown to a user, which is also the rule's name.
    pub fn label(self) -> &'static str {
        match self {
            Period::Last => "last",
            Period::Hour => "hourly",
            Period::Day => "daily",
            Period::Week => "weekly",
            Period::Month => "monthly",
            Period::Year => "yearly",
        }
    }

    /// Equal for two moments of one period; `position` makes every backup a period of its own for [`Period::Last`].
    fn bucket(self, time: &Zoned, position: usize) -> (i64, i64) {
        let (year, month, day) = (time.year().into(), time.month().into(), time.day().into());
        let date = |year: i64, month: i64, day: i64| (year * 100 + month) * 100 + day;
        match self {
            Period::Last => (position as i64, 0),
            Period::Hour => (
                date(year, month, day) * 100 + i64::from(time.hour()),
                time.offset().seconds().into(),
            ),
            Period::Day => (date(year, month, day), 0),
            Period::Week => {
                let week = time.date().iso_week_date();
                (i64::from(week.year()) * 100 + i64::from(week.week()), 0)
            }
            Period::Month => (date(year, month, 0), 0),
            Period::Year => (year, 0),
        }
    }
}

/// What a policy would do with a list of backups, newest first within each group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ForgetPlan {
    pub keep: Vec<(String, Vec<KeepReason>)>,
    /// Why a backup goes, in words.
    pub remove: Vec<(String, String)>,
}

impl ForgetPlan {
    /// Keeps what would go, where `why` gives a reason for that.
    pub fn hold(&mut self, why: impl Fn(&str) -> Option<String>) {
        let keep = &mut self.keep;
        self.remove.retain(|(id, _)| match why(id) {
            Some(why) => {
                keep.push((id.clone(), vec![KeepReason::Held(why)]));
                false
            }
            None => true,
        });
    }
}

/// A backup may be dated so much later than a clock says that looks at it.
const BELIEVABLE_AHEAD: SignedDuration = SignedDuration::from_mins(10);

/// Why nothing may go where the newest backup bears this date: the clock is behind, or was ahead when it was made.
pub fn dated_ahead(id: &str, time: Timestamp, now: Timestamp) -> Option<String> {
    let short = id.get(..8).unwrap_or(id);
    (time.duration_since(now) > BELIEVABLE_AHEAD).then(|| {
        format!(
            "backup {short} is dated {}, which is yet to come: set the clock right first, or let go of that backup by its id",
            time.strftime("%Y-%m-%d %H:%M UTC")
        )
    })
}

/// Decides what to keep of `candidates`; `now` only serves to not count a span from a backup dated in the future.
pub fn plan(
    candidates: &[Candidate],
    policy: &KeepPolicy,
    now: Timestamp,
    tz: &TimeZone,
) -> ForgetPlan {
    let mut plan = ForgetPlan::default();
    for group in grouped(candidates) {
        plan_group(&group, policy, now, tz, &mut plan);
    }
    plan
}

/// The groups, each newest first.
fn grouped(candidates: &[Candidate]) -> Vec<Vec<&Candidate>> {
    let mut groups: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        groups.entry(&candidate.group).or_default().push(candidate);
    }
    for group in groups.values_mut() {
        group.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.id.cmp(&b.id)));
    }
    groups.into_values().collect()
}

/// Plans one group, whose backups come newest first.
fn plan_group(
    group: &[&Candidate],
    policy: &KeepPolicy,
    now: Timestamp,
    tz: &TimeZone,
    plan: &mut ForgetPlan,
) {
    let mut reasons: Vec<Vec<KeepReason>> = vec![Vec::new(); group.len()];
    if policy.is_empty() {
        reasons.fill(vec![KeepReason::NoRules]);
    } else {
        protect(group, policy, &mut reasons);
        apply_tags(group, policy, &mut reasons);
        apply_within(group, policy, now, tz, &mut reasons);
        apply_periods(group, policy, tz, &mut reasons);
    }
    for (candidate, reasons) in group.iter().zip(reasons) {
        if reasons.is_empty() {
            plan.remove
                .push((candidate.id.clone(), "no rule keeps it".to_owned()));
        } else {
            plan.keep.push((candidate.id.clone(), reasons));
        }
    }
}

fn protect(group: &[&Candidate], policy: &KeepPolicy, reasons: &mut [Vec<KeepReason>]) {
    for (candidate, reasons) in group.iter().zip(reasons.iter_mut()) {
        if candidate.pinned {
            reasons.push(KeepReason::Pinned);
        }
    }
    if let Some(newest) = group.iter().position(|candidate| candidate.proven) {
        reasons[newest].push(KeepReason::NewestProven);
    }
    let whole = |candidate: &&Candidate| candidate.checked || candidate.proven;
    if let Some(newest) = group.iter().position(whole)
        && !group[newest].proven
    {
        reasons[newest].push(KeepReason::NewestWhole);
    }
    let newest_few = policy.protect_newest.max(1) as usize;
    for reasons in reasons.iter_mut().take(newest_few) {
        reasons.push(KeepReason::Protected);
    }
}

fn apply_tags(group: &[&Candidate], policy: &KeepPolicy, reasons: &mut [Vec<KeepReason>]) {
    for (candidate, reasons) in group.iter().zip(reasons) {
        for wanted in &policy.keep_tags {
            let has = |tag: &str| candidate.tags.iter().any(|own| own == tag.trim());
            if wanted.split(',').all(has) {
                reasons.push(KeepReason::Tag(wanted.clone()));
            }
        }
    }
}

fn apply_within(
    group: &[&Candidate],
    policy: &KeepPolicy,
    now: Timestamp,
    tz: &TimeZone,
    reasons: &mut [Vec<KeepReason>],
) {
    let Some(span) = policy.within else { return };
    let newest = group.iter().find(|candidate| candidate.time <= now);
    let end = newest.map_or(now, |candidate| candidate.time);
    let start = span.before(&end.to_zoned(tz.clone()));
    for (candidate, reasons) in group.iter().zip(reasons) {
        // A span that reaches before the calendar's beginning keeps everything.
        if start
            .as_ref()
            .is_none_or(|start| candidate.time > start.timestamp())
        {
            reasons.push(KeepReason::Within(span));
        }
    }
}

fn apply_periods(
    group: &[&Candidate],
    policy: &KeepPolicy,
    tz: &TimeZone,
    reasons: &mut [Vec<KeepReason>],
) {
    for (period, mut left) in policy.counts() {
        let mut previous = None;
        for (position, candidate) in group.iter().enumerate() {
            if left == 0 {
                break;
            }
            let bucket = period.bucket(&candidate.time.to_zoned(tz.clone()), position);
            let oldest = position + 1 == group.len();
            if previous == Some(bucket) && !oldest {
                continue;
            }
            reasons[position].push(if previous == Some(bucket) {
                KeepReason::Oldest(period)
            } else {
                KeepReason::Period(period)
            });
            previous = Some(bucket);
            if left != UNLIMITED {
                left -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
