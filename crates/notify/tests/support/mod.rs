//! What the tests of all channels send, and by whom.

use pgkeep_model::notice::{Notice, NoticeKind};
use pgkeep_notify::Sender;
use pgkeep_testkit::ManualClock;
use std::sync::Arc;

pub fn sender() -> Sender {
    Sender::new(Arc::new(ManualClock::at("2026-03-01T03:00:00Z")))
}

pub fn notice() -> Notice {
    Notice {
        id: "01931f6e-7a10-7000-8000-00000000c0de".into(),
        kind: NoticeKind::Failure,
        time: "2026-03-01T02:00:07Z".parse().expect("a valid time"),
        app: Some("shop".into()),
        policy: Some("production_daily_full".into()),
        job: None,
        backup: None,
        summary: "backup of shop failed: the server refused the connection".into(),
        hint: Some("start the database".into()),
        facts: [("attempts".to_owned(), "3 of 3".to_owned())].into(),
        link: Some("https://pgkeep.example/jobs/1".into()),
    }
}
