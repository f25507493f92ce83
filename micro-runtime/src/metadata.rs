//! `Metadata`: the headers that users add to calls, replies and events. It holds the rules for names, values and
//! size (docs/PROTOCOL.md, "Metadata and trace"); `wire::metadata` converts it to NATS headers.

use bytes::Bytes;

use crate::status::{Code, Reason, Status};
use crate::wire::header::{MICRO_INSTANCE, RESERVED_NAMES, is_reserved};

/// Maximum length in bytes of all names and values of one message together, decoded.
///
/// It bounds what a peer can make a server keep for each call, whatever `max_payload` of NATS is.
const MAX_LEN: usize = 8 * 1024;

/// Maximum number of headers of one message that are left out, and whose error is written; the rest is not read. A peer
/// that sends so many is not one that can be helped, and each error takes more time than a header.
pub(crate) const MAX_FLAWS: usize = 32;

/// Headers that users add to a call, a reply or an event, in order. A name may occur several times.
///
/// A name consists of `a-z 0-9 - _ .` and is compared byte for byte. A value is printable ASCII, or any bytes if the
/// name ends in `-bin`; spaces at the ends of a text are dropped, as clients of NATS drop them. Names and values
/// together have at most 8 KiB. Names that begin with `micro-` or `nats-`, and `content-type`, `traceparent`,
/// `tracestate` and `baggage`, are reserved.
///
/// # Examples
///
/// ```
/// use micro_runtime::Metadata;
///
/// let mut metadata = Metadata::new();
/// metadata.append("tenant", "acme")?;
/// metadata.append("cursor-bin", [0, 255])?;
/// assert_eq!(metadata.get("tenant"), Some("acme"));
/// assert_eq!(metadata.get_bytes("cursor-bin"), Some(&[0, 255][..]));
/// # Ok::<(), micro_runtime::Status>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    entries: Vec<(Box<str>, Bytes)>,
    /// Length in bytes of all names and values: a sum over the entries for each that is added would be quadratic.
    size: usize,
}

impl Metadata {
    /// Makes empty metadata, without an allocation.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            size: 0,
        }
    }

    /// Adds the id of the instance that replies, if the caller called all instances and so needs it.
    ///
    /// The name is reserved, so that no handler can set it; that is why this does not use
    /// [`append`](Self::append).
    pub(crate) fn signed(mut self, instance: Option<&str>) -> Self {
        if let Some(instance) = instance {
            let name = MICRO_INSTANCE.to_string();
            self.push(&name, instance.as_bytes());
        }
        self
    }

    /// Adds a header after the others, also if the name is present.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a name that is reserved or malformed, and for a value that is not printable ASCII;
    /// `RESOURCE_EXHAUSTED` above 8 KiB in all. Nothing is added then.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Status> {
        let mut value = value.as_ref();
        check_name(name)?;
        if !is_binary(name) {
            check_text(name, value)?;
            value = value.trim_ascii();
        }
        let size = self.size + name.len() + value.len();
        if size > MAX_LEN {
            return Err(Reason::BadHeader.status_with(
                Code::ResourceExhausted,
                format!(
                    "header `{name}` takes the metadata to {size} bytes, above the limit of {MAX_LEN}, which is fixed"
                ),
            ));
        }
        self.push(name, value);
        Ok(())
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        self.size += name.len() + value.len();
        self.entries
            .push((name.into(), Bytes::copy_from_slice(value)));
    }

    /// Returns these headers followed by `others`, which are left out if both together exceed the maximum size: the
    /// end of a call must not fail because of its trailers.
    pub(crate) fn followed_by(mut self, others: Self) -> Self {
        if self.is_empty() {
            return others;
        }
        if self.size + others.size <= MAX_LEN {
            self.size += others.size;
            self.entries.extend(others.entries);
        }
        self
    }

    /// Returns the first value of `name` as text; `None` if there is none, and for a name that ends in `-bin`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.get_bytes(name).filter(|_| !is_binary(name))?;
        std::str::from_utf8(value).ok()
    }

    /// Returns all values of `name` as text, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.append("trail", "gateway")?;
    /// metadata.append("trail", "orders")?;
    /// assert_eq!(metadata.get_all("trail").collect::<Vec<_>>(), ["gateway", "orders"]);
    /// # Ok::<(), micro_runtime::Status>(())
    /// ```
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(key, _)| *key == name && !is_binary(name))
            .filter_map(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Returns the first value of `name` as bytes: for a name that ends in `-bin` the bytes that were added, not
    /// their base64.
    #[must_use]
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Returns all headers with their values as bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns whether there is no header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of headers; a name that occurs twice counts twice.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Returns whether values of `name` are bytes, in base64 on the wire.
pub(crate) fn is_binary(name: &str) -> bool {
    name.ends_with("-bin")
}

/// Returns whether a header that arrived is metadata. Others belong to the protocol or break the rules for names, and
/// are skipped: a peer by hand may send any header.
pub(crate) fn is_metadata(name: &str) -> bool {
    !is_reserved(name) && is_legal(name)
}

fn is_legal(name: &str) -> bool {
    let is_legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(&c);
    !name.is_empty() && name.bytes().all(is_legal)
}

fn check_name(name: &str) -> Result<(), Status> {
    if is_reserved(name) {
        return Err(bad_header(format!(
            "header `{name}` is reserved: names that begin with `micro-` or `nats-`, and {}, belong to the protocol",
            RESERVED_NAMES.map(|name| format!("`{name}`")).join(", "),
        )));
    }
    if !is_legal(name) {
        return Err(bad_header(format!(
            "header name `{}` must be made of `a-z 0-9 - _ .`",
            name.escape_debug()
        )));
    }
    Ok(())
}

fn check_text(name: &str, value: &[u8]) -> Result<(), Status> {
    if value.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return Ok(());
    }
    Err(bad_header(format!(
        "the value of header `{name}` must be printable ASCII; for other bytes use a name that ends in `-bin`"
    )))
}

fn bad_header(message: String) -> Status {
    Reason::BadHeader.status(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::check_linear;

    #[test]
    fn names_and_values_that_break_the_rules_are_rejected() {
        let check = |name: &str, value: &[u8], expected: Result<(), &str>| {
            let found = Metadata::new().append(name, value);
            match expected {
                Ok(()) => assert!(found.is_ok(), "{name}: {found:?}"),
                Err(part) => {
                    let status = found.expect_err(name);
                    assert!(status.message().contains(part), "{name}: {status}");
                }
            }
        };
        check("tenant", b"acme", Ok(()));
        check("a.b_c-9", b"", Ok(()));
        check("blob-bin", b"\x00\xff\r\n", Ok(()));
        check("", b"", Err("must be made of"));
        check("Tenant", b"", Err("must be made of"));
        check("a b", b"", Err("must be made of"));
        check("a:b", b"", Err("must be made of"));
        check("caf\u{e9}", b"", Err("must be made of"));
        check("a\r\nb", b"", Err("must be made of"));
        check("tenant", b"a\r\nb", Err("printable ASCII"));
        check("tenant", "caf\u{e9}".as_bytes(), Err("printable ASCII"));
        check("micro-timeout", b"1", Err("reserved"));
        check("Micro-Timeout", b"1", Err("reserved"));
        check("NATS-Msg-Id", b"1", Err("reserved"));
        check("content-type", b"1", Err("reserved"));
        check("Traceparent", b"1", Err("reserved"));
        check("baggage", b"1", Err("reserved"));
    }

    #[test]
    fn the_maximum_size_counts_names_and_values_together() {
        let mut metadata = Metadata::new();
        metadata.append("a", vec![b'x'; MAX_LEN - 1]).unwrap();
        let status = metadata.append("b", "").unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(metadata.len(), 1);
    }

    #[test]
    fn repeated_names_keep_their_order() {
        let mut metadata = Metadata::new();
        for value in ["1", "2", "3"] {
            metadata.append("k", value).unwrap();
        }
        assert_eq!(metadata.get_all("k").collect::<Vec<_>>(), ["1", "2", "3"]);
    }

    #[test]
    fn many_headers_are_added_in_linear_time() {
        check_linear(
            2_000,
            |size| size,
            |size| {
                let mut metadata = Metadata::new();
                (0..size).for_each(|_| metadata.append("a", "").unwrap());
                metadata
            },
        );
    }
}
