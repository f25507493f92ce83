//! The fuzz target `metadata`: the metadata of a call in headers and in a frame, its names, values and limits.
//!
//! The work must be linear in the length of a message: an input can be 1 MiB long, and its time is limited.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::encoding::encode_varint;

use crate::fuzz::cases::Cases;
use crate::fuzz::header_block::HeaderBlock;
use crate::metadata::Metadata;
use crate::status::{Code, Reason, Status};
use crate::stream::{Frame, FrameBody, FrameControl};
use crate::wire;
use crate::wire::{FrameMark, percent_decode, percent_encode};

/// Maximum length in bytes of all names and values (docs/PROTOCOL.md, META-2).
const ALL_LEN: usize = 8192;
/// Number of entries that break the rules after which the rest may be left out (META-4).
const FLAWS: usize = 32;

/// Name and value of each entry, sorted: headers of different names have no order, nor has a name in several spellings.
type Sorted = Vec<(String, Vec<u8>)>;

/// Entry point of the fuzz target `metadata`.
#[cfg(fuzzing)]
pub fn fuzz_metadata(bytes: &[u8]) {
    run(bytes);
}

/// Reads the metadata that `bytes` are.
///
/// # Panics
///
/// Panics if an invariant is violated.
pub(super) fn run(bytes: &[u8]) -> Cases {
    let block = HeaderBlock::read(bytes);
    let mut cases = Cases::new();
    check_headers(&block, &mut cases);
    check_append(&block, &mut cases);
    check_frame(&frame_of(&block), &mut cases);
    let mark = FrameMark::OfServer;
    check_frame(&[&[mark.byte()], &*block.payload].concat(), &mut cases);
    block
        .lines
        .iter()
        .for_each(|(_, value)| check_percent(value));
    cases
}

/// Checks that headers are read as a model has them, and are the same after they are written and read again.
fn check_headers(block: &HeaderBlock, cases: &mut Cases) {
    let headers = block.headers();
    let received = wire::decode_reply_metadata(Some(&headers), "a.B.C");
    check_rules(&received.metadata);
    match (wire::decode_metadata(&headers), model(block)) {
        (Ok(metadata), Some(expected)) => {
            check_rules(&metadata);
            assert_eq!(sorted(&metadata), expected);
            assert!(received.flaw.is_none(), "{:?}", received.flaw);
            assert_eq!(sorted(&received.metadata), expected);
            let mut written = None;
            wire::encode_metadata(&mut written, &metadata);
            let again = wire::decode_metadata(&written.unwrap_or_default());
            assert_eq!(again.map(|again| sorted(&again)).ok(), Some(expected));
            cases.insert("metadata in headers");
        }
        (Err(status), None) => {
            check_flaw(&status, block.len());
            let flaw = received.flaw.as_ref();
            assert!(flaw.is_some_and(|flaw| flaw.code() == Code::Internal));
            cases.insert(match status.code() {
                Code::ResourceExhausted => "metadata that is too long",
                _ => "metadata that is malformed",
            });
        }
        (read, expected) => panic!("{read:?} instead of {expected:?}"),
    }
}

/// Returns the metadata among the headers; `None` if it breaks META-2. The rules are written another way here.
fn model(block: &HeaderBlock) -> Option<Sorted> {
    let mut entries = vec![];
    for (name, value) in &block.lines {
        let name: &str = name.as_ref();
        let name = name.to_lowercase();
        let reserved = ["content-type", "traceparent", "tracestate", "baggage"];
        if name.starts_with("micro-") || name.starts_with("nats-") || reserved.contains(&&*name) {
            continue;
        }
        let letters = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
        if name.is_empty() || !name.chars().all(|letter| letters.contains(letter)) {
            continue;
        }
        let value = match name.strip_suffix("-bin") {
            Some(_) => BASE64.decode(value).ok()?,
            None if value.chars().all(|letter| (' '..='~').contains(&letter)) => {
                value.clone().into()
            }
            None => return None,
        };
        entries.push((name, value));
    }
    entries.sort();
    let length: usize = entries
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    (length <= ALL_LEN).then_some(entries)
}

fn sorted(metadata: &Metadata) -> Sorted {
    let entries = metadata.iter();
    let mut entries = entries
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect::<Vec<_>>();
    entries.sort();
    entries
}

/// Checks the limits of metadata that was read, and that each name finds its values.
fn check_rules(metadata: &Metadata) {
    let length: usize = metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    assert!(length <= ALL_LEN, "{length} bytes");
    assert_eq!(metadata.iter().count(), metadata.len());
    for (name, value) in metadata.iter().take(FLAWS) {
        assert!(metadata.get_bytes(name).is_some());
        let is_text = !name.ends_with("-bin");
        assert_eq!(metadata.get(name).is_some(), is_text);
        let mut texts = metadata.get_all(name).map(str::as_bytes);
        assert_eq!(texts.any(|text| text == value), is_text);
    }
    let both = metadata.clone().followed_by(metadata.clone());
    assert!(
        [1, 2]
            .map(|times| times * metadata.len())
            .contains(&both.len())
    );
    assert_eq!(
        both.len() > metadata.len(),
        length > 0 && 2 * length <= ALL_LEN
    );
}

fn check_flaw(status: &Status, length: usize) {
    assert_eq!(status.reason(), Some(Reason::BadHeader));
    // A name is written with its control characters escaped, which takes up to ten bytes for one.
    assert!(status.message().len() <= 512 + 10 * length, "{status}");
}

/// Checks that a name and a value are added whole or not at all, whatever the handler adds.
fn check_append(block: &HeaderBlock, cases: &mut Cases) {
    let mut metadata = Metadata::new();
    let length = block.len();
    for (name, value) in &block.lines {
        let before = metadata.len();
        match metadata.append(name.as_ref(), value) {
            Ok(()) => assert_eq!(metadata.len(), before + 1),
            Err(status) => {
                check_flaw(&status, length);
                assert_eq!(metadata.len(), before);
                cases.insert("an entry that is refused");
            }
        }
    }
    check_rules(&metadata);
}

/// Returns a frame with the lines as its metadata, whose values are raw bytes.
fn frame_of(block: &HeaderBlock) -> Vec<u8> {
    let field = |key: u8, bytes: &[u8], into: &mut Vec<u8>| {
        into.push(key);
        encode_varint(bytes.len() as u64, into);
        into.extend_from_slice(bytes);
    };
    let mut frame = vec![FrameMark::OfServer.byte()];
    for (name, value) in &block.lines {
        let name: &str = name.as_ref();
        let mut entry = vec![];
        field(0x0a, name.as_bytes(), &mut entry);
        field(0x12, value.as_bytes(), &mut entry);
        field(0x52, &entry, &mut frame);
    }
    frame
}

/// Checks that the metadata of a frame is within its limits, and the same after it is written and read again.
fn check_frame(frame: &[u8], cases: &mut Cases) {
    let read = |frame: bytes::Bytes| Frame::read(FrameMark::OfServer, frame);
    let Ok(mut frame) = read(frame.to_vec().into()) else {
        return;
    };
    let metadata = frame.control.take_metadata();
    check_rules(&metadata);
    if metadata.is_empty() {
        return;
    }
    let control = FrameControl::default().with_metadata(&metadata);
    let written = FrameBody::default().finish_frame(FrameMark::OfServer, control);
    let again = read(written).map(|mut frame| frame.control.take_metadata());
    assert_eq!(again.ok(), Some(metadata));
    cases.insert("metadata in a frame");
}

/// Checks that any text can be written into a header, within a limit, and is read back.
fn check_percent(text: &str) {
    let is_printable = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let whole = percent_encode(text, usize::MAX);
    assert!(is_printable(&whole) && whole.len() <= 3 * text.len());
    assert_eq!(percent_decode(&whole), text);
    let cut = percent_encode(text, 64);
    assert!(cut.len() <= 64 && whole.starts_with(&cut));
    assert!(text.starts_with(&percent_decode(&cut)));
    assert!(percent_decode(text).len() <= text.len());
}
