//! A service that may not send its replies: only its own side sees the refusal, and the caller's error states it as a
//! likely cause, with the line that is missing.

use std::time::Duration;

use micro_runtime::{Bus, ClientOptions, Code, Reason, Status, StreamOptions};
use micro_testkit::{NatsServer, within};
use micro_tests::streams::{CountRequest, Item, StreamsClient};

use super::users::{ALL, SHORT, User, connect, nats_with};
use crate::layered::with_and_without_layer;
use crate::streams::fixture::StreamsFixture;

const LIMIT: Duration = Duration::from_secs(60);
const LINE: &str = "`publish: \"_INBOX.>\"`";

/// A service without the line for replies, and a bus of its client.
async fn mute_service() -> (NatsServer, StreamsFixture, Bus) {
    let service = User::new("service", ALL, &["_INBOX.service.>", "$SRV.>"]);
    let nats = nats_with(&[service, User::client(ALL)]).await;
    let bus = connect(&nats, "service").await;
    let fixture = StreamsFixture::start(&bus).await;
    let client = connect(&nats, "client").await;
    (nats, fixture, client)
}

#[track_caller]
fn check(status: &Status, code: Code) {
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains("likely cause"), "{status}");
    assert!(status.message().contains(LINE), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_does_not_open_names_the_line() {
    within(LIMIT, async {
        let (_nats, _fixture, bus) = mute_service().await;
        let soon = StreamOptions::new().open_timeout(Duration::from_millis(500));
        let options = ClientOptions::new().stream_options(soon);
        for options in with_and_without_layer(&options) {
            let client: StreamsClient = bus.client_with(options);
            for status in [
                client.count(CountRequest::default()).await.err().unwrap(),
                client.collect().open().await.err().unwrap(),
                client.echo().open().await.err().unwrap(),
            ] {
                check(&status, Code::Unavailable);
                assert_eq!(status.reason(), Some(Reason::PeerGone), "{status}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_names_the_line() {
    within(LIMIT, async {
        let (_nats, _fixture, bus) = mute_service().await;
        let large = || Item {
            data: vec![1; 3 << 20],
            ..Item::default()
        };
        let client: StreamsClient = bus.client();
        // By its deadline, and by the open timeout of its stream.
        let status = client.repeat(large()).timeout(SHORT).await.unwrap_err();
        check(&status, Code::DeadlineExceeded);
        let called = client.repeat(large()).timeout(Duration::from_secs(20));
        let status = called.await.unwrap_err();
        check(&status, Code::Unavailable);
    })
    .await;
}
