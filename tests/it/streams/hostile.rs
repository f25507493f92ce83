//! Callers that mean harm: garbage for streams that run, and no heed of credits.

use micro_runtime::Code;
use micro_testkit::Process;

use super::by_hand::{PING, SERVICE, bench, bytes, code, field, flags, next, number};
use super::item;
use super::kills::start;

const MORE: u8 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_resets_the_stream_that_it_comes_for() {
    let bench = bench().await;
    let other = bench.scene.client.echo().open().await.unwrap();
    let end_of_nothing = [number(3, 2)].concat();
    let unnumbered = bytes(2, b"");
    let lost = [number(1, 7), bytes(2, b"")].concat();
    let unfinished = [number(1, 1), bytes(2, b"\x08"), number(3, 3)].concat();
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
        let (up, mut replies) = bench.accepted("Echo").await;
        bench.send(&up, frame.clone()).await;
        let code = bench.reset(&mut replies).await;
        assert_eq!(code, Some(expected), "{frame:?}");
    }
    // A message that is none is the handler's error, and a frame seen before is ignored.
    let (up, mut replies) = bench.accepted("Echo").await;
    let first = [number(1, 1), bytes(2, b"\x08\x05")].concat();
    bench.send(&up, first.clone()).await;
    bench.send(&up, first).await;
    let echo = loop {
        if let Some(echo) = field(&next(&mut replies).await.payload, 2) {
            break echo;
        }
    };
    assert_eq!(echo, b"\x08\x05");
    bench
        .send(&up, [number(1, 2), bytes(2, b"\xff")].concat())
        .await;
    let end = loop {
        if let Some(code) = code(&next(&mut replies).await.payload) {
            break code;
        }
    };
    assert_eq!(end, Code::InvalidArgument);
    // Nobody else has noticed.
    let (mut sender, mut items) = other;
    sender.send(item(7)).await.unwrap();
    assert_eq!(items.message().await.unwrap().unwrap().number, 7);
    sender.finish().await.unwrap();
    assert!(items.message().await.unwrap().is_none());
    bench.scene.quiet().await;
}

/// How much memory a process has in use, in bytes.
fn memory(process: &Process) -> u64 {
    let path = format!("/proc/{}/statm", process.pid());
    let status = std::fs::read_to_string(path).unwrap();
    let pages = status.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    pages * 4096
}

const MANY: u64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ignores_credits_costs_no_memory() {
    let bench = bench().await;
    let victim = start(&bench.nats, &["serve", "victim"]).await;
    let filler = vec![0; 500_000];
    let padding = bytes(15, &filler);
    let empty = bytes(2, b"");
    let attacks: [(&str, Vec<u8>, Option<Code>); 5] = [
        ("bytes", bytes(2, &filler), Some(Code::ResourceExhausted)),
        (
            "one endless message",
            [bytes(2, &filler), number(3, MORE.into())].concat(),
            Some(Code::ResourceExhausted),
        ),
        (
            "empty messages",
            empty.repeat(250_000),
            Some(Code::ResourceExhausted),
        ),
        // Within its credits, and yet half a megabyte each.
        ("padding", [empty.clone(), padding.clone()].concat(), None),
        (
            "padded parts of nothing",
            [empty, padding, number(3, MORE.into())].concat(),
            None,
        ),
    ];
    let before = memory(&victim);
    for (attack, entries, expected) in attacks {
        let (up, mut replies) = bench.accepted("_i.victim.Collect").await;
        let wait = bytes(2, b"\x1a\x04wait");
        bench.send(&up, [number(1, 1), wait].concat()).await;
        for seq in 2..MANY {
            let frame = [number(1, seq), entries.clone()].concat();
            bench.send(&up, frame).await;
            if seq % 10 == 0 {
                // What waits to be read in front of the streams is not what this is about.
                let behind = format!("{SERVICE}._i.victim.Nope");
                bench.hand.request(behind, "".into()).await.unwrap();
            }
        }
        match expected {
            Some(code) => assert_eq!(bench.reset(&mut replies).await, Some(code), "{attack}"),
            None => {
                bench.send(&up, number(3, PING.into())).await;
                let frame = next(&mut replies).await.payload;
                assert_eq!(flags(&frame), 0, "{attack}");
            }
        }
        let grown = memory(&victim).saturating_sub(before);
        assert!(grown < 60 << 20, "{attack}: {grown} bytes more");
    }
}
