//! The memory that a message in JSON takes while it is converted, by one walk over its text. Pure.

use prost_reflect::{FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

/// Bytes that a small allocation takes besides what it holds, with what the allocator rounds it up by.
const ALLOCATION_SIZE: usize = 32;
/// Size of a field of a message in the nodes of its tree, of which the first has room for eleven.
const FIELD_SIZE: usize = size_of::<Value>() + size_of::<u32>();
const FIRST_NODE_SIZE: usize = 11 * FIELD_SIZE + ALLOCATION_SIZE;
/// What each field takes, as nodes may be less than half full.
const MEMBER_SIZE: usize = 3 * FIELD_SIZE;
/// Size of an entry of a map, whose table has up to four times the room that it needs while it grows, and more for the
/// first.
const ENTRY_SIZE: usize = 4 * (size_of::<Value>() + size_of::<MapKey>());
/// Size of an element of a list, which takes up to three times as much while the list grows.
const LIST_ELEMENT_SIZE: usize = 3 * size_of::<Value>();
/// Maximum depth of values within values: serde_json's, which reads none below.
const MAX_DEPTH: usize = 128;

/// Returns the bytes that a message of this type takes while it is read from a text, besides the contents of its texts,
/// which are no longer. A text that is no such message is counted up to the mistake, where its reader stops, too.
pub(crate) fn transcoding_size(message_type: &MessageDescriptor, json: &[u8]) -> usize {
    let mut walk = Walk {
        rest: json,
        total: 0,
    };
    walk.message(message_type, MAX_DEPTH);
    walk.total
}

/// A walk over a text in JSON. Its functions return `None` at what cannot be read.
struct Walk<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Walk<'a> {
    fn add(&mut self, bytes: usize) {
        self.total = self.total.saturating_add(bytes);
    }

    /// Returns the next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.rest = &self.rest[1..];
        Some(byte)
    }

    fn message(&mut self, message_type: &MessageDescriptor, depth: usize) -> Option<()> {
        if message_type.full_name().starts_with("google.protobuf.") {
            return self.well_known(depth);
        }
        if self.peek()? != b'{' {
            return self.scalar();
        }
        let mut is_empty = true;
        self.members(depth, |walk, key, depth| {
            if std::mem::take(&mut is_empty) {
                walk.add(FIRST_NODE_SIZE);
            }
            walk.add(MEMBER_SIZE);
            walk.field(&find(message_type, key)?, depth)
        })
    }

    fn field(&mut self, field: &FieldDescriptor, depth: usize) -> Option<()> {
        let kind = field.kind();
        match self.peek()? {
            b'{' if field.is_map() => {
                let value = match kind {
                    Kind::Message(entry) => entry.map_entry_value_field().kind(),
                    _ => return None,
                };
                self.add(ENTRY_SIZE);
                self.members(depth, |walk, _, depth| {
                    walk.add(ENTRY_SIZE + ALLOCATION_SIZE);
                    walk.value(&value, depth)
                })
            }
            b'[' if field.is_list() => self.elements(depth, |walk, depth| walk.value(&kind, depth)),
            _ => self.value(&kind, depth),
        }
    }

    fn value(&mut self, kind: &Kind, depth: usize) -> Option<()> {
        match kind {
            Kind::Message(message_type) => self.message(message_type, depth),
            _ => self.scalar(),
        }
    }

    /// Walks over a value of a type that has a form of its own, as if it were a `google.protobuf.Value`: each value
    /// within it is a message, and a list or an object two.
    fn well_known(&mut self, depth: usize) -> Option<()> {
        self.add(FIRST_NODE_SIZE + MEMBER_SIZE);
        match self.peek()? {
            b'{' => {
                self.add(FIRST_NODE_SIZE + ENTRY_SIZE);
                self.members(depth, |walk, _, depth| {
                    walk.add(ENTRY_SIZE + ALLOCATION_SIZE);
                    walk.well_known(depth)
                })
            }
            b'[' => {
                self.add(FIRST_NODE_SIZE);
                self.elements(depth, Self::well_known)
            }
            b'"' => {
                let text = self.text()?;
                // The paths of a `google.protobuf.FieldMask` are a list.
                let paths = text.iter().filter(|byte| **byte == b',').count() + 1;
                self.add(paths.saturating_mul(LIST_ELEMENT_SIZE + ALLOCATION_SIZE));
                Some(())
            }
            _ => self.scalar(),
        }
    }

    /// Walks over the members of an object; `member` over each value, by its key.
    fn members(
        &mut self,
        depth: usize,
        mut member: impl FnMut(&mut Self, &'a [u8], usize) -> Option<()>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.next()?;
        while self.peek()? != b'}' {
            let key = self.text()?;
            (self.next()? == b':').then_some(())?;
            member(self, key, depth)?;
            if self.peek()? == b',' {
                self.next()?;
            }
        }
        self.next()?;
        Some(())
    }

    /// Walks over the elements of a list.
    fn elements(
        &mut self,
        depth: usize,
        mut element: impl FnMut(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.next()?;
        self.add(LIST_ELEMENT_SIZE + ALLOCATION_SIZE);
        while self.peek()? != b']' {
            self.add(LIST_ELEMENT_SIZE);
            element(self, depth)?;
            if self.peek()? == b',' {
                self.next()?;
            }
        }
        self.next()?;
        Some(())
    }

    /// Walks over a text, a number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.text()?;
                self.add(ALLOCATION_SIZE);
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => return None,
            _ => {
                let is_end = |byte: &u8| b",]} \t\r\n".contains(byte);
                let end = self.rest.iter().position(is_end);
                self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
            }
        }
        Some(())
    }

    /// Walks over a text, and returns it as it is written, between its quotes.
    fn text(&mut self) -> Option<&'a [u8]> {
        (self.next()? == b'"').then_some(())?;
        let text = self.rest;
        let mut length = 0;
        loop {
            match text.get(length)? {
                b'"' => break,
                b'\\' => length += 2,
                _ => length += 1,
            }
        }
        self.rest = &text[length + 1..];
        Some(&text[..length])
    }
}

/// Returns the field that a key names, by either of its names.
fn find(message_type: &MessageDescriptor, key: &[u8]) -> Option<FieldDescriptor> {
    let written = std::str::from_utf8(key).ok()?;
    let read;
    let key = match written.contains('\\') {
        false => written,
        true => {
            read = serde_json::from_str::<String>(&format!("\"{written}\"")).ok()?;
            &read
        }
    };
    let by_json_name = message_type.get_field_by_json_name(key);
    by_json_name.or_else(|| message_type.get_field_by_name(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::check_linear;
    use crate::json::details;

    fn size(name: &str, json: &str) -> usize {
        let message_type = details::pool().get_message_by_name(name).unwrap();
        // As a message of a user would be walked over.
        let mut walk = Walk {
            rest: json.as_bytes(),
            total: 0,
        };
        let _ = match name {
            "google.protobuf.Value" => walk.message(&message_type, MAX_DEPTH),
            _ => walk.members(MAX_DEPTH, |walk, key, depth| {
                walk.field(&find(&message_type, key)?, depth)
            }),
        };
        walk.total
    }

    #[test]
    fn elements_of_lists_and_messages_count() {
        let one = size("google.protobuf.FieldMask", r#"{"paths": ["a"]}"#);
        let ten = format!(r#"{{"p\u0061ths": [{}]}}"#, ["\"a\""; 10].join(","));
        let ten = size("google.protobuf.FieldMask", &ten);
        assert_eq!(ten - one, 9 * (LIST_ELEMENT_SIZE + ALLOCATION_SIZE));
        let value = size("google.protobuf.Value", "[1,[2,{\"a\":3}]]");
        assert!(value > 8 * FIRST_NODE_SIZE, "{value}");
    }

    #[test]
    fn a_walk_ends_at_the_first_mistake() {
        let mask = "google.protobuf.FieldMask";
        for json in [
            "",
            "{",
            r#"{"paths""#,
            r#"{"paths":[{"a":1}]}"#,
            r#"{"other":[1,2]}"#,
        ] {
            assert!(size(mask, json) < 3 * LIST_ELEMENT_SIZE, "{json}");
        }
    }

    #[test]
    fn a_long_text_takes_linear_time() {
        let input = |length| format!("[{}", "{\"a\":[1]},".repeat(length));
        check_linear(500, input, |json| size("google.protobuf.Value", &json));
    }
}
