//! Clients that break the stream protocol: malformed frames, and frames beyond their credit.

use async_nats::HeaderMap;
use micro_runtime::Code;
use micro_testkit::Process;

use super::frames::{
    MORE, PING, bytes_field, client_frame, find_field, flags, number_field, server_frame,
    status_code,
};
use super::items::item;
use super::peer_process;
use super::raw_client::{RawClient, SERVICE, next_message};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_frame_resets_only_its_stream() {
    let client = RawClient::start().await;
    let other = client.service.client.echo().open().await.unwrap();
    let end_of_nothing = [number_field(3, 2)].concat();
    let unnumbered = bytes_field(2, b"");
    let lost = [number_field(1, 7), bytes_field(2, b"")].concat();
    let unfinished = [
        number_field(1, 1),
        bytes_field(2, b"\x08"),
        number_field(3, 3),
    ]
    .concat();
    let garbage: [(Vec<u8>, Code); 8] = [
        (b"".to_vec(), Code::Internal),
        (b"\xff\xff\xff\xff".to_vec(), Code::Internal),
        (b"\x12\x7fcut".to_vec(), Code::Internal),
        (b"{\"stream\":1}".to_vec(), Code::Internal),
        (end_of_nothing, Code::Internal),
        (unnumbered, Code::Internal),
        (lost, Code::DataLoss),
        (unfinished, Code::Internal),
    ];
    for (frame, expected) in garbage {
        let (up, mut replies) = client.open_accepted("Echo").await;
        client.send_frame(&up, frame.clone()).await;
        let code = client.read_until_reset(&mut replies).await;
        assert_eq!(code, Some(expected), "{frame:?}");
    }
    // A frame of a server, as a responder repeats it.
    let (up, mut replies) = client.open_accepted("Echo").await;
    let repeated = server_frame([number_field(1, 1), bytes_field(2, b"\x08\x05")].concat());
    client.nats.publish(up, repeated.into()).await.unwrap();
    let code = client.read_until_reset(&mut replies).await;
    assert_eq!(code, Some(Code::Internal));
    // A duplicate frame is ignored; a message that does not decode is an error of the handler's read.
    let (up, mut replies) = client.open_accepted("Echo").await;
    let first = [number_field(1, 1), bytes_field(2, b"\x08\x05")].concat();
    client.send_frame(&up, first.clone()).await;
    client.send_frame(&up, first).await;
    let echo = loop {
        if let Some(echo) = find_field(&next_message(&mut replies).await.payload, 2) {
            break echo;
        }
    };
    assert_eq!(echo, b"\x08\x05");
    client
        .send_frame(&up, [number_field(1, 2), bytes_field(2, b"\xff")].concat())
        .await;
    let end = loop {
        if let Some(code) = status_code(&next_message(&mut replies).await.payload) {
            break code;
        }
    };
    assert_eq!(end, Code::InvalidArgument);
    // The stream that was open before has not been affected.
    let (mut sender, mut items) = other;
    sender.send(item(7)).await.unwrap();
    assert_eq!(items.message().await.unwrap().unwrap().number, 7);
    sender.finish().await.unwrap();
    assert!(items.message().await.unwrap().is_none());
    client.service.wait_until_idle().await;
}

/// The headers are those of a request in JSON, and of a failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_with_the_headers_of_another_message_resets_its_stream() {
    let client = RawClient::start().await;
    for header in [("Content-Type", "application/json"), ("Micro-Status", "5")] {
        let (up, mut replies) = client.open_accepted("Echo").await;
        let mut headers = HeaderMap::new();
        headers.insert(header.0, header.1);
        let frame = client_frame([number_field(1, 1), bytes_field(2, b"\x08\x05")].concat());
        let sending = client.nats.publish_with_headers(up, headers, frame.into());
        sending.await.unwrap();
        let code = client.read_until_reset(&mut replies).await;
        assert_eq!(code, Some(Code::Internal), "{header:?}");
    }
    client.service.wait_until_idle().await;
}

/// Resident memory of a process, in bytes.
fn resident_memory(process: &Process) -> u64 {
    let path = format!("/proc/{}/statm", process.pid());
    let statm = std::fs::read_to_string(path).unwrap();
    let pages = statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    pages * 4096
}

/// Number of frames that each attack sends.
const ATTACK_FRAMES: u64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_ignores_credit_does_not_grow_memory() {
    let client = RawClient::start().await;
    let victim = peer_process::start(&client.server, &["serve", "victim"]).await;
    let filler = vec![0; 500_000];
    let padding = bytes_field(15, &filler);
    let empty = bytes_field(2, b"");
    let attacks: [(&str, Vec<u8>, Option<Code>); 5] = [
        (
            "bytes",
            bytes_field(2, &filler),
            Some(Code::ResourceExhausted),
        ),
        (
            "one endless message",
            [bytes_field(2, &filler), number_field(3, MORE)].concat(),
            Some(Code::ResourceExhausted),
        ),
        (
            "empty messages",
            empty.repeat(250_000),
            Some(Code::ResourceExhausted),
        ),
        // Within the credit, although each frame has half a megabyte of unknown fields.
        ("padding", [empty.clone(), padding.clone()].concat(), None),
        (
            "padded parts of nothing",
            [empty, padding, number_field(3, MORE)].concat(),
            None,
        ),
    ];
    let before = resident_memory(&victim);
    for (attack, entries, expected) in attacks {
        let (up, mut replies) = client.open_accepted("_i.victim.Collect").await;
        let wait = bytes_field(2, b"\x1a\x04wait");
        client
            .send_frame(&up, [number_field(1, 1), wait].concat())
            .await;
        for seq in 2..ATTACK_FRAMES {
            let frame = [number_field(1, seq), entries.clone()].concat();
            client.send_frame(&up, frame).await;
            if seq % 10 == 0 {
                // Wait until the server has read the frames, so that bytes queued on its connection
                // do not count.
                let unknown = format!("{SERVICE}._i.victim.Nope");
                client.nats.request(unknown, "".into()).await.unwrap();
            }
        }
        match expected {
            Some(code) => assert_eq!(
                client.read_until_reset(&mut replies).await,
                Some(code),
                "{attack}"
            ),
            None => {
                client.send_frame(&up, number_field(3, PING)).await;
                let frame = next_message(&mut replies).await.payload;
                assert_eq!(flags(&frame), 0, "{attack}");
            }
        }
        let grown = resident_memory(&victim).saturating_sub(before);
        assert!(grown < 60 << 20, "{attack}: {grown} bytes more");
    }
}
