//! Streaming methods that a plain client calls in JSON.

use std::time::Duration;

use async_nats::{HeaderMap, Message};
use futures_util::StreamExt as _;
use micro_testkit::within;

use super::fixture::{JsonFixture, header, text};

/// Sends one request, and returns all its replies, of which the last one has the status.
async fn call(fixture: &JsonFixture, method: &str, json: &'static str) -> Vec<Message> {
    let inbox = fixture.client.new_inbox();
    let mut replies = fixture.client.subscribe(inbox.clone()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.append("Content-Type", "application/json");
    let subject = format!("json.v1.Mirror.{method}");
    fixture
        .client
        .publish_with_reply_and_headers(subject, inbox, headers, json.into())
        .await
        .unwrap();
    let mut messages = Vec::new();
    within(Duration::from_secs(20), async {
        while let Some(message) = replies.next().await {
            let is_end = header(&message, "Micro-Status").is_some();
            messages.push(message);
            if is_end {
                return;
            }
        }
    })
    .await;
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_of_a_stream_is_json() {
    let fixture = JsonFixture::start().await;
    let replies = call(&fixture, "Repeat", r#"{"messages":2,"letters":1}"#).await;
    let texts = replies.iter().map(text).collect::<Vec<_>>();
    assert_eq!(texts, [r#"{"text":"x"}"#, r#"{"number":1,"text":"x"}"#, ""]);
    assert_eq!(
        header(&replies[0], "Content-Type"),
        Some("application/json")
    );
    assert_eq!(header(&replies[2], "kind"), Some("repeat"));
    assert_eq!(header(&replies[2], "Micro-Status"), Some("0"));
    // An empty message is not empty text, so it needs no header `Micro-Empty`.
    let replies = call(&fixture, "Repeat", r#"{"messages":1}"#).await;
    assert_eq!(text(&replies[0]), "{}");
    assert_eq!(header(&replies[0], "Micro-Empty"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_fails_ends_with_its_status() {
    let fixture = JsonFixture::start().await;
    let replies = call(&fixture, "Repeat", r#"{"messages":1,"fails":true}"#).await;
    assert_eq!(header(&replies[1], "Micro-Status"), Some("10"));
    assert_eq!(header(&replies[1], "Nats-Service-Error"), Some("enough"));
    let replies = call(&fixture, "Repeat", r#"{"messages":"many"}"#).await;
    assert_eq!(header(&replies[0], "Micro-Status"), Some("3"));
    let error = header(&replies[0], "Nats-Service-Error").unwrap();
    assert!(error.contains("`messages`"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_stream_takes_one_message_or_none() {
    let fixture = JsonFixture::start().await;
    let replies = call(&fixture, "Join", r#"{"text":"a"}"#).await;
    assert_eq!(text(&replies[0]), r#"{"number":1,"text":"a"}"#);
    let replies = call(&fixture, "Join", "").await;
    assert_eq!(text(&replies[0]), "{}");
    let replies = call(&fixture, "Chat", r#"{"number":1}"#).await;
    assert_eq!(text(&replies[0]), r#"{"number":2}"#);
}
