//! Streams of each kind that end without an error, a rejected stream, and large unary messages.

use micro_runtime::Code;
use micro_tests::streams::{CountRequest, Item};

use super::fixture::StreamsFixture;
use crate::carriers::{Carrier, on_both_carriers_and_paused};

on_both_carriers_and_paused! {
    server_streaming
    client_streaming
    bidirectional_streaming
    large_unary_messages_are_sent_in_parts
}

async fn server_streaming(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    for messages in [0, 1, 2, 100_000] {
        let request = CountRequest {
            messages,
            size: 16,
            ..CountRequest::default()
        };
        let mut items = fixture.client.count(request).await.unwrap();
        assert_eq!(items.metadata().get("kind"), Some("count"));
        for number in 0..messages {
            assert_eq!(items.message().await.unwrap().unwrap().number, number);
        }
        assert_eq!(items.message().await.unwrap(), None);
        assert_eq!(items.message().await.unwrap(), None);
        assert_eq!(
            items.trailers().get("sent"),
            Some(messages.to_string().as_str())
        );
    }
    fixture.handler.wait_until_idle().await;
    fixture.server.shutdown().await.unwrap();
}

async fn client_streaming(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    for messages in [0, 1, 2, 100_000] {
        let mut collect = fixture.client.collect().open().await.unwrap();
        for number in 0..messages {
            let item = Item {
                number,
                data: vec![1; 16],
                ..Item::default()
            };
            collect.send(item).await.unwrap();
        }
        let (summary, metadata) = collect.finish_with_metadata().await.unwrap();
        assert_eq!(metadata.get("kind"), Some("collect"));
        assert_eq!(summary.messages, messages);
        assert_eq!(summary.bytes, messages * 16);
        assert!(summary.is_in_order);
    }
    fixture.handler.wait_until_idle().await;
}

async fn bidirectional_streaming(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let (mut sender, mut replies) = fixture.client.echo().open().await.unwrap();
    for number in 0..1000 {
        let item = Item {
            number,
            ..Item::default()
        };
        sender.send(item).await.unwrap();
        assert_eq!(replies.message().await.unwrap().unwrap().number, number);
    }
    sender.finish().await.unwrap();
    assert_eq!(replies.message().await.unwrap(), None);
    assert_eq!(replies.metadata().get("kind"), Some("echo"));
    assert_eq!(replies.trailers().get("done"), Some("yes"));
    let rejected = CountRequest {
        plan: "refuse".to_owned(),
        ..CountRequest::default()
    };
    let status = fixture.client.count(rejected).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    fixture.handler.wait_until_idle().await;
}

async fn large_unary_messages_are_sent_in_parts(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let small_to_large = Item {
        number: 3000,
        data: b"0123456789".repeat(100),
        ..Item::default()
    };
    let reply = fixture.client.repeat(small_to_large).await.unwrap();
    assert_eq!(reply.data.len(), 3_000_000);
    let large_to_large = Item {
        number: 2,
        data: b"0123456789".repeat(150_000),
        ..Item::default()
    };
    let reply = fixture.client.repeat(large_to_large).await.unwrap();
    assert_eq!(reply.data.len(), 3_000_000);
    assert!(reply.data.ends_with(b"0123456789"));
}
