//! Messages to a real HTTP server that takes, refuses, delays and redirects them.

mod support;

use pgkeep_model::notice::{Channel, Notice};
use pgkeep_notify::{SendError, signature};
use pgkeep_testkit::{HttpAnswer, HttpReceiver};
use std::time::Duration;
use support::{notice, sender};

/// Stands in the path, the query and the secret of each channel, and must be seen in no error.
const CANARY: &str = "T0CANARYTOKEN42";

fn slack(receiver: &HttpReceiver) -> Channel {
    Channel::Slack {
        url: receiver
            .url(&format!("/services/{CANARY}?key={CANARY}x"))
            .into(),
    }
}

async fn refused(channel: &Channel) -> SendError {
    let error = sender()
        .send(channel, &notice())
        .await
        .expect_err("the message is not taken");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("CANARY"), "a secret is shown: {shown}");
    error
}

#[tokio::test]
async fn a_message_is_posted_as_json_and_acknowledged() {
    let receiver = HttpReceiver::start();
    for channel in [
        slack(&receiver),
        Channel::Discord {
            url: receiver.url("/api/webhooks/1/token").into(),
        },
        Channel::Teams {
            url: receiver.url("/workflows/token?sig=s").into(),
        },
    ] {
        let receipt = sender().send(&channel, &notice()).await.expect("taken");
        assert_eq!(
            receipt.summary,
            format!("{} answered 200", receiver.url("").replace("http://", ""))
        );
        let request = receiver.next_request();
        assert_eq!(request.method, "POST");
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert!(
            request
                .header("user-agent")
                .is_some_and(|agent| agent.starts_with("pgkeep/"))
        );
        let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
        assert!(
            body.to_string()
                .contains("the server refused the connection"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_webhook_is_signed_over_id_time_and_body() {
    let receiver = HttpReceiver::start();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let channel = Channel::Webhook {
        url: receiver.url("/hook").into(),
        secret: Some(secret.into()),
    };
    sender().send(&channel, &notice()).await.expect("taken");
    let request = receiver.next_request();
    let id = request.header("webhook-id").expect("an id");
    let time = request.header("webhook-timestamp").expect("a time");
    assert_eq!(id, notice().id);
    assert_eq!(
        time, "1772334000",
        "the time of the attempt, not of the notice"
    );
    let expected =
        signature(secret, id, 1_772_334_000, request.body.as_bytes()).expect("a good secret");
    assert_eq!(request.header("webhook-signature"), Some(expected.as_str()));
    let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body["type"], "pgkeep.failure");
    assert_eq!(body["data"]["app"], "shop");
}

#[tokio::test]
async fn a_webhook_with_a_broken_secret_sends_nothing() {
    let receiver = HttpReceiver::start();
    let channel = Channel::Webhook {
        url: receiver.url("/hook").into(),
        secret: Some(format!("whsec_{CANARY}!").into()),
    };
    let error = refused(&channel).await;
    assert!(!error.retry);
    assert!(error.hint.is_some());
    assert!(receiver.is_empty());
}

#[tokio::test]
async fn a_ping_is_a_plain_request() {
    let receiver = HttpReceiver::start();
    let channel = Channel::DeadManPing {
        url: receiver.url("/ping/uuid").into(),
    };
    sender().send(&channel, &notice()).await.expect("taken");
    let request = receiver.next_request();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("GET", "/ping/uuid")
    );
    assert_eq!(request.body, "");
}

#[tokio::test]
async fn a_busy_receiver_is_asked_again_after_the_time_that_it_names() {
    let receiver = HttpReceiver::start();
    receiver.answer(429, &[("Retry-After", "17")], "slow down");
    let error = refused(&slack(&receiver)).await;
    assert!(error.retry);
    assert_eq!(error.retry_after, Some(Duration::from_secs(17)));
    assert!(
        error.message.ends_with("answered 429: slow down"),
        "{error}"
    );

    receiver.answer(503, &[], "");
    let error = refused(&slack(&receiver)).await;
    assert!(error.retry && error.retry_after.is_none());
}

#[tokio::test]
async fn a_refusal_is_not_repeated_and_its_echo_of_the_token_is_not_shown() {
    let receiver = HttpReceiver::start();
    receiver.answer(
        404,
        &[],
        &format!("no_service at /services/{CANARY}?key={CANARY}x"),
    );
    let error = refused(&slack(&receiver)).await;
    assert!(!error.retry);
    assert!(error.message.contains("404: no_service at"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (receiver, elsewhere) = (HttpReceiver::start(), HttpReceiver::start());
    for status in [301, 302, 307, 308] {
        receiver.answer(
            status,
            &[("Location", &elsewhere.url(&format!("/{CANARY}")))],
            CANARY,
        );
        let error = refused(&slack(&receiver)).await;
        assert!(!error.retry);
        assert!(error.message.contains("redirect"), "{error}");
    }
    assert!(elsewhere.is_empty());
}

#[tokio::test]
async fn an_endless_answer_is_read_to_a_bound() {
    let receiver = HttpReceiver::start();
    receiver.answer(400, &[], &"x".repeat(50 * 1024 * 1024));
    let error = refused(&slack(&receiver)).await;
    assert!(error.message.len() < 1_000, "{} bytes", error.message.len());
}

#[tokio::test]
async fn a_silent_receiver_is_given_up() {
    let receiver = HttpReceiver::start();
    receiver.push(HttpAnswer::Hang);
    let error = sender()
        .with_time_limit(Duration::from_millis(200))
        .send(&slack(&receiver), &notice())
        .await
        .expect_err("no answer");
    assert!(error.retry, "{error:?}");
    assert!(error.message.starts_with("no answer within"), "{error}");
}

#[tokio::test]
async fn a_broken_connection_is_worth_another_attempt() {
    let receiver = HttpReceiver::start();
    receiver.push(HttpAnswer::Close);
    assert!(refused(&slack(&receiver)).await.retry);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    let channel = Channel::Teams {
        url: format!("http://{address}/{CANARY}?sig={CANARY}").into(),
    };
    let error = refused(&channel).await;
    assert!(error.retry);
    assert!(error.message.contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn tls_to_a_receiver_without_it_fails_without_showing_the_address() {
    let receiver = HttpReceiver::start();
    let channel = Channel::Slack {
        url: receiver
            .url(&format!("/{CANARY}"))
            .replace("http:", "https:")
            .into(),
    };
    assert!(refused(&channel).await.retry);
    assert!(receiver.is_empty());
}

#[tokio::test]
async fn addresses_of_clouds_credentials_are_refused() {
    for address in [
        "http://169.254.169.254/latest",
        "http://0xa9fea9fe/latest",
        "http://2852039166/latest",
        "http://169.254.43518/latest",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
    ] {
        let error = refused(&Channel::Slack {
            url: address.into(),
        })
        .await;
        assert!(!error.retry, "{address}: {error:?}");
        assert!(error.message.contains("metadata"), "{address}: {error}");
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_said_so() {
    for address in [
        "",
        CANARY,
        "ftp://files.example/T0CANARYTOKEN42",
        "file:///etc/passwd",
        "env:T0CANARYTOKEN42",
    ] {
        let error = refused(&Channel::Discord {
            url: address.into(),
        })
        .await;
        assert!(!error.retry && error.hint.is_some(), "{address}: {error:?}");
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_worth_another_attempt() {
    let channel = Channel::Slack {
        url: format!("https://nobody.invalid/{CANARY}").into(),
    };
    let error = refused(&channel).await;
    assert!(error.retry, "{error:?}");
    assert!(error.message.contains("nobody.invalid"), "{error}");
}

#[tokio::test]
async fn texts_with_line_breaks_stay_in_their_field() {
    let receiver = HttpReceiver::start();
    let odd = Notice {
        summary: "failed:\r\nX-Injected: yes\0".into(),
        ..notice()
    };
    let channel = Channel::Webhook {
        url: receiver.url("/hook").into(),
        secret: None,
    };
    sender().send(&channel, &odd).await.expect("taken");
    let request = receiver.next_request();
    assert_eq!(request.header("x-injected"), None);
    assert_eq!(request.header("webhook-signature"), None);
}
