//! Messages through a real mail server.

mod support;

use pgkeep_model::notice::{Channel, Notice, SmtpTls};
use pgkeep_notify::SendError;
use pgkeep_testkit::{SmtpProtection, SmtpServer};
use support::{notice, sender};

const PASSWORD: &str = "CANARY-pa55word";

struct Target<'a> {
    server: &'a SmtpServer,
    host: &'a str,
    tls: SmtpTls,
    login: Option<(&'a str, &'a str)>,
    ca_file: Option<std::path::PathBuf>,
}

impl<'a> Target<'a> {
    fn of(server: &'a SmtpServer, tls: SmtpTls) -> Target<'a> {
        Target {
            server,
            host: "127.0.0.1",
            tls,
            login: None,
            ca_file: Some(server.root_cert()),
        }
    }

    fn channel(&self) -> Channel {
        Channel::Email {
            to: vec!["ops@example.com".into(), "Größe <boss@example.com>".into()],
            from: "pgkeep <backups@example.org>".into(),
            host: self.host.into(),
            port: Some(self.server.port()),
            tls: self.tls,
            username: self.login.map(|(name, _)| name.into()),
            password: self.login.map(|(_, password)| password.into()),
            ca_file: self.ca_file.as_ref().map(|file| file.display().to_string()),
        }
    }

    async fn send(&self) -> Result<String, SendError> {
        let sent = sender().send(&self.channel(), &notice()).await;
        if let Err(error) = &sent {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("CANARY"), "a secret is shown: {shown}");
        }
        sent.map(|receipt| receipt.summary)
    }

    async fn refused(&self) -> SendError {
        let error = self.send().await.expect_err("the message is not taken");
        assert!(self.server.is_empty(), "nothing was delivered");
        error
    }
}

#[tokio::test]
async fn a_message_goes_over_starttls_with_all_its_parts() {
    let server = SmtpServer::start(SmtpProtection::StartTls);
    let answer = Target::of(&server, SmtpTls::StartTls)
        .send()
        .await
        .expect("taken");
    assert_eq!(answer, "127.0.0.1 answered 250");
    let mail = server.next_mail();
    assert!(mail.encrypted);
    assert_eq!(mail.from, "backups@example.org");
    assert_eq!(mail.to, ["ops@example.com", "boss@example.com"]);
    for expected in [
        "Message-ID: <01931f6e-7a10-7000-8000-00000000c0de@example.org>",
        "List-Id: pgkeep notices <notices.pgkeep.example.org>",
        "Auto-Submitted: auto-generated",
        "Date: Sun, 01 Mar 2026 03:00:00 +0000",
        "Subject: [pgkeep] backup of shop failed: the server refused the connection",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Type: text/html; charset=utf-8",
        "multipart/alternative",
        "What to do: Start the database.",
        "https://pgkeep.example/jobs/1",
    ] {
        let content = unfolded(&mail.content);
        assert!(content.contains(expected), "no {expected} in {content}");
    }
}

#[tokio::test]
async fn a_message_goes_over_tls_from_the_first_byte() {
    let server = SmtpServer::start(SmtpProtection::Implicit);
    let target = Target {
        host: "localhost",
        ..Target::of(&server, SmtpTls::Implicit)
    };
    target.send().await.expect("taken");
    assert!(server.next_mail().encrypted);
}

#[tokio::test]
async fn a_server_on_this_machine_may_go_without_tls() {
    let server = SmtpServer::start(SmtpProtection::Plain);
    Target::of(&server, SmtpTls::None)
        .send()
        .await
        .expect("taken");
    assert!(!server.next_mail().encrypted);
}

#[tokio::test]
async fn a_server_that_offers_no_starttls_gets_nothing() {
    let server = SmtpServer::start(SmtpProtection::Plain);
    let error = Target::of(&server, SmtpTls::StartTls).refused().await;
    assert!(error.message.contains("STARTTLS"), "{error}");
    assert!(!error.retry);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    for (protection, tls) in [
        (SmtpProtection::StartTls, SmtpTls::StartTls),
        (SmtpProtection::Implicit, SmtpTls::Implicit),
    ] {
        let server = SmtpServer::builder(protection)
            .login("me", PASSWORD)
            .start();
        for ca_file in [Some(server.foreign_root_cert()), None] {
            let target = Target {
                ca_file,
                login: Some(("me", PASSWORD)),
                ..Target::of(&server, tls)
            };
            let error = target.refused().await;
            assert!(error.message.contains("certificate"), "{error}");
            assert!(error.hint.is_some());
        }
    }
}

#[tokio::test]
async fn a_login_is_used() {
    let server = SmtpServer::builder(SmtpProtection::StartTls)
        .login("me", PASSWORD)
        .start();
    let target = Target {
        login: Some(("me", PASSWORD)),
        ..Target::of(&server, SmtpTls::StartTls)
    };
    target.send().await.expect("taken");
    server.next_mail();
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_tried_again() {
    let server = SmtpServer::builder(SmtpProtection::StartTls)
        .login("me", "another")
        .start();
    let target = Target {
        login: Some(("me", PASSWORD)),
        ..Target::of(&server, SmtpTls::StartTls)
    };
    let error = target.refused().await;
    assert!(error.message.contains("535"), "{error}");
    assert!(!error.retry && error.hint.is_some());
}

#[tokio::test]
async fn a_refused_recipient_is_final_or_for_later_as_the_server_says() {
    for (code, retry) in [(550, false), (450, true)] {
        let server = SmtpServer::builder(SmtpProtection::StartTls)
            .refuse(code)
            .start();
        let error = Target::of(&server, SmtpTls::StartTls).refused().await;
        assert!(error.message.contains("not now, not here"), "{error}");
        assert_eq!(error.retry, retry, "{code}");
    }
}

#[tokio::test]
async fn a_target_that_cannot_work_is_refused_before_anything_is_sent() {
    let server = SmtpServer::start(SmtpProtection::StartTls);
    let target = Target::of(&server, SmtpTls::StartTls);
    let broken = |change: fn(&mut Channel)| {
        let mut channel = target.channel();
        change(&mut channel);
        channel
    };
    for (channel, said) in [
        (
            broken(|channel| {
                if let Channel::Email { to, .. } = channel {
                    to.clear()
                }
            }),
            "no recipient",
        ),
        (
            broken(|channel| {
                if let Channel::Email { to, .. } = channel {
                    to[0] = "nobody".into()
                }
            }),
            "not a mail address",
        ),
        (
            broken(|channel| {
                if let Channel::Email { from, .. } = channel {
                    *from = "a@b.c\r\nBcc: x@y.z".into()
                }
            }),
            "not a mail address",
        ),
        (
            broken(|channel| {
                if let Channel::Email { username, .. } = channel {
                    *username = Some("me".into())
                }
            }),
            "without a password",
        ),
        (
            broken(|channel| {
                if let Channel::Email { ca_file, .. } = channel {
                    *ca_file = Some("/nowhere.pem".into())
                }
            }),
            "/nowhere.pem",
        ),
        (
            broken(|channel| {
                if let Channel::Email { host, .. } = channel {
                    *host = "169.254.169.254".into()
                }
            }),
            "metadata",
        ),
    ] {
        let error = sender()
            .send(&channel, &notice())
            .await
            .expect_err("refused");
        assert!(error.message.contains(said), "no `{said}` in {error}");
        assert!(!error.retry && error.hint.is_some(), "{error:?}");
    }
    assert!(server.is_empty());
}

#[tokio::test]
async fn a_line_break_in_a_summary_adds_no_header() {
    let server = SmtpServer::start(SmtpProtection::StartTls);
    let odd = Notice {
        summary: "failed\r\nBcc: all@example.com\r\n\r\nnew body".into(),
        ..notice()
    };
    let channel = Target::of(&server, SmtpTls::StartTls).channel();
    sender().send(&channel, &odd).await.expect("taken");
    let mail = server.next_mail();
    assert!(
        !mail.content.lines().any(|line| line.starts_with("Bcc:")),
        "{}",
        mail.content
    );
    assert_eq!(mail.to.len(), 2);
}

/// Headers on one line each, bodies without soft line breaks.
fn unfolded(content: &str) -> String {
    content.replace("=\r\n", "").replace("\r\n ", " ")
}
