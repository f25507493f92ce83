//! Frames as bytes: the examples of docs/PROTOCOL.md, and malformed input.

use super::*;
use crate::growth::check_linear;
use crate::metadata::Metadata;
use crate::status::Code;
use crate::stream::fragments::{Fragments, join_fragments};
use crate::stream::frame_body::FrameBody;
use crate::stream::frame_control::{ACCEPT, END, MORE};
use crate::wire::RpcStatus;

/// Reads a frame of a client that has these bytes behind its mark.
fn read(bytes: &[u8]) -> Result<Frame, BadFrame> {
    let mark = FrameMark::OfClient;
    Frame::read(mark, [&[mark.byte()], bytes].concat().into())
}

fn messages(mut entries: Entries) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| entries.next_slice().map(<[u8]>::to_vec)).collect()
}

#[test]
fn a_frame_has_the_bytes_of_the_protocol_example() {
    let mut body = FrameBody::default();
    body.write_bytes(b"\x08\x07");
    body.write_bytes(b"");
    let control = FrameControl {
        seq: 3,
        flags: END,
        taken: 2,
        max_messages: 300,
        max_bytes: 65536,
        ..FrameControl::default()
    };
    let frame = body.finish_frame(FrameMark::OfClient, control.clone());
    let golden =
        b"\x07\x12\x02\x08\x07\x12\x00\x18\x02\x20\x02\x28\xac\x02\x30\x80\x80\x04\x08\x03";
    assert_eq!(&frame[..], golden);
    let frame = Frame::read(FrameMark::OfClient, frame).unwrap();
    assert_eq!(frame.control, control);
    assert_eq!(frame.entries.bytes(), 2);
    assert_eq!(messages(frame.entries), [b"\x08\x07".to_vec(), Vec::new()]);
    assert!(body.is_empty());
}

#[test]
fn metadata_takes_no_more_memory_than_its_limit_allows() {
    let check = |entry: &[u8], length: usize, max: usize| {
        let bytes = entry.repeat(length / entry.len());
        let frame = read(&bytes).unwrap();
        let entries = frame.control.metadata.len();
        assert!(entries <= max, "{entries} entries of {entry:x?}");
        entries
    };
    let large = 1024 * 1024;
    assert_eq!(check(b"\x52\x00", large, 0), 0);
    check(b"\x52\x02\x0a\x00", large, MAX_METADATA_LEN / 4);
    check(b"\x52\x02\x12\x00", large, MAX_METADATA_LEN / 4);
    // All that the rules for metadata allow is read: 8 KiB in names of one byte.
    let legal = b"\x52\x03\x0a\x01a";
    assert_eq!(check(legal, 8192 * legal.len(), 8192), 8192);
    check(legal, large, 8192);
    assert!(read(b"\x52\x05\x0a\x01a").is_err());
}

#[test]
fn details_of_a_status_are_read_up_to_their_limit() {
    let check = |details: usize, expected: usize| {
        let mut status = b"\x08\x05".to_vec();
        status.extend(b"\x1a\x02\x0a\x00".repeat(details));
        let mut bytes = vec![0x3a];
        prost::encoding::encode_varint(status.len() as u64, &mut bytes);
        bytes.extend(status);
        let frame = read(&bytes).unwrap();
        let status = frame.control.status.unwrap().into_status().unwrap();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.details().len(), expected);
    };
    check(0, 0);
    check(3, 3);
    check(1024, 1024);
    check(200_000, 1024);
    assert!(read(b"\x3a\x05\x08\x05").is_err());
    assert!(read(b"\x3a\x02\x0a\x05").is_err());
}

#[test]
fn accept_names_instance_and_stream() {
    let control = FrameControl {
        flags: ACCEPT,
        max_messages: 1,
        max_bytes: 2,
        instance: "a1".to_owned(),
        stream: "7f".to_owned(),
        ..FrameControl::default()
    };
    let frame = FrameBody::default().finish_frame(FrameMark::OfServer, control.clone());
    assert_eq!(
        &frame[..],
        b"\x0f\x18\x10\x28\x01\x30\x02\x42\x02a1\x4a\x027f"
    );
    let read = Frame::read(FrameMark::OfServer, frame).unwrap();
    assert_eq!(read.control, control);
}

#[test]
fn status_and_metadata_are_read_back() {
    let mut metadata = Metadata::new();
    metadata.append("k", "v").unwrap();
    metadata.append("b-bin", [0, 255]).unwrap();
    let status = Status::not_found("no account 7");
    let control = FrameControl {
        seq: 1,
        flags: END,
        ..FrameControl::default()
    }
    .with_status(Some(&status))
    .with_metadata(&metadata);
    let frame = FrameBody::default().finish_frame(FrameMark::OfServer, control);
    let mut control = Frame::read(FrameMark::OfServer, frame).unwrap().control;
    assert_eq!(control.take_metadata(), metadata);
    let status = control.status.unwrap().into_status().unwrap();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "no account 7");
}

#[test]
fn fields_come_in_any_order_and_unknown_ones_are_skipped() {
    // seq, message, an unknown field 15, flags, message.
    let frame = read(b"\x08\x01\x12\x01a\x7a\x03xyz\x18\x01\x12\x01b").unwrap();
    assert_eq!(frame.control.seq, 1);
    assert_eq!(frame.control.flags, MORE);
    assert_eq!(messages(frame.entries), [b"a".to_vec(), b"b".to_vec()]);
}

#[test]
fn malformed_frames_are_rejected_with_their_flaw() {
    let check = |bytes: &[u8], expected: &str| {
        let found = read(bytes).unwrap_err().0;
        assert!(found.contains(expected), "{bytes:?}: {found}");
    };
    check(b"", "empty");
    for (mark, byte, other) in [
        (FrameMark::OfClient, "byte 07", b"\x0f\x18\x10"),
        (FrameMark::OfServer, "byte 0f", b"\x07\x18\x10"),
    ] {
        for unmarked in [&b""[..], b"\x18\x10", b"{}", other] {
            let flaw = Frame::read(mark, Bytes::from_static(unmarked))
                .unwrap_err()
                .0;
            assert!(flaw.contains(byte), "{unmarked:?}: {flaw}");
        }
    }
    check(b"\x12", "length");
    check(b"\x12\x05abc", "cut");
    check(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "cut");
    check(
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "length",
    );
    check(b"\x92\x00\x01a", "another form");
    check(b"\x10\x01", "another form");
    check(b"hello", "micro.v1.Frame");
    check(b"\x42\x01\xff", "micro.v1.Frame");
    check(b"\x08", "micro.v1.Frame");
}

#[test]
fn a_truncated_frame_has_no_number() {
    let mut body = FrameBody::default();
    body.write_bytes(b"a message");
    body.write_bytes(b"");
    let control = FrameControl {
        seq: 300,
        flags: MORE | END,
        taken: 2,
        max_messages: 300,
        max_bytes: 65536,
        ..FrameControl::default()
    }
    .with_status(Some(&Status::not_found("no account 7")));
    let mark = FrameMark::OfServer;
    let whole = body.finish_frame(mark, control);
    for length in 0..whole.len() {
        if let Ok(frame) = Frame::read(mark, whole.slice(..length)) {
            assert_eq!(frame.control.seq, 0, "{length} bytes");
        }
    }
    assert_eq!(Frame::read(mark, whole).unwrap().control.seq, 300);
}

#[test]
fn copied_messages_keep_nothing_else_of_their_frame() {
    // A message, an unknown field of 4,000 bytes, a message.
    let mut frame = b"\x12\x01a\x7a\xa0\x1f".to_vec();
    frame.resize(frame.len() + 4_000, 0);
    frame.extend(b"\x12\x02bc");
    let mut entries = read(&frame).unwrap().entries;
    assert!(entries.is_padded());
    entries.copy_out();
    assert!(!entries.is_padded());
    assert_eq!((entries.len(), entries.bytes()), (2, 3));
    let last = entries.split_last().unwrap();
    assert_eq!(&last[..], b"bc");
    assert_eq!((entries.len(), entries.bytes()), (1, 1));
    assert_eq!(messages(entries), [b"a".to_vec()]);
}

#[test]
fn frames_that_are_full_of_anything_are_read_in_linear_time() {
    // Metadata above 8 KiB in all, details of a status, an instance named again and again, small messages.
    let fields: [&[u8]; 5] = [
        b"\x52\x03\x0a\x01a",
        b"\x3a\x04\x1a\x02\x0a\x00",
        b"\x42\x02a1",
        b"\x12\x01a",
        b"\x78\x01",
    ];
    for field in fields {
        let input = |size: usize| field.repeat(size);
        check_linear(5_000, input, |bytes| {
            let mut frame = read(&bytes).unwrap();
            let status = frame.control.status.take();
            let last = frame.entries.split_last();
            (
                frame.control.take_metadata(),
                status.map(RpcStatus::into_status),
                last,
                messages(frame.entries),
            )
        });
    }
}

#[test]
fn small_fragments_are_joined_in_linear_time() {
    let fragment = Bytes::from_static(b"a");
    check_linear(
        10_000,
        |size| size,
        |size| {
            let mut fragments = Fragments::default();
            (0..size).for_each(|_| fragments.add(&fragment));
            join_fragments(&fragments.into_list())
        },
    );
}
