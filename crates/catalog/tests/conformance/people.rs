use crate::place::Place;
use jiff::SignedDuration;
use pgkeep_catalog::people::idempotency::Answering;
use pgkeep_catalog::people::{
    AuditEntry, AuditFilter, AuditResult, AuditVerdict, Idempotency, Identity, LoginAttempt,
    NewDelivery, NewSession, NewToken, NewUpload, NewUser, UploadState, User, UserChange,
};
use pgkeep_catalog::{Catalog, CatalogError, Job, NewJob, Page};
use pgkeep_model::access::{Access, Permission, Role};
use pgkeep_model::job::{AppSpec, JobSpec, Trigger};
use pgkeep_model::notice::{Notice, NoticeKind};
use secrecy::ExposeSecret as _;
use serde_json::json;
use std::collections::BTreeMap;

fn new_user(name: &str, role: Role) -> NewUser {
    NewUser {
        name: name.to_owned(),
        email: None,
        access: Access::of(role),
        password_hash: Some("hash".to_owned()),
        identity: None,
        made_by: None,
    }
}

async fn user(catalog: &Catalog, name: &str, role: Role) -> User {
    catalog
        .create_user(&new_user(name, role))
        .await
        .expect("made")
}

async fn session(catalog: &Catalog, user: &User, hash: &str) -> String {
    let new = NewSession {
        user_id: user.id.clone(),
        token_hash: hash.to_owned(),
        csrf: "csrf".to_owned(),
        from: Some("127.0.0.1".to_owned()),
        agent: None,
        idle: SignedDuration::from_mins(30),
        lifetime: SignedDuration::from_hours(2),
    };
    catalog.create_session(&new).await.expect("opened").id
}

pub async fn an_account_is_found_whatever_the_case_of_its_name(place: Place) {
    let catalog = place.open().await;
    let ann = NewUser {
        email: Some("ann@example.org".to_owned()),
        access: Access {
            grants: [Permission::Restore, Permission::Download].into(),
            apps: Some(["shop".to_owned()].into()),
            ..Access::of(Role::Operator)
        },
        ..new_user("Ann", Role::Operator)
    };
    let made = catalog.create_user(&ann).await.expect("made");
    let found = catalog
        .user_named("aNN")
        .await
        .expect("an answer")
        .expect("there");
    assert_eq!(found, made);
    assert_eq!(found.access, ann.access);
    assert!(found.has_password && !found.has_totp && !found.disabled);
    let again = catalog.create_user(&new_user("ANN", Role::Viewer)).await;
    assert!(
        matches!(again, Err(CatalogError::Exists { .. })),
        "{again:?}"
    );
    assert_eq!(
        catalog.users().await.expect("listed"),
        std::slice::from_ref(&made)
    );

    let change = UserChange {
        name: Some("Anna".to_owned()),
        ..UserChange::default()
    };
    let stale = catalog
        .update_user(&made.id, &change, Some(made.revision + 1))
        .await;
    assert!(
        matches!(stale, Err(CatalogError::Conflict { .. })),
        "{stale:?}"
    );
    let changed = catalog
        .update_user(&made.id, &change, Some(made.revision))
        .await
        .expect("changed");
    assert_eq!(
        (changed.name.as_str(), changed.revision),
        ("Anna", made.revision + 1)
    );
    assert_eq!(catalog.user_named("ann").await.expect("an answer"), None);
}

pub async fn the_last_admin_stays(place: Place) {
    let catalog = place.open().await;
    let ann = user(&catalog, "ann", Role::Admin).await;
    let ben = user(&catalog, "ben", Role::Admin).await;
    user(&catalog, "cas", Role::Viewer).await;
    // An administrator of some apps is not one who can set things right.
    let restricted = NewUser {
        access: Access {
            apps: Some(["shop".to_owned()].into()),
            ..Access::of(Role::Admin)
        },
        ..new_user("dan", Role::Admin)
    };
    catalog.create_user(&restricted).await.expect("made");
    catalog
        .delete_user(&ben.id, None)
        .await
        .expect("another admin is left");

    let refused = |result: Result<User, CatalogError>| match result {
        Err(CatalogError::NotNow { why, .. }) => assert_eq!(why, "is the last administrator"),
        other => panic!("not refused: {other:?}"),
    };
    refused(catalog.delete_user(&ann.id, None).await);
    let disable = UserChange {
        disabled: Some(true),
        ..UserChange::default()
    };
    refused(catalog.update_user(&ann.id, &disable, None).await);
    let demote = UserChange {
        access: Some(Access::of(Role::Operator)),
        ..UserChange::default()
    };
    refused(catalog.update_user(&ann.id, &demote, None).await);
    assert_eq!(
        catalog.user(&ann.id).await.expect("there"),
        ann,
        "nothing changed"
    );
}

pub async fn two_admins_cannot_remove_each_other_at_once(place: Place) {
    let catalog = place.open().await;
    for round in 0..10 {
        let ann = user(&catalog, &format!("ann{round}"), Role::Admin).await;
        let ben = user(&catalog, &format!("ben{round}"), Role::Admin).await;
        let others: Vec<User> = catalog.users().await.expect("listed");
        for other in others
            .iter()
            .filter(|user| user.id != ann.id && user.id != ben.id)
        {
            catalog
                .delete_user(&other.id, None)
                .await
                .expect("two are left");
        }
        let second = place.open().await;
        let (one, other) = tokio::join!(
            catalog.delete_user(&ann.id, None),
            second.delete_user(&ben.id, None)
        );
        assert_eq!(
            [&one, &other]
                .iter()
                .filter(|result| result.is_ok())
                .count(),
            1,
            "{one:?} {other:?}"
        );
        assert_eq!(catalog.users().await.expect("listed").len(), 1);
        second.close().await;
    }
}

pub async fn the_setup_token_works_once(place: Place) {
    let catalog = place.open().await;
    assert!(catalog.setup_needed().await.expect("an answer"));
    let first = new_user("ann", Role::Admin);
    let none = catalog
        .take_setup_token("hash", &first)
        .await
        .expect("an answer");
    assert_eq!(none, None, "there is no token");
    catalog.put_setup_token_hash("older").await.expect("kept");
    catalog.put_setup_token_hash("newer").await.expect("kept");
    for wrong in ["older", "", "other"] {
        let none = catalog
            .take_setup_token(wrong, &first)
            .await
            .expect("an answer");
        assert_eq!(none, None, "{wrong}");
    }
    let second = place.open().await;
    let ben = new_user("ben", Role::Admin);
    let (one, other) = tokio::join!(
        catalog.take_setup_token("newer", &first),
        second.take_setup_token("newer", &ben)
    );
    let made = [one.expect("an answer"), other.expect("an answer")];
    assert_eq!(made.iter().flatten().count(), 1, "{made:?}");
    assert!(!catalog.setup_needed().await.expect("an answer"));
    catalog.put_setup_token_hash("late").await.expect("kept");
    let none = catalog
        .take_setup_token("late", &new_user("eve", Role::Admin))
        .await;
    assert_eq!(
        none.expect("an answer"),
        None,
        "there is an account already"
    );
}

pub async fn guesses_are_counted_by_name_and_by_address(place: Place) {
    let catalog = place.open().await;
    user(&catalog, "ann", Role::Viewer).await;
    // A name without an account is treated the same.
    for name in ["Ann", "nobody"] {
        for _ in 0..4 {
            assert_eq!(
                catalog
                    .record_login_failure(name, None)
                    .await
                    .expect("counted"),
                None
            );
        }
        assert_eq!(
            catalog.login_blocked(name, None).await.expect("an answer"),
            None
        );
        let until = catalog
            .record_login_failure(name, None)
            .await
            .expect("counted");
        assert_eq!(
            until,
            Some(catalog.now() + SignedDuration::from_secs(30)),
            "{name}"
        );
        assert_eq!(
            catalog
                .login_blocked(&name.to_lowercase(), None)
                .await
                .expect("an answer"),
            until
        );
    }
    place.advance(30);
    assert_eq!(
        catalog.login_blocked("ann", None).await.expect("an answer"),
        None
    );
    let until = catalog
        .record_login_failure("ann", None)
        .await
        .expect("counted");
    assert_eq!(
        until,
        Some(catalog.now() + SignedDuration::from_secs(60)),
        "it doubles"
    );

    catalog.clear_login_failures("ANN").await.expect("cleared");
    assert_eq!(
        catalog.login_blocked("ann", None).await.expect("an answer"),
        None
    );
    assert_eq!(
        catalog
            .record_login_failure("ann", None)
            .await
            .expect("counted"),
        None
    );

    // One address that tries many names.
    for guess in 0..20 {
        let name = format!("name{guess}");
        catalog
            .record_login_failure(&name, Some("203.0.113.9"))
            .await
            .expect("counted");
    }
    let blocked = catalog
        .login_blocked("fresh", Some("203.0.113.9"))
        .await
        .expect("an answer");
    assert!(blocked.is_some());
    assert_eq!(
        catalog
            .login_blocked("fresh", Some("203.0.113.8"))
            .await
            .expect("an answer"),
        None
    );
    // A day later all is forgotten.
    place.advance(25 * 3600);
    assert_eq!(
        catalog
            .record_login_failure("nobody", Some("203.0.113.9"))
            .await
            .expect("counted"),
        None
    );
}

pub async fn a_session_ends_when_idle_and_when_old(place: Place) {
    let catalog = place.open().await;
    let ann = user(&catalog, "ann", Role::Viewer).await;
    let id = session(&catalog, &ann, "secret").await;
    let alive = async |hash: &str| {
        catalog
            .session_by_hash(hash)
            .await
            .expect("an answer")
            .is_some()
    };
    assert!(alive("secret").await);
    assert!(!alive("other").await);
    for _ in 0..4 {
        place.advance(29 * 60);
        assert!(alive("secret").await);
        catalog
            .touch_session(&id, SignedDuration::from_mins(30))
            .await
            .expect("noted");
    }
    place.advance(4 * 60);
    assert!(
        !alive("secret").await,
        "two hours are over, however busy it was"
    );

    session(&catalog, &ann, "idle").await;
    place.advance(30 * 60);
    assert!(!alive("idle").await);
    assert_eq!(catalog.sessions_of(&ann.id).await.expect("listed"), []);
    assert_eq!(catalog.expire_people().await.expect("forgotten"), 2);
}

pub async fn sessions_end_by_hand_with_the_password_and_with_the_account(place: Place) {
    let catalog = place.open().await;
    let ann = user(&catalog, "ann", Role::Viewer).await;
    let ben = user(&catalog, "ben", Role::Viewer).await;
    let own = session(&catalog, &ann, "own").await;
    session(&catalog, &ann, "other").await;
    let alive = async |hash: &str| {
        catalog
            .session_by_hash(hash)
            .await
            .expect("an answer")
            .is_some()
    };
    assert!(
        !catalog
            .delete_session(&ben.id, &own)
            .await
            .expect("an answer"),
        "not ben's"
    );
    assert!(alive("own").await);

    catalog
        .set_password(&ann.id, "new", Some(&own), None)
        .await
        .expect("set");
    assert!(alive("own").await);
    assert!(!alive("other").await, "the password is another one");
    let proofs = catalog
        .proofs("ann")
        .await
        .expect("an answer")
        .expect("there");
    assert_eq!(proofs.password_hash.as_deref(), Some("new"));

    let disable = UserChange {
        disabled: Some(true),
        ..UserChange::default()
    };
    catalog
        .update_user(&ann.id, &disable, None)
        .await
        .expect("disabled");
    assert!(!alive("own").await);
    session(&catalog, &ann, "later").await;
    assert!(!alive("later").await, "a disabled account has none");

    session(&catalog, &ben, "bens").await;
    catalog.delete_user(&ben.id, None).await.expect("deleted");
    assert!(!alive("bens").await);
}

pub async fn a_token_is_good_until_it_expires_or_is_revoked(place: Place) {
    let catalog = place.open().await;
    let ann = user(&catalog, "ann", Role::Operator).await;
    let token = |name: &str, hours: Option<i64>| NewToken {
        user_id: ann.id.clone(),
        name: name.to_owned(),
        token_hash: format!("hash of {name}"),
        prefix: "pgk_abc".to_owned(),
        access: Access {
            apps: Some(["shop".to_owned()].into()),
            ..Access::of(Role::Viewer)
        },
        made_by: (name == "third").then(|| "somebody else".to_owned()),
        expires_at: hours.map(|hours| catalog.now() + SignedDuration::from_hours(hours)),
    };
    let alive = async |name: &str| {
        let found = catalog.token_by_hash(&format!("hash of {name}")).await;
        found.expect("an answer").is_some()
    };
    let short = token("short", Some(1));
    let made = catalog.create_token(&short).await.expect("made");
    catalog
        .create_token(&token("long", None))
        .await
        .expect("made");
    let again = catalog.create_token(&token("long", None)).await;
    assert!(
        matches!(again, Err(CatalogError::Exists { .. })),
        "{again:?}"
    );
    let (found, owner) = catalog
        .token_by_hash("hash of short")
        .await
        .expect("an answer")
        .expect("there");
    assert_eq!((found, owner), (made.clone(), ann.access.clone()));

    place.advance(3600);
    assert!(!alive("short").await, "its hour is over");
    assert!(alive("long").await);
    let long = catalog
        .tokens(Some(&ann.id))
        .await
        .expect("listed")
        .remove(0);
    catalog.touch_token(&long.id).await.expect("noted");
    assert_eq!(
        catalog.token(&long.id).await.expect("there").last_used_at,
        Some(catalog.now())
    );
    assert!(catalog.revoke_token(&long.id).await.expect("revoked"));
    assert!(
        !catalog.revoke_token(&long.id).await.expect("an answer"),
        "only once"
    );
    assert!(!alive("long").await);
    assert_eq!(
        catalog.tokens(None).await.expect("listed").len(),
        2,
        "they stay to be seen"
    );

    catalog
        .create_token(&token("third", None))
        .await
        .expect("made");
    let disable = UserChange {
        disabled: Some(true),
        ..UserChange::default()
    };
    catalog
        .update_user(&ann.id, &disable, None)
        .await
        .expect("disabled");
    assert!(!alive("third").await, "its owner is disabled");
}

pub async fn a_one_time_code_and_a_recovery_code_count_once(place: Place) {
    let catalog = place.open().await;
    let ann = user(&catalog, "ann", Role::Viewer).await;
    let early = catalog.confirm_totp(&ann.id, 10, &[]).await;
    assert!(
        matches!(early, Err(CatalogError::NotNow { .. })),
        "{early:?}"
    );
    catalog
        .begin_totp(&ann.id, &"CANARYSECRET".into())
        .await
        .expect("begun");
    let proofs = catalog
        .proofs("ann")
        .await
        .expect("an answer")
        .expect("there");
    assert!(!proofs.user.has_totp, "it does not count yet");
    assert_eq!(
        proofs.totp_secret.expect("kept").expose_secret(),
        "CANARYSECRET"
    );
    let codes = ["one".to_owned(), "two".to_owned()];
    catalog
        .confirm_totp(&ann.id, 10, &codes)
        .await
        .expect("confirmed");
    assert!(catalog.user(&ann.id).await.expect("there").has_totp);
    let again = catalog.begin_totp(&ann.id, &"OTHER".into()).await;
    assert!(
        matches!(again, Err(CatalogError::NotNow { .. })),
        "{again:?}"
    );

    for (step, good) in [(10, false), (9, false), (11, true), (11, false), (12, true)] {
        assert_eq!(
            catalog
                .use_totp_step(&ann.id, step)
                .await
                .expect("an answer"),
            good,
            "{step}"
        );
    }
    for (code, good) in [
        ("three", false),
        ("one", true),
        ("one", false),
        ("two", true),
    ] {
        assert_eq!(
            catalog
                .use_recovery_code(&ann.id, code)
                .await
                .expect("an answer"),
            good,
            "{code}"
        );
    }
    assert_eq!(
        catalog
            .recovery_codes_left(&ann.id)
            .await
            .expect("an answer"),
        0
    );
    let stored = String::from_utf8_lossy(&place.stored_bytes().await).into_owned();
    assert!(!stored.contains("CANARYSECRET"), "the secret is sealed");

    catalog.clear_totp(&ann.id, None).await.expect("cleared");
    assert!(!catalog.user(&ann.id).await.expect("there").has_totp);
    assert!(
        !catalog
            .use_totp_step(&ann.id, 100)
            .await
            .expect("an answer")
    );
}

pub async fn an_identity_belongs_to_one_account(place: Place) {
    let catalog = place.open().await;
    let identity = Identity {
        issuer: "https://id.example.org".to_owned(),
        subject: "42".to_owned(),
    };
    let ann = NewUser {
        password_hash: None,
        identity: Some(identity.clone()),
        made_by: None,
        ..new_user("ann", Role::Viewer)
    };
    let made = catalog.create_user(&ann).await.expect("made");
    assert_eq!(
        catalog
            .user_of_identity(&identity)
            .await
            .expect("an answer"),
        Some(made)
    );
    let elsewhere = Identity {
        issuer: "https://other.example.org".to_owned(),
        ..identity
    };
    assert_eq!(
        catalog
            .user_of_identity(&elsewhere)
            .await
            .expect("an answer"),
        None
    );
    let twice = NewUser {
        name: "ben".to_owned(),
        ..ann
    };
    assert!(catalog.create_user(&twice).await.is_err());
    user(&catalog, "cas", Role::Viewer).await;
    user(&catalog, "dan", Role::Viewer).await;
}

pub async fn a_login_comes_back_once_in_time_and_in_its_browser(place: Place) {
    let catalog = place.open().await;
    let attempt = |state: &str| LoginAttempt {
        state_hash: state.to_owned(),
        browser_hash: "browser".to_owned(),
        nonce: "nonce".into(),
        verifier: "CANARYVERIFIER".into(),
        return_to: "/backups".to_owned(),
    };
    let minutes = SignedDuration::from_mins(10);
    for state in ["one", "two", "three"] {
        catalog
            .begin_login(&attempt(state), minutes)
            .await
            .expect("kept");
    }
    let taken = catalog
        .take_login("one", "browser")
        .await
        .expect("an answer")
        .expect("there");
    assert_eq!(
        (taken.return_to.as_str(), taken.verifier.expose_secret()),
        ("/backups", "CANARYVERIFIER")
    );
    assert!(
        catalog
            .take_login("one", "browser")
            .await
            .expect("an answer")
            .is_none(),
        "once"
    );
    assert!(
        catalog
            .take_login("two", "other")
            .await
            .expect("an answer")
            .is_none(),
        "another browser"
    );
    assert!(
        catalog
            .take_login("two", "browser")
            .await
            .expect("an answer")
            .is_none(),
        "not any more"
    );
    place.advance(600);
    assert!(
        catalog
            .take_login("three", "browser")
            .await
            .expect("an answer")
            .is_none(),
        "too late"
    );
    let stored = String::from_utf8_lossy(&place.stored_bytes().await).into_owned();
    assert!(!stored.contains("CANARYVERIFIER"), "the verifier is sealed");
}

fn entry(action: &str, object: &str, app: Option<&str>) -> AuditEntry {
    AuditEntry {
        actor: "ann".to_owned(),
        actor_kind: "user".to_owned(),
        from: Some("127.0.0.1".to_owned()),
        action: action.to_owned(),
        object: object.to_owned(),
        app: app.map(str::to_owned),
        before: None,
        after: Some(json!({ "name": "ü\"\n", "count": 1 })),
        result: AuditResult::Done,
        reason: None,
        request_id: Some("r1".to_owned()),
    }
}

async fn log(catalog: &Catalog, entries: i64) {
    for number in 1..=entries {
        let seq = catalog
            .audit_append(&entry(
                "policy.update",
                &format!("policy/p{number}"),
                Some("shop"),
            ))
            .await;
        assert_eq!(seq.expect("written"), number);
    }
}

async fn broken(catalog: &Catalog) -> (i64, String) {
    match catalog.audit_verify().await.expect("read") {
        AuditVerdict::Broken { seq, why } => (seq, why),
        intact => panic!("not found: {intact:?}"),
    }
}

pub async fn the_audit_log_is_listed_by_what_is_asked(place: Place) {
    let catalog = place.open().await;
    assert_eq!(
        catalog.audit_verify().await.expect("read"),
        AuditVerdict::Intact { entries: 0 }
    );
    log(&catalog, 4).await;
    catalog
        .audit_append(&entry("user.create", "user/ben", None))
        .await
        .expect("written");
    place.advance(60);
    let refused = AuditEntry {
        result: AuditResult::Refused,
        reason: Some("no".to_owned()),
        actor: "eve".to_owned(),
        ..entry("user.delete", "user/ann", Some("blog"))
    };
    catalog.audit_append(&refused).await.expect("written");
    assert_eq!(
        catalog.audit_verify().await.expect("read"),
        AuditVerdict::Intact { entries: 6 }
    );

    let seqs = async |filter: AuditFilter| {
        let found = catalog
            .audit(&filter, &Page::default())
            .await
            .expect("listed");
        found
            .items
            .iter()
            .map(|record| record.seq)
            .collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    let any = AuditFilter::default;
    assert_eq!(seqs(any()).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(
        seqs(AuditFilter {
            actor: text("eve"),
            ..any()
        })
        .await,
        [6]
    );
    assert_eq!(
        seqs(AuditFilter {
            action: text("user"),
            ..any()
        })
        .await,
        [6, 5]
    );
    assert_eq!(
        seqs(AuditFilter {
            action: text("user.create"),
            ..any()
        })
        .await,
        [5]
    );
    assert_eq!(
        seqs(AuditFilter {
            action: text("use"),
            ..any()
        })
        .await,
        [0i64; 0]
    );
    assert_eq!(
        seqs(AuditFilter {
            object: text("policy/p2"),
            ..any()
        })
        .await,
        [2]
    );
    assert_eq!(
        seqs(AuditFilter {
            object: text("policy"),
            ..any()
        })
        .await,
        [4, 3, 2, 1]
    );
    assert_eq!(
        seqs(AuditFilter {
            result: Some(AuditResult::Refused),
            ..any()
        })
        .await,
        [6]
    );
    assert_eq!(
        seqs(AuditFilter {
            since: Some(catalog.now()),
            ..any()
        })
        .await,
        [6]
    );
    assert_eq!(
        seqs(AuditFilter {
            until: Some(catalog.now()),
            ..any()
        })
        .await,
        [5, 4, 3, 2, 1]
    );
    assert_eq!(
        seqs(AuditFilter {
            apps: Some(vec!["blog".to_owned()]),
            ..any()
        })
        .await,
        [6]
    );
    assert_eq!(
        seqs(AuditFilter {
            apps: Some(Vec::new()),
            ..any()
        })
        .await,
        [0i64; 0]
    );

    let mut page = Page {
        limit: 4,
        ..Page::default()
    };
    let first = catalog.audit(&any(), &page).await.expect("listed");
    assert_eq!(first.items[0].entry, refused);
    page.after = first.next;
    let second = catalog.audit(&any(), &page).await.expect("listed");
    assert_eq!(
        second
            .items
            .iter()
            .map(|record| record.seq)
            .collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(second.next, None);
}

pub async fn entries_written_side_by_side_make_one_chain(place: Place) {
    let catalog = place.open().await;
    let second = place.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let catalog = if writer % 2 == 0 {
            catalog.clone()
        } else {
            second.clone()
        };
        tasks.spawn(async move {
            for number in 0..25 {
                let object = format!("policy/{writer}-{number}");
                catalog
                    .audit_append(&entry("policy.update", &object, None))
                    .await
                    .expect("written");
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(
        catalog.audit_verify().await.expect("read"),
        AuditVerdict::Intact { entries: 200 }
    );
}

pub async fn an_edited_entry_is_found(place: Place) {
    let catalog = place.open().await;
    log(&catalog, 5).await;
    place
        .tamper("UPDATE audit SET actor = 'ben' WHERE seq = 3")
        .await;
    assert_eq!(
        broken(&catalog).await,
        (3, "it was changed after it was written".to_owned())
    );
}

pub async fn an_entry_edited_with_its_hash_is_found(place: Place) {
    let catalog = place.open().await;
    log(&catalog, 5).await;
    place
        .tamper("UPDATE audit SET hash = 'beef' WHERE seq = 5")
        .await;
    assert_eq!(broken(&catalog).await.0, 5);
}

pub async fn a_removed_entry_is_found(place: Place) {
    let catalog = place.open().await;
    log(&catalog, 5).await;
    place.tamper("DELETE FROM audit WHERE seq = 2").await;
    assert_eq!(
        broken(&catalog).await,
        (2, "the entry is missing".to_owned())
    );
}

pub async fn entries_cut_off_the_end_are_found(place: Place) {
    let catalog = place.open().await;
    log(&catalog, 5).await;
    place.tamper("DELETE FROM audit WHERE seq > 3").await;
    assert_eq!(
        broken(&catalog).await,
        (4, "entries at the end are missing".to_owned())
    );
    // And stay found when the log goes on.
    catalog
        .audit_append(&entry("user.create", "user/ben", None))
        .await
        .expect("written");
    assert_eq!(
        broken(&catalog).await,
        (4, "the entry is missing".to_owned())
    );
}

pub async fn a_head_that_was_moved_back_is_found(place: Place) {
    let catalog = place.open().await;
    log(&catalog, 5).await;
    // Whoever has the database but not the key can make numbers and hashes fit, but not the seal.
    place
        .tamper(
            "DELETE FROM audit WHERE seq > 3;
             UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)",
        )
        .await;
    let why = "the head of the log was changed without the catalog's key";
    assert_eq!(broken(&catalog).await, (4, why.to_owned()));
    catalog
        .audit_append(&entry("user.create", "user/ben", None))
        .await
        .expect("written");
    assert_eq!(
        broken(&catalog).await,
        (4, why.to_owned()),
        "it is written down where it was seen"
    );
}

pub async fn a_log_that_was_emptied_is_found(place: Place) {
    let catalog = place.open().await;
    log(&catalog, 3).await;
    place
        .tamper("DELETE FROM audit; UPDATE audit_head SET seq = 0, hash = '', seal = ''")
        .await;
    let why = "the head of the log was changed without the catalog's key";
    assert_eq!(broken(&catalog).await, (1, why.to_owned()));
    place.tamper("DELETE FROM audit_head").await;
    assert_eq!(broken(&catalog).await.1, "the head of the log is missing");
}

pub async fn a_repeated_request_gets_the_first_answer(place: Place) {
    let catalog = place.open().await;
    let begin = async |key: &str, who: &str, request: &str| {
        catalog
            .idempotency_begin(key, who, request)
            .await
            .expect("an answer")
    };
    assert_eq!(begin("k", "ann", "r").await, Idempotency::New);
    assert_eq!(begin("k", "ann", "r").await, Idempotency::InProgress);
    assert_eq!(begin("k", "ann", "other").await, Idempotency::Mismatch);
    assert_eq!(
        begin("k", "ben", "other").await,
        Idempotency::New,
        "keys are one's own"
    );
    catalog
        .idempotency_finish("k", "ann", 202, "{}")
        .await
        .expect("kept");
    let replay = Idempotency::Replay {
        status: 202,
        body: "{}".to_owned(),
    };
    assert_eq!(begin("k", "ann", "r").await, replay);
    assert_eq!(begin("k", "ann", "other").await, Idempotency::Mismatch);

    catalog
        .idempotency_abandon("k", "ben")
        .await
        .expect("freed");
    assert_eq!(begin("k", "ben", "again").await, Idempotency::New);
    place.advance(301);
    assert_eq!(
        begin("k", "ben", "again").await,
        Idempotency::New,
        "whoever worked on it is dead"
    );
    catalog
        .idempotency_abandon("k", "ann")
        .await
        .expect("an answer");
    assert_eq!(
        begin("k", "ann", "r").await,
        replay,
        "what was answered is not given up"
    );
    place.advance(24 * 3600);
    catalog.expire_people().await.expect("forgotten");
    assert_eq!(begin("k", "ann", "r").await, Idempotency::New);
}

pub async fn a_job_is_the_answer_to_the_request_that_made_it(place: Place) {
    let catalog = place.open().await;
    let begin = async |key: &str| {
        let asked = catalog.idempotency_begin(key, "ann", "r").await;
        asked.expect("an answer")
    };
    assert_eq!(begin("made").await, Idempotency::New);
    assert_eq!(begin("broken off").await, Idempotency::New);
    let spec = JobSpec::Doctor(AppSpec { app: "shop".into() });
    let job = NewJob::new(spec, Trigger::Api, "ann", catalog.now());
    let request = Answering {
        key: "made",
        principal: "ann",
        status: 202,
        body: &|job: &Job| job.id.clone(),
    };
    let made = catalog.enqueue_answering(job, Some(request)).await;
    let made = made.expect("queued");
    // The server is killed here, and another one starts.
    catalog.free_unanswered_keys().await.expect("freed");
    let replay = Idempotency::Replay {
        status: 202,
        body: made.job().id.clone(),
    };
    assert_eq!(begin("made").await, replay);
    assert_eq!(begin("broken off").await, Idempotency::New);
}

pub async fn one_of_many_equal_requests_is_new(place: Place) {
    let catalog = place.open().await;
    let second = place.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let catalog = if task % 2 == 0 {
            catalog.clone()
        } else {
            second.clone()
        };
        tasks.spawn(async move {
            catalog
                .idempotency_begin("k", "ann", "r")
                .await
                .expect("an answer")
        });
    }
    let answers = tasks.join_all().await;
    assert_eq!(
        answers
            .iter()
            .filter(|answer| **answer == Idempotency::New)
            .count(),
        1,
        "{answers:?}"
    );
}

pub async fn an_upload_grows_only_at_its_end(place: Place) {
    let catalog = place.open().await;
    let new = NewUpload {
        owner: "ann".to_owned(),
        app: Some("shop".to_owned()),
        file_name: "../shop.dump".to_owned(),
        size_bytes: Some(100),
        sha256: None,
        expires_at: catalog.now() + SignedDuration::from_hours(1),
    };
    let upload = catalog.create_upload(&new).await.expect("made");
    let later = catalog.now() + SignedDuration::from_hours(2);
    catalog
        .advance_upload(&upload.id, 0, 40, later)
        .await
        .expect("noted");
    let wrong = catalog.advance_upload(&upload.id, 0, 40, later).await;
    assert!(
        matches!(wrong, Err(CatalogError::NotNow { .. })),
        "{wrong:?}"
    );
    let missing = catalog.advance_upload("other", 0, 1, later).await;
    assert!(
        matches!(missing, Err(CatalogError::NotFound { .. })),
        "{missing:?}"
    );
    let totals = catalog.upload_totals("ann").await.expect("counted");
    assert_eq!((totals.uploads, totals.bytes, totals.of_owner), (1, 100, 1));
    assert_eq!(
        catalog
            .upload_totals("ben")
            .await
            .expect("counted")
            .of_owner,
        0
    );
    catalog
        .advance_upload(&upload.id, 40, 120, later)
        .await
        .expect("noted");
    assert_eq!(
        catalog.upload_totals("ann").await.expect("counted").bytes,
        120
    );

    let early = catalog.take_upload(&upload.id, "job").await;
    assert!(
        matches!(early, Err(CatalogError::NotNow { .. })),
        "{early:?}"
    );
    place.advance(3 * 3600);
    assert_eq!(catalog.expired_uploads().await.expect("listed").len(), 1);
    catalog
        .complete_upload(&upload.id, "abcd")
        .await
        .expect("complete");
    catalog.take_upload(&upload.id, "job").await.expect("taken");
    let taken = catalog.upload(&upload.id).await.expect("there");
    assert_eq!(
        (
            taken.state,
            taken.size_bytes,
            taken.sha256.as_deref(),
            taken.job.as_deref()
        ),
        (UploadState::Taken, Some(120), Some("abcd"), Some("job"))
    );
    assert_eq!(
        catalog.expired_uploads().await.expect("listed"),
        [],
        "a job reads it"
    );
    let twice = catalog.take_upload(&upload.id, "another").await;
    assert!(
        matches!(twice, Err(CatalogError::NotNow { .. })),
        "{twice:?}"
    );
    assert!(catalog.drop_upload(&upload.id).await.expect("dropped"));
    assert_eq!(catalog.uploads(None).await.expect("listed"), []);
}

fn notice(catalog: &Catalog, id: &str) -> Notice {
    Notice {
        id: id.to_owned(),
        kind: NoticeKind::Failure,
        time: catalog.now(),
        app: Some("shop".to_owned()),
        policy: None,
        job: None,
        backup: None,
        summary: "backup of shop failed".to_owned(),
        hint: None,
        facts: BTreeMap::new(),
        link: None,
    }
}

pub async fn a_notice_goes_to_a_target_once(place: Place) {
    let catalog = place.open().await;
    let delivery = |target: &str, id: &str| NewDelivery {
        target: target.to_owned(),
        notice: notice(&catalog, id),
        dedup_key: "failure/shop".to_owned(),
    };
    let both = [delivery("ops", "n1"), delivery("mail", "n1")];
    let cursor = json!(7);
    let handed = catalog
        .enqueue_deliveries(&both, Some(("notify.cursor", &cursor)))
        .await;
    assert_eq!(handed.expect("handed in"), 2);
    assert_eq!(
        catalog.setting("notify.cursor").await.expect("read"),
        Some(cursor)
    );
    let again = catalog
        .enqueue_deliveries(&both, Some(("notify.cursor", &json!(8))))
        .await;
    assert_eq!(again.expect("handed in"), 0, "as after a crash");
    assert!(
        !catalog
            .enqueue_delivery("ops", &both[0].notice, "x")
            .await
            .expect("handed in")
    );

    let due = catalog
        .due_deliveries(catalog.now(), 10)
        .await
        .expect("listed");
    assert_eq!(due.len(), 2);
    let soon = catalog.now() + SignedDuration::from_mins(1);
    assert!(
        catalog
            .take_delivery(&due[0], soon)
            .await
            .expect("an answer")
    );
    assert!(
        !catalog
            .take_delivery(&due[0], soon)
            .await
            .expect("an answer"),
        "another sender has it"
    );
    catalog.delivered(&due[0].id).await.expect("noted");
    let later = catalog.now() + SignedDuration::from_mins(5);
    catalog
        .delivery_failed(&due[1].id, "no route", Some(later))
        .await
        .expect("noted");
    assert_eq!(
        catalog
            .due_deliveries(catalog.now(), 10)
            .await
            .expect("listed"),
        []
    );
    place.advance(300);
    let due = catalog
        .due_deliveries(catalog.now(), 10)
        .await
        .expect("listed");
    assert_eq!(
        (due.len(), due[0].attempts, due[0].error.as_deref()),
        (1, 1, Some("no route"))
    );
    let sent = catalog
        .last_sent(&due[0].target, "failure/shop")
        .await
        .expect("an answer");
    assert_eq!(sent, Some(due[0].created_at));
    catalog
        .delivery_failed(&due[0].id, "gone", None)
        .await
        .expect("noted");
    assert_eq!(
        catalog
            .due_deliveries(later + SignedDuration::from_hours(99), 10)
            .await
            .expect("listed"),
        []
    );
    assert_eq!(
        catalog
            .last_sent(&due[0].target, "failure/shop")
            .await
            .expect("an answer"),
        None
    );
    place.advance(31 * 24 * 3600);
    assert_eq!(catalog.expire_people().await.expect("forgotten"), 2);
}
