//! Reads an input as the header block of a NATS message, as async-nats reads it, and the payload behind it.

use async_nats::{HeaderMap, HeaderName};
use bytes::Bytes;

/// Length in bytes up to which the lines of an input are repeated: the default `max_payload` of nats-server.
const REPEATED_LEN: usize = 1024 * 1024;

/// Lines `Name: value`, as in a message, and the payload.
pub(super) struct HeaderBlock {
    pub(super) lines: Vec<(HeaderName, String)>,
    pub(super) payload: Bytes,
}

impl HeaderBlock {
    /// Reads lines up to an empty one; the rest is the payload. A line that async-nats rejects is left out.
    ///
    /// A first byte of `f0` to `ff` is no part of the first line: it repeats all lines, `f0` once and `ff` 32,768
    /// times, as far as they fit into one message, with the number of the copy in place of each `#`. So a short input
    /// can be a long message.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let (copies, bytes) = match bytes {
            [first @ 0xf0..=0xff, rest @ ..] => (1 << (first & 0xf), rest),
            _ => (1, bytes),
        };
        let end = bytes.windows(2).position(|pair| pair == b"\n\n");
        let (block, payload) = match end {
            Some(end) => (&bytes[..end], &bytes[end + 2..]),
            None => (bytes, &b""[..]),
        };
        let text = String::from_utf8_lossy(block);
        let read = text.lines().filter_map(line).collect::<Vec<_>>();
        let copies = (0..copies).take(REPEATED_LEN / block.len().max(1));
        let lines = copies.flat_map(|copy: usize| {
            let copied = move |text: &str| text.replace('#', &copy.to_string());
            let numbered = read.iter().filter_map(move |(name, value)| {
                let name = copied(name.as_ref()).parse().ok()?;
                Some((name, copied(value)))
            });
            numbered.collect::<Vec<_>>()
        });
        Self {
            lines: lines.collect(),
            payload: Bytes::copy_from_slice(payload),
        }
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.lines {
            headers.append(name.clone(), value.as_str());
        }
        headers
    }

    /// Returns the length of all lines and the payload, in bytes.
    pub(super) fn len(&self) -> usize {
        let line_len = |(name, value): &(HeaderName, String)| {
            let name: &str = name.as_ref();
            name.len() + value.len()
        };
        self.lines.iter().map(line_len).sum::<usize>() + self.payload.len()
    }
}

fn line(line: &str) -> Option<(HeaderName, String)> {
    let (name, value) = line.split_once(':')?;
    let is_value = !value.contains('\r');
    is_value.then_some((name.parse().ok()?, value.trim().to_owned()))
}
