//! What every catalog does, wherever it lies: each case runs on an SQLite file, and on PostgreSQL 15 and 17.

mod backups;
mod copies;
mod definitions;
mod events;
mod hands;
mod opening;
mod people;
mod place;
mod queue;
mod racing;
mod repositories;

use pgkeep_testkit::TestPostgres;
use place::Place;
use std::future::Future;
use std::pin::Pin;

type Case = (
    &'static str,
    fn(Place) -> Pin<Box<dyn Future<Output = ()> + Send>>,
);

/// Makes a test on SQLite of each case, and the list that the tests on PostgreSQL go through.
macro_rules! cases {
    ($($module:ident { $($case:ident,)* })*) => {
        const CASES: &[Case] = &[
            $($((stringify!($case), |place| Box::pin($module::$case(place))),)*)*
        ];

        mod on_sqlite {
            $(mod $module { $(
                #[test]
                fn $case() {
                    crate::run(crate::Place::sqlite(), |place| Box::pin(crate::$module::$case(place)));
                }
            )* })*
        }
    };
}

cases! {
    opening {
        a_new_catalog_gets_a_key_file_that_others_cannot_read,
        looking_for_a_catalog_does_not_make_one,
        a_missing_key_file_is_refused_and_never_made_again,
        a_catalog_under_another_key_is_refused,
        a_newer_schema_is_refused_naming_both_versions,
        programs_that_start_at_once_make_one_catalog,
        a_sealed_value_opens_only_in_its_own_place,
        the_blocking_bridge_opens_the_same_catalog,
        a_shared_catalog_is_replaced_by_nobody_while_servers_are_there,
    }
    definitions {
        a_definition_carries_a_revision_that_guards_it,
        a_definition_that_must_be_new_is_refused_when_it_is_there,
        secrets_come_back_and_references_stay_as_they_are,
        no_secret_lies_readable_in_the_catalog,
        what_is_in_use_is_not_deleted,
        settings_are_kept,
    }
    queue {
        jobs_are_claimed_by_priority_then_by_time,
        a_job_is_not_claimed_before_its_time,
        a_claim_asks_for_kinds,
        a_key_makes_a_job_once_while_it_waits_or_runs,
        the_run_of_a_schedule_is_made_once_for_all_time,
        one_job_runs_for_each_concurrency_key,
        a_worker_that_lost_its_lease_changes_nothing,
        each_kind_of_job_is_taken_up_again_or_closed_when_its_worker_dies,
        a_job_without_attempts_left_fails_when_its_worker_dies,
        a_cancelled_job_is_not_taken_up_again,
        a_job_tells_its_progress_and_its_log,
        a_log_ends_at_its_limit,
        a_job_ends_in_each_way,
        a_failed_attempt_is_tried_again_later,
        a_released_job_is_as_if_it_had_not_been_claimed,
        a_job_begun_by_hand_is_never_taken_up_again,
    }
    hands {
        a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked,
        a_held_job_waits,
        a_job_moves_ahead_by_priority,
        a_job_that_needs_approval_waits_for_somebody_else,
        a_paused_queue_hands_out_nothing,
        jobs_are_listed_by_what_is_asked_and_page_by_page,
        the_depth_of_the_queue_says_what_waits_for_what,
        the_runs_of_policies_are_known_in_one_question,
        old_jobs_are_forgotten_but_for_what_the_scheduler_needs,
        workers_are_known_while_they_live,
    }
    racing {
        eight_workers_claim_two_thousand_jobs_each_exactly_once,
        two_programs_never_run_one_key_at_once,
        a_claim_that_nobody_waits_for_is_given_back,
        one_of_many_who_enqueue_the_same_makes_it,
        one_of_two_editors_wins,
        what_is_named_does_not_vanish_while_something_comes_to_name_it,
    }
    events {
        a_change_and_its_event_are_one,
        a_change_that_fails_leaves_no_event,
        events_come_in_order_and_none_is_missed,
        the_newest_events_are_kept,
        whoever_waits_is_told_of_changes,
        a_stamp_ends_with_any_commit,
    }
    backups {
        a_backup_keeps_what_only_its_job_knew,
        backups_are_listed_by_what_is_asked,
        every_order_pages_through_each_backup_once,
        a_backup_is_found_by_the_begin_of_its_id,
        a_sync_makes_the_list_be_what_the_repository_says,
        a_sync_keeps_what_was_written_after_it_looked,
        the_newest_good_and_the_newest_proven_backup_are_known,
        what_each_repository_and_policy_has_of_an_app_is_counted,
    }
    repositories {
        a_recovery_kit_is_confirmed_until_the_key_changes,
        the_last_measurement_of_a_day_stands_for_it,
        the_newest_good_backup_of_one_repository_is_known,
    }
    people {
        an_account_is_found_whatever_the_case_of_its_name,
        the_last_admin_stays,
        two_admins_cannot_remove_each_other_at_once,
        the_setup_token_works_once,
        guesses_are_counted_by_name_and_by_address,
        a_session_ends_when_idle_and_when_old,
        sessions_end_by_hand_with_the_password_and_with_the_account,
        a_token_is_good_until_it_expires_or_is_revoked,
        a_one_time_code_and_a_recovery_code_count_once,
        an_identity_belongs_to_one_account,
        a_login_comes_back_once_in_time_and_in_its_browser,
        the_audit_log_is_listed_by_what_is_asked,
        entries_written_side_by_side_make_one_chain,
        an_edited_entry_is_found,
        an_entry_edited_with_its_hash_is_found,
        a_removed_entry_is_found,
        entries_cut_off_the_end_are_found,
        a_head_that_was_moved_back_is_found,
        a_log_that_was_emptied_is_found,
        a_repeated_request_gets_the_first_answer,
        one_of_many_equal_requests_is_new,
        a_job_is_the_answer_to_the_request_that_made_it,
        an_upload_grows_only_at_its_end,
        a_notice_goes_to_a_target_once,
    }
    copies {
        a_copy_goes_into_a_new_catalog_of_either_kind,
        a_copy_takes_the_place_of_all_that_a_catalog_holds_or_of_nothing,
        a_copy_is_refused_by_a_catalog_that_is_in_use_or_has_another_key,
    }
}

#[test]
fn every_case_holds_on_postgres_15() {
    on_postgres(15);
}

#[test]
fn every_case_holds_on_postgres_17() {
    on_postgres(17);
}

fn on_postgres(major: u32) {
    let server = TestPostgres::start(major);
    for (number, (name, case)) in CASES.iter().enumerate() {
        eprintln!("{name}");
        run(Place::postgres(&server, &format!("case_{number}")), case);
    }
}

fn run(place: Place, case: impl FnOnce(Place) -> Pin<Box<dyn Future<Output = ()> + Send>>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(case(place));
}
