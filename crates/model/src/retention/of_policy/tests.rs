use super::*;

/// Backups of one policy, one a day back from `now`: `.` stored, `c` checked, `p` proven, `!` pinned, newest first.
fn daily(states: &str) -> Vec<Candidate> {
    let one = |(days, state): (usize, char)| Candidate {
        id: format!("d{days}"),
        time: now() - SignedDuration::from_hours(24 * days as i64),
        group: "shop".to_owned(),
        tags: Vec::new(),
        pinned: state == '!',
        proven: state == 'p',
        checked: state == 'c' || state == 'p',
    };
    states.chars().enumerate().map(one).collect()
}

fn now() -> Timestamp {
    "2026-05-31T02:00:00Z".parse().expect("a timestamp")
}

fn limits(days: Option<u32>, max_backups: Option<u32>) -> Retention {
    Retention {
        days,
        max_backups,
        keep: KeepPolicy {
            protect_newest: 0,
            ..KeepPolicy::default()
        },
    }
}

fn made(candidates: &[Candidate], retention: &Retention, guards: &Guards) -> ForgetPlan {
    let plan = plan_policy(candidates, retention, guards, now(), &TimeZone::UTC);
    assert_eq!(plan.keep.len() + plan.remove.len(), candidates.len());
    assert!(plan.keep.iter().all(|(_, reasons)| !reasons.is_empty()));
    assert!(plan.remove.iter().all(|(_, why)| !why.is_empty()));
    plan
}

/// `kept` marks what stays with `+` and what goes with `-`, newest first.
#[track_caller]
fn check(states: &str, retention: &Retention, guards: &Guards, kept: &str) {
    let candidates = daily(states);
    let plan = made(&candidates, retention, guards);
    let stays = |id: &String| plan.keep.iter().any(|(kept, _)| kept == id);
    let told: String = candidates
        .iter()
        .map(|candidate| if stays(&candidate.id) { '+' } else { '-' })
        .collect();
    assert_eq!(told, kept, "{retention:?}\n{plan:#?}");
}

#[test]
fn whichever_limit_is_hit_first_removes() {
    let none = Guards::default();
    for (days, most, kept) in [
        (None, None, "++++++++"),
        (Some(3), None, "++++----"),
        (Some(1), None, "++------"),
        (None, Some(3), "+++-----"),
        (Some(5), Some(3), "+++-----"),
        (Some(3), Some(5), "++++----"),
        (Some(100), Some(100), "++++++++"),
        (None, Some(1), "+-------"),
    ] {
        check("........", &limits(days, most), &none, kept);
    }
}

#[test]
fn keep_rules_save_what_the_limits_would_remove() {
    let none = Guards::default();
    let with = |days, most, keep: KeepPolicy| Retention {
        keep: KeepPolicy {
            protect_newest: 0,
            ..keep
        },
        ..limits(days, most)
    };
    let weekly = || KeepPolicy {
        weekly: 2,
        ..KeepPolicy::default()
    };
    // 2026-05-31 is a Sunday: the week before ends seven days earlier.
    check(
        "..........",
        &with(Some(2), None, weekly()),
        &none,
        "+++----+--",
    );
    check(
        "..........",
        &with(None, Some(1), weekly()),
        &none,
        "+------+--",
    );
    check(
        "..........",
        &with(None, None, weekly()),
        &none,
        "+------+--",
    );
    let daily = KeepPolicy {
        daily: 4,
        ..KeepPolicy::default()
    };
    check("......", &with(None, Some(2), daily), &none, "++++--");
    check(
        "........",
        &Retention::seven_four_twelve(),
        &none,
        "++++++++",
    );
}

#[test]
fn the_newest_whole_ones_the_newest_proven_and_pinned_ones_stay() {
    let none = Guards::default();
    let three = Retention {
        keep: KeepPolicy::default(),
        ..limits(None, Some(1))
    };
    check("......", &three, &none, "+++---");
    check("...ccc..", &three, &none, "++++----");
    check(".c......", &three, &none, "+++-----");
    check(".....p..p", &three, &none, "+++--+---");
    check(".....c..p", &three, &none, "+++--+--+");
    check("...ppppp", &three, &none, "++++----");
    let by_tag = Retention {
        keep: KeepPolicy {
            keep_tags: vec!["never".into()],
            ..KeepPolicy::default()
        },
        ..limits(None, None)
    };
    check("...ppp..", &by_tag, &none, "++++----");
    check("ppp.....", &by_tag, &none, "+++-----");
    check("....!..!", &three, &none, "+++-+--+");
    check("......", &limits(None, Some(1)), &none, "+-----");
    check("..p.p.", &limits(None, Some(1)), &none, "+-+---");
    // All are far too old, as after a long time without backups.
    let old: Vec<Candidate> = daily("......")
        .into_iter()
        .map(|candidate| Candidate {
            time: candidate.time - SignedDuration::from_hours(24 * 400),
            ..candidate
        })
        .collect();
    let days = Retention {
        keep: KeepPolicy::default(),
        ..limits(Some(30), None)
    };
    assert_eq!(made(&old, &days, &none).keep.len(), 3);
}

#[test]
fn what_is_in_use_stays() {
    let guards = Guards {
        in_use: [("d4".to_owned(), "restore 7".to_owned())].into(),
        hold: None,
    };
    check("......", &limits(None, Some(2)), &guards, "++--+-");
    let plan = made(&daily("......"), &limits(None, Some(2)), &guards);
    let (_, reasons) = plan.keep.iter().find(|(id, _)| id == "d4").expect("kept");
    assert_eq!(reasons[0].to_string(), "in use by restore 7");
}

#[test]
fn under_a_hold_everything_stays_and_says_why() {
    let guards = Guards {
        in_use: BTreeMap::new(),
        hold: Some("the newest backup of shop failed".to_owned()),
    };
    check("......", &limits(Some(1), Some(1)), &guards, "++++++");
    let plan = made(&daily("......"), &limits(None, Some(1)), &guards);
    assert_eq!(
        plan.keep[0].1,
        [KeepReason::Protected, KeepReason::WithinLimits]
    );
    assert_eq!(
        plan.keep[1].1[0].to_string(),
        "held: the newest backup of shop failed"
    );
}

#[test]
fn each_removal_says_which_limits_it_is_beyond() {
    let none = Guards::default();
    let retention = Retention {
        keep: KeepPolicy {
            yearly: 1,
            protect_newest: 0,
            ..KeepPolicy::default()
        },
        ..limits(Some(3), Some(5))
    };
    let plan = made(&daily("........"), &retention, &none);
    let why: Vec<&str> = plan.remove.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(
        why,
        [
            "older than 3 days, no rule keeps it",
            "older than 3 days, not among the newest 5, no rule keeps it",
            "older than 3 days, not among the newest 5, no rule keeps it",
            "older than 3 days, not among the newest 5, no rule keeps it",
        ]
    );
    let plan = made(&daily("..."), &limits(None, Some(2)), &none);
    assert_eq!(
        plan.remove,
        [("d2".to_owned(), "not among the newest 2".to_owned())]
    );
}

#[test]
fn limits_count_within_a_group() {
    let mut candidates = daily("......");
    for candidate in candidates.iter_mut().step_by(2) {
        candidate.group = "shop, partial".to_owned();
    }
    let plan = made(&candidates, &limits(None, Some(1)), &Guards::default());
    let kept: Vec<&str> = plan.keep.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(kept, ["d1", "d0"]);
}

#[test]
fn a_backup_dated_in_the_future_is_not_too_old() {
    let mut candidates = daily("..");
    candidates[0].time = now() + SignedDuration::from_hours(24 * 900);
    let plan = made(&candidates, &limits(Some(1), None), &Guards::default());
    assert_eq!(plan.keep.len(), 2);
}

#[test]
fn rules_are_told_in_words() {
    for (retention, words) in [
        (Retention::default(), "everything is kept"),
        (limits(Some(30), Some(30)), "30 days, at most 30 backups"),
        (
            Retention::seven_four_twelve(),
            "keep daily 7, weekly 4, monthly 12",
        ),
        (
            Retention {
                days: Some(90),
                ..Retention::seven_four_twelve()
            },
            "90 days, keep daily 7, weekly 4, monthly 12",
        ),
    ] {
        assert_eq!(retention.describe(), words);
    }
}
