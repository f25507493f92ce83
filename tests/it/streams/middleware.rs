//! `tower` layers around streaming methods: they see the opening request, and may reject it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::middleware::{Next, Request};
use micro_runtime::{ClientOptions, Code, Server, Status};
use micro_tests::streams::StreamsClient;
use tower::Service as _;
use tower::timeout::TimeoutLayer;

use super::fixture::StreamsFixture;
use super::items::{count, expect_items, item};
use crate::carriers::{Carrier, on_both_carriers_and_paused};

on_both_carriers_and_paused! {
    layers_see_the_opening_of_streams
    layers_reject_streams_at_either_end
    layers_add_metadata_to_streams
    pass_through_layers_change_nothing
    a_timeout_layer_bounds_only_the_opening
}

type Notes = Arc<Mutex<Vec<String>>>;

/// Layer that records each opening on its way in and out, adds a header, and rejects one tenant.
macro_rules! recording_layer {
    ($name:literal, $notes:expr) => {{
        let notes: Notes = Arc::clone($notes);
        tower::layer::layer_fn(move |next: Next| {
            let notes = Arc::clone(&notes);
            tower::service_fn(move |mut request: Request| {
                let mut next = next.clone();
                let notes = Arc::clone(&notes);
                async move {
                    let tenant = request.metadata().get("tenant").unwrap_or("none");
                    let method = request.method().name;
                    let length = request.payload().len();
                    let note = format!("{} in {method} {length} {tenant}", $name);
                    notes.lock().unwrap().push(note);
                    if tenant == concat!("not-by-", $name) {
                        return Err(Status::permission_denied("not this tenant"));
                    }
                    request.metadata_mut().append($name, "passed")?;
                    let mut response = next.call(request).await?;
                    response.metadata_mut().append($name, "opened")?;
                    let note = format!("{} out {}", $name, response.payload().len());
                    notes.lock().unwrap().push(note);
                    Ok::<_, Status>(response)
                }
            })
        })
    }};
}

async fn start_recording(carrier: &Carrier, notes: &Notes) -> (StreamsFixture, StreamsClient) {
    let server_layer = recording_layer!("server", notes);
    let fixture =
        StreamsFixture::start_with(&carrier.bus, |server: Server| server.layer(server_layer)).await;
    let options = ClientOptions::new().layer(recording_layer!("client", notes));
    let client = carrier.bus.client_with(options);
    (fixture, client)
}

async fn layers_see_the_opening_of_streams(carrier: Carrier) {
    let notes = Notes::default();
    let (fixture, client) = start_recording(&carrier, &notes).await;
    let mut items = client
        .count(count(3, ""))
        .header("tenant", "acme")
        .await
        .unwrap();
    expect_items(&mut items, 3).await;
    assert_eq!(items.metadata().get("kind"), Some("count"));
    let found = std::mem::take(&mut *notes.lock().unwrap());
    let length = 4; // CountRequest { messages: 3, size: 16 }
    assert_eq!(
        found,
        [
            format!("client in Count {length} acme"),
            format!("server in Count {length} acme"),
            "server out 0".to_owned(),
            "client out 0".to_owned(),
        ]
    );
    let (mut sender, mut echoes) = client.echo().open().await.unwrap();
    sender.send(item(0)).await.unwrap();
    sender.finish().await.unwrap();
    expect_items(&mut echoes, 1).await;
    let found = std::mem::take(&mut *notes.lock().unwrap());
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found[0], "client in Echo 0 none");
    let mut collect = client.collect().open().await.unwrap();
    collect.send(item(0)).await.unwrap();
    assert_eq!(collect.finish().await.unwrap().messages, 1);
    fixture.wait_until_idle().await;
}

async fn layers_reject_streams_at_either_end(carrier: Carrier) {
    let notes = Notes::default();
    let (fixture, client) = start_recording(&carrier, &notes).await;
    for tenant in ["not-by-client", "not-by-server"] {
        let check = |status: Status| {
            assert_eq!(status.code(), Code::PermissionDenied, "{status}");
            assert_eq!(status.reason(), None);
        };
        let call = client.count(count(3, "")).header("tenant", tenant);
        check(call.await.unwrap_err());
        // A call that has sent before it is rejected gets the status in place of its reply.
        match client.collect().header("tenant", tenant).open().await {
            Ok(collect) => check(collect.finish().await.unwrap_err()),
            Err(status) => check(status),
        }
        match client.echo().header("tenant", tenant).open().await {
            Ok((_sender, mut items)) => check(items.message().await.unwrap_err()),
            Err(status) => check(status),
        }
    }
    fixture.wait_until_idle().await;
}

async fn layers_add_metadata_to_streams(carrier: Carrier) {
    let notes = Notes::default();
    let (fixture, client) = start_recording(&carrier, &notes).await;
    let mut items = client
        .count(count(1, ""))
        .header("tenant", "a")
        .await
        .unwrap();
    assert_eq!(items.metadata().get("server"), Some("opened"));
    assert_eq!(items.metadata().get("kind"), Some("count"));
    assert_eq!(items.metadata().get("tenant"), Some("a"));
    expect_items(&mut items, 1).await;
    assert_eq!(items.trailers().get("sent"), Some("1"));
    let status = client.count(count(1, "refuse")).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let (_, metadata) = client
        .collect()
        .open()
        .await
        .unwrap()
        .finish_with_metadata()
        .await
        .unwrap();
    assert_eq!(metadata.get("server"), Some("opened"));
    fixture.wait_until_idle().await;
}

async fn pass_through_layers_change_nothing(carrier: Carrier) {
    let layer = TimeoutLayer::new(Duration::from_secs(60));
    let fixture =
        StreamsFixture::start_with(&carrier.bus, |server: Server| server.layer(layer.clone()))
            .await;
    let options = ClientOptions::new().layer(layer);
    let client: StreamsClient = carrier.bus.client_with(options);
    let mut items = client.count(count(10_000, "")).await.unwrap();
    expect_items(&mut items, 10_000).await;
    assert_eq!(items.metadata().get("left-ms"), None, "no deadline was set");
    drop(client.count(count(10, "wait")).await.unwrap());
    fixture.wait_until_idle().await;
}

async fn a_timeout_layer_bounds_only_the_opening(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let layer = TimeoutLayer::new(Duration::from_millis(200));
    let options = ClientOptions::new().layer(layer);
    let client: StreamsClient = carrier.bus.client_with(options);
    let status = client.count(count(1, "never")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    fixture.wait_until_idle().await;
    let (mut sender, mut items) = client.echo().open().await.unwrap();
    // sleep: longer than the layer's timeout.
    tokio::time::sleep(Duration::from_millis(300)).await;
    sender.send(item(0)).await.unwrap();
    sender.finish().await.unwrap();
    expect_items(&mut items, 1).await;
    fixture.wait_until_idle().await;
}
