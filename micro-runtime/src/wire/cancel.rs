//! `CancelToken`: what names a call that its caller cancels (docs/PROTOCOL.md, "Cancellation").

use async_nats::HeaderMap;

use crate::wire::header::{MICRO_CANCEL, find};
use crate::wire::reply_token;
use crate::wire::reply_token::TOKEN_LEN;

/// Sets the header to an id, if there is one.
#[inline]
pub(crate) fn encode_cancel(headers: &mut Option<HeaderMap>, id: Option<CancelToken>) {
    if let Some(id) = id {
        headers
            .get_or_insert_with(HeaderMap::new)
            .insert(MICRO_CANCEL, id.as_str());
    }
}

/// The last token of a reply subject, or the id of `Micro-Cancel`: 16 digits of base64url, which are 96 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CancelToken([u8; TOKEN_LEN]);

impl CancelToken {
    /// Reads a token; `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::of_bytes(text.as_bytes().try_into().ok()?)
    }

    fn of_bytes(bytes: [u8; TOKEN_LEN]) -> Option<Self> {
        reply_token::decode(&bytes).map(|_| Self(bytes))
    }

    /// Returns the token of a request: that of its header, else that of its reply subject.
    pub(crate) fn of_request(headers: Option<&HeaderMap>, reply: Option<&str>) -> Option<Self> {
        let of_header = headers.and_then(|headers| find(headers, &MICRO_CANCEL));
        match of_header {
            Some(id) => Self::parse(id.as_str()),
            None => Self::parse(reply?.rsplit_once('.')?.1),
        }
    }

    /// Returns the last token of a reply subject.
    pub(crate) fn of_reply(slot: u32, nonce: u64) -> Self {
        Self(reply_token::encode(slot, nonce))
    }

    /// Returns a new id for `Micro-Cancel`.
    pub(crate) fn random() -> Self {
        Self(reply_token::encode(rand::random(), rand::random()))
    }

    /// Reads the payload of a cancellation: tokens without anything between. What is none is skipped.
    pub(crate) fn read_all(payload: &[u8]) -> impl Iterator<Item = Self> {
        let (tokens, _) = payload.as_chunks::<TOKEN_LEN>();
        tokens.iter().filter_map(|&token| Self::of_bytes(token))
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits of base64url")
    }

    pub(crate) fn as_bytes(&self) -> &[u8; TOKEN_LEN] {
        &self.0
    }
}
