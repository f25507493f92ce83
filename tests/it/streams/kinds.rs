//! What each kind does when all goes well, and how a handler's failure arrives.

use micro_runtime::Code;
use micro_tests::streams::{CountRequest, Item};

use super::Scene;
use crate::carriers::{World, on_both_carriers};

on_both_carriers! {
    a_server_streams
    a_client_streams
    both_stream
    a_large_unary_call_goes_in_parts
}

async fn a_server_streams(world: World) {
    let scene = Scene::on(&world.bus).await;
    for messages in [0, 1, 2, 100_000] {
        let request = CountRequest {
            messages,
            size: 16,
            ..CountRequest::default()
        };
        let mut items = scene.client.count(request).await.unwrap();
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
    scene.handler.wait_until_idle().await;
    scene.server.shutdown().await.unwrap();
}

async fn a_client_streams(world: World) {
    let scene = Scene::on(&world.bus).await;
    for messages in [0, 1, 2, 100_000] {
        let mut collect = scene.client.collect().open().await.unwrap();
        for number in 0..messages {
            let item = Item {
                number,
                data: vec![1; 16],
                ..Item::default()
            };
            collect.send(item).await.unwrap();
        }
        let (summary, metadata) = collect.answer().await.unwrap();
        assert_eq!(metadata.get("kind"), Some("collect"));
        assert_eq!(summary.messages, messages);
        assert_eq!(summary.bytes, messages * 16);
        assert!(summary.is_in_order);
    }
    scene.handler.wait_until_idle().await;
}

async fn both_stream(world: World) {
    let scene = Scene::on(&world.bus).await;
    let (mut sender, mut replies) = scene.client.echo().open().await.unwrap();
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
    let refused = CountRequest {
        plan: "refuse".to_owned(),
        ..CountRequest::default()
    };
    let status = scene.client.count(refused).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    scene.handler.wait_until_idle().await;
}

async fn a_large_unary_call_goes_in_parts(world: World) {
    let scene = Scene::on(&world.bus).await;
    let small_to_large = Item {
        number: 3000,
        data: b"0123456789".repeat(100),
        ..Item::default()
    };
    let reply = scene.client.repeat(small_to_large).await.unwrap();
    assert_eq!(reply.data.len(), 3_000_000);
    let large_to_large = Item {
        number: 2,
        data: b"0123456789".repeat(150_000),
        ..Item::default()
    };
    let reply = scene.client.repeat(large_to_large).await.unwrap();
    assert_eq!(reply.data.len(), 3_000_000);
    assert!(reply.data.ends_with(b"0123456789"));
}
