//! The memory that a message in JSON takes while it is converted, by one walk over its text. Pure.
//!
//! A text is read into a message of prost-reflect, which is a tree of fields for each message within it: `{"a":1}` of
//! seven bytes takes the node of a tree, which is almost a kilobyte. The walk follows the descriptors, since the same
//! text takes far more where a number stands for a message, as in a `google.protobuf.ListValue`.
//!
//! | in the text | in memory |
//! |---|---|
//! | an object that is a message | the first node of its tree, and a field for each member |
//! | an object that is a map | an entry for each member, with the text of its key |
//! | an element of a list | a value, whatever it is |
//! | a text | its buffer, whose contents are no longer than the text |
//! | a value of a type of `google.protobuf` | a message for each value within it, and two for a list or an object |
//!
//! The sizes are those of prost-reflect 0.16 and of the collections of std, with the room that they have while they
//! grow: the sum is more than what is taken, by a factor of three at most in what tests/decode_memory.rs measures.

use prost_reflect::{Kind, MapKey, MessageDescriptor, Value};

/// Bytes that a small allocation takes besides what it holds, with what the allocator rounds it up by.
const ALLOCATION_SIZE: usize = 32;
/// Size of a field of a message in the nodes of its tree, of which the first has room for eleven.
const FIELD_SIZE: usize = size_of::<Value>() + size_of::<u32>();
const FIRST_NODE_SIZE: usize = 11 * FIELD_SIZE + ALLOCATION_SIZE;
/// Size of each field, as nodes may be less than half full.
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
    let mut walk = JsonWalk {
        rest: json,
        total: 0,
    };
    walk.message(message_type, MAX_DEPTH);
    walk.total
}

/// A walk over a text in JSON. Its functions return `None` at what cannot be read.
struct JsonWalk<'a> {
    /// The text that is left.
    rest: &'a [u8],
    /// Sum of the bytes so far.
    total: usize,
}

impl<'a> JsonWalk<'a> {
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

    /// Takes the next byte that is no space.
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.rest = &self.rest[1..];
        Some(byte)
    }

    /// Walks over a message: an object, unless its type has a form of its own.
    fn message(&mut self, message_type: &MessageDescriptor, depth: usize) -> Option<()> {
        if message_type.full_name().starts_with("google.protobuf.") {
            return self.well_known(depth, has_paths(message_type));
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
            match find(message_type, key) {
                Some(field) => walk.field(&field, depth),
                // The reader stops here, unless it knows the key: then it takes no more than this.
                None => walk.well_known(depth, true),
            }
        })
    }

    /// Walks over the value of a field or an extension: a map, a list or a single one.
    fn field(&mut self, field: &Field, depth: usize) -> Option<()> {
        let kind = &field.kind;
        match self.peek()? {
            b'{' if field.is_map => {
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
            b'[' if field.is_list => self.elements(depth, |walk, depth| walk.value(kind, depth)),
            _ => self.value(kind, depth),
        }
    }

    /// Walks over a single value: of a field, an element of a list, or the value of an entry.
    fn value(&mut self, kind: &Kind, depth: usize) -> Option<()> {
        match kind {
            Kind::Message(message_type) => self.message(message_type, depth),
            _ => self.scalar(),
        }
    }

    /// Walks over a value of a type that has a form of its own, as if it were a `google.protobuf.Value`: each value
    /// within it is a message, and a list or an object two. A text may be a list of paths if it `has_paths`.
    fn well_known(&mut self, depth: usize, has_paths: bool) -> Option<()> {
        self.add(FIRST_NODE_SIZE + MEMBER_SIZE);
        match self.peek()? {
            b'{' => {
                self.add(FIRST_NODE_SIZE + ENTRY_SIZE);
                self.members(depth, |walk, _, depth| {
                    walk.add(ENTRY_SIZE + ALLOCATION_SIZE);
                    walk.well_known(depth, has_paths)
                })
            }
            b'[' => {
                self.add(FIRST_NODE_SIZE);
                self.elements(depth, |walk, depth| walk.well_known(depth, has_paths))
            }
            b'"' => {
                let text = self.text()?;
                let commas = text.iter().filter(|byte| has_paths && **byte == b',');
                let paths = commas.count() + 1;
                self.add(paths.saturating_mul(LIST_ELEMENT_SIZE + ALLOCATION_SIZE));
                Some(())
            }
            _ => self.scalar(),
        }
    }

    /// Walks over the members of an object; `member` over each value, by its key as it is written.
    ///
    /// Commas are not checked, as of lists.
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

    /// Walks over the elements of a list; `element` over each of them.
    ///
    /// Whether there are commas between them is not checked: the reader of the text does that, and stops earlier.
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

/// A field or an extension, as far as it decides how its value is read.
struct Field {
    kind: Kind,
    is_map: bool,
    is_list: bool,
}

/// Returns the field that a key names, by either of its names, or the extension, which is named in brackets.
fn find(message_type: &MessageDescriptor, key: &[u8]) -> Option<Field> {
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
    let field = by_json_name.or_else(|| message_type.get_field_by_name(key));
    if let Some(field) = field {
        return Some(Field {
            kind: field.kind(),
            is_map: field.is_map(),
            is_list: field.is_list(),
        });
    }
    let extension = message_type.get_extension_by_json_name(key)?;
    Some(Field {
        kind: extension.kind(),
        is_map: extension.is_map(),
        is_list: extension.is_list(),
    })
}

/// Returns whether texts within such a message may be lists of paths: a `google.protobuf.FieldMask`, which an
/// `google.protobuf.Any` may have, too.
fn has_paths(message_type: &MessageDescriptor) -> bool {
    let name = message_type.full_name();
    ["google.protobuf.FieldMask", "google.protobuf.Any"].contains(&name)
}

#[cfg(test)]
#[path = "transcoding_size_tests.rs"]
mod tests;
