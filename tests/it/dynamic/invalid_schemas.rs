//! Schemas that cannot be decoded, or contradict themselves.

use micro_runtime::codegen::ServiceClient;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::codegen::prost_types::FileDescriptorSet;
use micro_runtime::{Bus, Code};
use micro_testkit::NatsServer;
use micro_tests::json::MirrorClient;

use super::mirror_fixture::MIRROR;
use super::schema_responder::respond_with_schema;

/// Valid schema of the service.
const SCHEMA: &[u8] = <MirrorClient as ServiceClient>::SERVICE.file_descriptor_set;

/// Returns the schema after a change.
fn changed(change: impl Fn(&mut FileDescriptorSet)) -> Vec<u8> {
    let mut set = FileDescriptorSet::decode(SCHEMA).unwrap();
    change(&mut set);
    set.encode_to_vec()
}

fn rename_method(set: &mut FileDescriptorSet, name: &str) {
    let services = set.file.iter_mut().flat_map(|file| &mut file.service);
    for service in services {
        service.method[0].name = Some(name.to_owned());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_schema_is_an_error_that_names_the_cause() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let plain_client = async_nats::connect(nats.url()).await.unwrap();
    // A field of 256 MiB.
    let oversized = [0x0a, 0x80, 0x80, 0x80, 0x80, 0x01];
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "no descriptors"),
        (b"garbage".to_vec(), "FileDescriptorSet"),
        (oversized.to_vec(), "FileDescriptorSet"),
        (SCHEMA[..SCHEMA.len() / 2].to_vec(), "cannot be used"),
        (
            changed(|set| set.file.retain(|file| !file.service.is_empty())),
            "is missing",
        ),
        (
            changed(|set| set.file.iter_mut().for_each(|file| file.service.clear())),
            "no service",
        ),
        (
            changed(|set| set.file[0].syntax = Some("proto9".to_owned())),
            "the syntax `proto9`",
        ),
        (changed(|set| rename_method(set, "a b")), "no usable name"),
        (changed(|set| rename_method(set, ">")), "no usable name"),
        (
            changed(|set| rename_method(set, "a\r\nPUB x")),
            "no usable name",
        ),
    ];
    for (schema, words) in cases {
        let responder = respond_with_schema(&plain_client, MIRROR, schema).await;
        let status = bus.dynamic(MIRROR).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{status}");
        assert!(status.message().contains(words), "{status}");
        responder.abort();
        let _ = responder.await;
    }
}

/// The client accepts or rejects a schema with changed bytes, and never panics or hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupted_schema_is_accepted_or_rejected() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let plain_client = async_nats::connect(nats.url()).await.unwrap();
    for round in 0..60_usize {
        let mut schema = SCHEMA.to_vec();
        for step in 1..=round {
            let at = (round * 7919 + step * 104_729) % schema.len();
            schema[at] ^= u8::try_from(step % 255).unwrap() + 1;
        }
        let responder = respond_with_schema(&plain_client, MIRROR, schema).await;
        if let Ok(client) = bus.dynamic(MIRROR).await {
            // No instance serves the method: the call only shows that the request can be encoded.
            let call = client.call("Show", r#"{"byNumber":{"1":{"text":"x"}},"data":"AA=="}"#);
            let _ = call.no_retry().await.unwrap_err();
        }
        responder.abort();
        let _ = responder.await;
    }
}
