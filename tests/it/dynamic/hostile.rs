//! Schemas that are garbage, or contradict themselves.

use micro_runtime::codegen::ServiceClient;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::codegen::prost_types::FileDescriptorSet;
use micro_runtime::{Bus, Code};
use micro_testkit::NatsServer;
use micro_tests::json::MirrorClient;

use super::MIRROR;
use super::schemas::answer_schema;

const SET: &[u8] = <MirrorClient as ServiceClient>::SERVICE.file_descriptor_set;

fn changed(change: impl Fn(&mut FileDescriptorSet)) -> Vec<u8> {
    let mut set = FileDescriptorSet::decode(SET).unwrap();
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
async fn garbage_is_refused_in_words() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let hand = async_nats::connect(nats.url()).await.unwrap();
    let deep = [0x0a, 0x80, 0x80, 0x80, 0x80, 0x01];
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "no descriptors"),
        (b"what?".to_vec(), "FileDescriptorSet"),
        (deep.to_vec(), "FileDescriptorSet"),
        (SET[..SET.len() / 2].to_vec(), "cannot be used"),
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
        let answering = answer_schema(&hand, MIRROR, schema).await;
        let status = bus.dynamic(MIRROR).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{status}");
        assert!(status.message().contains(words), "{status}");
        answering.abort();
        let _ = answering.await;
    }
}

/// Whatever bytes are changed, the client answers: it reads them, or refuses them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_with_broken_bytes_takes_nobody_down() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let hand = async_nats::connect(nats.url()).await.unwrap();
    for round in 0..60_usize {
        let mut schema = SET.to_vec();
        for step in 1..=round {
            let at = (round * 7919 + step * 104_729) % schema.len();
            schema[at] ^= u8::try_from(step % 255).unwrap() + 1;
        }
        let answering = answer_schema(&hand, MIRROR, schema).await;
        if let Ok(client) = bus.dynamic(MIRROR).await {
            // Nobody serves the method: what counts is that the message is made.
            let call = client.call("Show", r#"{"byNumber":{"1":{"text":"x"}},"data":"AA=="}"#);
            let _ = call.no_retry().await.unwrap_err();
        }
        answering.abort();
        let _ = answering.await;
    }
}
