//! Refused streams: their openings, their frames at either end, and large unary messages.

use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::{Bus, ClientOptions, Code, Reason, Status, StreamOptions};
use micro_testkit::{NatsServer, within};
use micro_tests::streams::{CountRequest, Item, StreamsClient};
use prost::Message as _;

use super::users::{
    ALL, SHORT, User, check_refused, check_status, config, connect, nats_with, until_fast,
};
use crate::layered::with_and_without_layer;
use crate::streams::fixture::StreamsFixture;

const LIMIT: Duration = Duration::from_secs(60);

fn item(number: u64) -> Item {
    Item {
        number,
        data: vec![1; 1000],
        ..Item::default()
    }
}

/// Options without and with a layer, of streams and large messages that only a refusal ends within the limit of a test.
fn options() -> [ClientOptions; 2] {
    let streams = StreamOptions::new().open_timeout(2 * LIMIT);
    let streams = streams.heartbeat(2 * LIMIT).idle_timeout(6 * LIMIT);
    let options = ClientOptions::new().timeout(2 * LIMIT);
    with_and_without_layer(&options.stream_options(streams))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_opening_fails_within_a_round_trip() {
    within(LIMIT, async {
        let nats = nats_with(&[User::client(&["nothing"])]).await;
        for options in options() {
            until_fast(&nats, "client", async |bus| {
                let client: StreamsClient = bus.client_with(options.clone());
                let count = client.count(CountRequest::default());
                let named = "publish to `streams.v1.Streams.Count`";
                check_refused(async { count.await.map(drop) }, named).await;
            })
            .await;
            until_fast(&nats, "client", async |bus| {
                let client: StreamsClient = bus.client_with(options.clone());
                let collect = client.collect().open();
                let named = "publish to `streams.v1.Streams.Collect`";
                check_refused(async { collect.await.map(drop) }, named).await;
            })
            .await;
            until_fast(&nats, "client", async |bus| {
                let client: StreamsClient = bus.client_with(options.clone());
                let openings = (0..50).map(|_| async { client.echo().open().await.map(drop) });
                for opened in join_all(openings).await {
                    let named = "publish to `streams.v1.Streams.Echo`";
                    check_status(&opened.unwrap_err(), named);
                }
            })
            .await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_frames_of_the_client_end_its_stream() {
    within(LIMIT, async {
        // A client that may call, but not send frames: a line of the permissions is missing.
        let client = User::client(&["streams.v1.Streams.*"]);
        let nats = nats_with(&[User::any("service"), client]).await;
        let service = connect(&nats, "service").await;
        let _fixture = StreamsFixture::start(&service).await;
        for options in options() {
            let options = &options;
            until_fast(&nats, "client", async |bus| {
                refused_messages(bus, options).await;
            })
            .await;
            until_fast(&nats, "client", async |bus| {
                refused_message(bus, options).await;
            })
            .await;
            until_fast(&nats, "client", async |bus| {
                refused_grant(bus, options).await;
            })
            .await;
            // A large reply, whose grant is refused, and a large request.
            for (number, length) in [(3, 700_000), (1, 3 << 20)] {
                until_fast(&nats, "client", async |bus| {
                    let client: StreamsClient = bus.client_with(options.clone());
                    let large = Item {
                        number,
                        data: vec![1; length],
                        ..Item::default()
                    };
                    check_refused(client.repeat(large), FRAMES).await;
                })
                .await;
            }
        }
    })
    .await;
}

/// Begins the name of the subject of a frame to the server.
const FRAMES: &str = "publish to `streams.v1.Streams._i.";

async fn refused_messages(bus: &Bus, options: &ClientOptions) {
    let client: StreamsClient = bus.client_with(options.clone());
    let mut collect = client.collect().open().await.unwrap();
    let sending = async {
        loop {
            collect.send(item(0)).await?;
        }
        #[expect(unreachable_code, reason = "names the type")]
        Ok(())
    };
    check_refused(sending, FRAMES).await;
}

async fn refused_message(bus: &Bus, options: &ClientOptions) {
    let client: StreamsClient = bus.client_with(options.clone());
    let (mut sender, mut replies) = client.echo().open().await.unwrap();
    sender.send(item(0)).await.unwrap();
    check_refused(async { replies.message().await }, FRAMES).await;
}

async fn refused_grant(bus: &Bus, options: &ClientOptions) {
    let client: StreamsClient = bus.client_with(options.clone());
    let request = CountRequest {
        messages: 100_000,
        size: 100,
        ..CountRequest::default()
    };
    let window = StreamOptions::new().window_messages(16);
    let window = window.heartbeat(2 * LIMIT).idle_timeout(6 * LIMIT);
    let mut items = client.count(request).stream_options(window).await.unwrap();
    let reading = async {
        while items.message().await?.is_some() {}
        Ok::<_, Status>(())
    };
    check_refused(reading, FRAMES).await;
}

/// A stream that is accepted goes on although further openings are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_opening_ends_no_accepted_stream() {
    within(LIMIT, async {
        let service = User::any("service");
        let mut nats = nats_with(&[service.clone(), User::client(&["streams.v1.Streams.>"])]).await;
        let bus = connect(&nats, "service").await;
        let _fixture = StreamsFixture::start(&bus).await;
        let client: StreamsClient = connect(&nats, "client").await.client();
        let (mut sender, mut replies) = client.echo().open().await.unwrap();
        // Its server waits for a grant after each message.
        let waiting = CountRequest {
            messages: 10,
            ..CountRequest::default()
        };
        let window = StreamOptions::new().window_messages(1);
        let waiting = client.count(waiting).stream_options(window);
        let mut waiting = waiting.await.unwrap();
        assert_eq!(waiting.message().await.unwrap().unwrap().number, 0);
        let frames_only = User::client(&["streams.v1.Streams._i.>"]);
        nats.reload(&config(&[service, frames_only])).unwrap();
        let refused = async {
            while client.echo().open().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polling interval
            }
        };
        within(LIMIT, refused).await;
        for number in 0..100 {
            sender.send(item(number)).await.unwrap();
            assert_eq!(replies.message().await.unwrap().unwrap().number, number);
        }
        for number in 1..10 {
            assert_eq!(waiting.message().await.unwrap().unwrap().number, number);
        }
        assert_eq!(waiting.message().await.unwrap(), None);
        sender.finish().await.unwrap();
        assert_eq!(replies.message().await.unwrap(), None);
    })
    .await;
}

/// A service that may send one message for each request, which is what `allow_responses` grants by default, and a bus
/// of its client.
async fn one_message_only() -> (NatsServer, StreamsFixture, Bus) {
    let service =
        User::new("service", ALL, &["_INBOX.service.>", "$SRV.>"]).with(", allow_responses: true");
    let nats = nats_with(&[service, User::client(ALL)]).await;
    let bus = connect(&nats, "service").await;
    let fixture = StreamsFixture::start(&bus).await;
    let client = connect(&nats, "client").await;
    (nats, fixture, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_frames_of_the_server_end_its_handler_and_the_caller_hears_the_likely_cause() {
    within(LIMIT, async {
        let (_nats, fixture, bus) = one_message_only().await;
        let options = StreamOptions::new().heartbeat(Duration::from_millis(200));
        let options = ClientOptions::new().stream_options(options);
        let client: StreamsClient = bus.client_with(options);
        let request = CountRequest {
            messages: 1_000_000,
            size: 100,
            pause_us: 1000,
            ..CountRequest::default()
        };
        let mut items = client.count(request).await.unwrap();
        let reading = async {
            while items.message().await?.is_some() {}
            Ok::<_, Status>(())
        };
        // It would run for a quarter of an hour.
        let handler = fixture.handler.wait_until_idle();
        let (status, ()) = tokio::join!(reading, handler);
        let status = status.unwrap_err();
        assert_eq!(status.reason(), Some(Reason::PeerGone), "{status}");
        assert!(status.message().contains("allow_responses"), "{status}");
        let stats = fixture.server.stats().remove(0);
        assert!(
            stats.endpoints[0].last_error.contains("NATS does not let"),
            "{stats:?}"
        );
        assert!(stats.data.unwrap().refused_replies > 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_messages_by_hand_end_the_handler_and_refused_parts_the_call() {
    within(LIMIT, async {
        let (_nats, fixture, bus) = one_message_only().await;
        // By hand: one plain message each, without frames.
        let plain = bus.nats().unwrap().clone();
        let mut inbox = plain.subscribe("_INBOX.client.hand").await.unwrap();
        let request = CountRequest {
            messages: 1_000_000,
            pause_us: 1000,
            ..CountRequest::default()
        };
        let body = request.encode_to_vec();
        plain
            .publish_with_reply(
                "streams.v1.Streams.Count",
                "_INBOX.client.hand",
                body.into(),
            )
            .await
            .unwrap();
        futures_util::StreamExt::next(&mut inbox).await.unwrap();
        // It would run for a quarter of an hour.
        fixture.handler.wait_until_idle().await;
        // A large reply: the offer is the one message.
        let large = Item {
            number: 3,
            data: vec![1; 700_000],
            ..Item::default()
        };
        let options = StreamOptions::new().open_timeout(SHORT);
        let client: StreamsClient = bus.client_with(ClientOptions::new().stream_options(options));
        let called = client
            .repeat(large.clone())
            .timeout(Duration::from_secs(20));
        let status = called.await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains("allow_responses"), "{status}");
        // With the usual limits the deadline comes first, and states the same.
        let client: StreamsClient = bus.client();
        let called = client.repeat(large).timeout(SHORT);
        let status = called.await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        assert!(status.message().contains("allow_responses"), "{status}");
    })
    .await;
}

/// The server has sent many messages before: the silence may have another cause, and the text states both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_line_that_is_revoked_in_a_stream_is_a_likely_cause_of_its_silence() {
    within(LIMIT, async {
        let service = |publish: &[&str]| User::new("service", ALL, publish);
        let own = ["_INBOX.service.>", "$SRV.>"];
        let client = User::client(ALL);
        let mut nats = nats_with(&[service(ALL), client.clone()]).await;
        let bus = connect(&nats, "service").await;
        let _fixture = StreamsFixture::start(&bus).await;
        let options = StreamOptions::new().heartbeat(Duration::from_millis(200));
        let options = ClientOptions::new().stream_options(options);
        let streams: StreamsClient = connect(&nats, "client").await.client_with(options);
        let request = CountRequest {
            messages: 1_000_000,
            pause_us: 1000,
            ..CountRequest::default()
        };
        let mut items = streams.count(request).await.unwrap();
        for _ in 0..10 {
            items.message().await.unwrap().unwrap();
        }
        nats.reload(&config(&[service(&own), client])).unwrap();
        let status = loop {
            match items.message().await {
                Ok(item) => assert!(item.is_some()),
                Err(status) => break status,
            }
        };
        assert_eq!(status.reason(), Some(Reason::PeerGone), "{status}");
        for cause in ["likely cause", "allow_responses", "revoked"] {
            assert!(status.message().contains(cause), "{status}");
        }
    })
    .await;
}

/// Checks that a large request fails, at its deadline or once the service has given it up, and that the text states the
/// likely cause.
async fn large_request_ends_with_the_likely_cause(client: &StreamsClient) {
    // Its reply is large as well: on a busy machine a small one may come with the frame that accepts.
    let large = Item {
        data: vec![1; 3 << 20],
        number: 1,
        ..Item::default()
    };
    let status = client.repeat(large).timeout(SHORT).await.unwrap_err();
    let expected = [Code::DeadlineExceeded, Code::Unavailable];
    assert!(expected.contains(&status.code()), "{status}");
    assert!(status.message().contains("allow_responses"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_to_a_service_with_too_few_responses_states_the_likely_cause() {
    within(LIMIT, async {
        let service = User::new("service", ALL, &["_INBOX.service.>", "$SRV.>"]);
        let service = service.with(", allow_responses: { max: 1, expires: \"20s\" }");
        let nats = nats_with(&[service, User::client(ALL)]).await;
        let bus = connect(&nats, "service").await;
        let _fixture = StreamsFixture::start(&bus).await;
        let client: StreamsClient = connect(&nats, "client").await.client();
        large_request_ends_with_the_likely_cause(&client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_to_an_export_without_response_type_states_the_likely_cause() {
    within(LIMIT, async {
        let accounts = r#"accounts {
            A { users: [{ user: service, password: service }], exports: [{ service: "streams.v1.Streams.>" }] }
            B {
                users: [{ user: client, password: client }]
                imports: [{ service: { account: A, subject: "streams.v1.Streams.>" } }]
            }
        }
        "#;
        let nats = NatsServer::builder().config(accounts).start().await.unwrap();
        let bus = connect(&nats, "service").await;
        let _fixture = StreamsFixture::start(&bus).await;
        let client: StreamsClient = connect(&nats, "client").await.client();
        large_request_ends_with_the_likely_cause(&client).await;
    })
    .await;
}
