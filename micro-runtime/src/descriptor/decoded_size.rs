//! The memory that a message in protobuf takes once it is decoded, by one walk over its bytes. Pure.
//!
//! The walk allocates nothing, and takes a part of the time of decoding: long texts are stepped over. It counts what
//! prost's code allocates besides the struct of the message itself:
//!
//! | field | bytes for each occurrence |
//! |---|---|
//! | repeated message, number, text or bytes | size of an element, times the room that a list has while it grows |
//! | text or bytes that are not empty | those of an allocation; the contents are a part of the message, which counts |
//! | entry of a map | size of key and value, times the room of a table while it grows |
//! | message that closes a circle of types | its struct, in a box of its own |
//! | any other single field | none: it is a part of the struct around it |
//!
//! So a message counts for more than it takes, by a factor of three at most in what tests/decode_memory.rs measures,
//! and never for less.

use prost::encoding::decode_varint;

use crate::descriptor::element_sizes::{Element, ElementSizes, FieldSizes, SizeTable};

/// Bytes that a small allocation takes besides what it holds, with what the allocator rounds it up by.
const ALLOCATION_SIZE: usize = 32;
/// Maximum depth of messages within messages, the outermost among them: prost decodes 100 within it.
const MAX_DEPTH: usize = 101;
/// Factor of the size of a list's element: the list has up to twice the room that it needs, and while it grows the old
/// one besides. For the first there is room for four.
const LIST_FACTOR: usize = 3;
/// Factor of the size of a map's entry, while the table grows; for the first there is room for eleven.
const MAP_FACTOR: usize = 4;
const FIRST_MAP_FACTOR: usize = 8;

impl ElementSizes {
    /// Returns the bytes that the elements of a message of this type take once it is decoded, besides the contents of
    /// its texts, which are no longer than the message. Nothing is known of a type that is not in the descriptors: 0.
    ///
    /// `None` for bytes that are no message. They must not be decoded all the same: prost goes on behind a length that
    /// exceeds the message around it, and notices that at the end alone.
    pub(crate) fn decoded_size(&self, name: &str, message: &[u8]) -> Option<usize> {
        let table = self.table();
        let Some(index) = table.find(name) else {
            return Some(0);
        };
        let mut walk = WireWalk { table, total: 0 };
        let mut rest = message;
        walk.message(Some(index), &mut rest, MAX_DEPTH, None)?;
        Some(walk.total)
    }
}

impl SizeTable {
    /// Returns the maximum number of bytes that one element takes which a message of this type, or one within it, may
    /// have any number of: an element of a list, an entry of a map, a message in a box. 0 if there is none: what such
    /// a message takes is bounded by its struct.
    pub(super) fn max_element_size(&self, index: usize) -> usize {
        let mut max = 0;
        let mut seen = vec![false; self.messages.len()];
        let mut pending = vec![index];
        while let Some(index) = pending.pop() {
            if std::mem::replace(&mut seen[index], true) {
                continue;
            }
            for field in &self.messages[index].fields {
                let mut walk = WireWalk {
                    table: self,
                    total: 0,
                };
                pending.extend(walk.add_field(field, 1, true));
                let is_boxed = matches!(field.element, Element::Message { is_boxed: true, .. });
                if field.is_repeated || is_boxed {
                    max = max.max(walk.total);
                }
            }
        }
        max
    }
}

/// A walk over the bytes of a message.
struct WireWalk<'a> {
    table: &'a SizeTable,
    total: usize,
}

/// Value behind the key of a field.
enum Value<'a> {
    Number,
    Slice(&'a [u8]),
    Group,
}

impl WireWalk<'_> {
    fn add(&mut self, bytes: usize) {
        self.total = self.total.saturating_add(bytes);
    }

    /// Walks over a message, or over a group to its end; of an unknown type without `index`. `None` if it is malformed.
    ///
    /// A field whose bytes are of another type than its descriptor says counts for nothing: its decoder fails there.
    fn message(
        &mut self,
        index: Option<usize>,
        rest: &mut &[u8],
        depth: usize,
        group: Option<u32>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let sizes = index.and_then(|index| self.table.messages.get(index));
        // Field of the last element of a list: an element of another one may be the first of its list.
        let mut last_list = 0;
        while !rest.is_empty() {
            let key = varint(rest)?;
            let number = u32::try_from(key >> 3).ok()?;
            let value = match key & 7 {
                0 => {
                    varint(rest)?;
                    Value::Number
                }
                1 => skip(rest, 8)?,
                5 => skip(rest, 4)?,
                2 => {
                    let length = usize::try_from(varint(rest)?).ok()?;
                    let (slice, behind) = rest.split_at_checked(length)?;
                    *rest = behind;
                    Value::Slice(slice)
                }
                3 => Value::Group,
                4 => return (group == Some(number)).then_some(()),
                _ => return None,
            };
            let field = sizes.and_then(|sizes| sizes.field(number));
            let is_first = last_list != number;
            if field.is_some_and(|field| field.is_repeated) {
                last_list = number;
            }
            match (field, value) {
                (field, Value::Group) => {
                    let inner = field.and_then(|field| self.add_field(field, 1, is_first));
                    self.message(inner, rest, depth, Some(number))?;
                }
                (Some(field), Value::Slice(mut slice)) => {
                    let count = count(field.element, slice);
                    if let Some(inner) = self.add_field(field, count, is_first) {
                        self.message(Some(inner), &mut slice, depth, None)?;
                    }
                }
                (Some(field), Value::Number) => {
                    self.add_field(field, 1, is_first);
                }
                (None, _) => {}
            }
        }
        group.is_none().then_some(())
    }

    /// Adds so many occurrences of a field, and returns the type of the message that it is. The field is one of a list
    /// that may be empty before if it `is_first`.
    fn add_field(&mut self, field: &FieldSizes, count: usize, is_first: bool) -> Option<usize> {
        match field.element {
            Element::Message { index, is_boxed } => {
                self.add_message(index, is_boxed, field.is_repeated, is_first);
                Some(index)
            }
            Element::MapEntry { index, size } => {
                self.add_entry(size, is_first);
                Some(index)
            }
            Element::Buffer { size } => {
                if field.is_repeated {
                    self.add_elements(size, 1, is_first);
                }
                self.add(count * ALLOCATION_SIZE);
                None
            }
            Element::Number { size, .. } => {
                if field.is_repeated {
                    self.add_elements(size, count, is_first);
                }
                None
            }
        }
    }

    /// Adds the struct of a message, unless it is a part of the struct around it.
    fn add_message(&mut self, index: usize, is_boxed: bool, is_repeated: bool, is_first: bool) {
        let size = self.table.messages[index].size;
        match is_repeated {
            true => self.add_elements(size, 1, is_first),
            false if is_boxed => self.add(size.saturating_add(ALLOCATION_SIZE)),
            false => {}
        }
    }

    /// Adds elements of a list; `is_first` if the list may be empty before.
    fn add_elements(&mut self, size: usize, count: usize, is_first: bool) {
        self.add(size.saturating_mul(count).saturating_mul(LIST_FACTOR));
        if is_first {
            self.add(size.saturating_mul(LIST_FACTOR) + ALLOCATION_SIZE);
        }
    }

    /// Adds an entry of a map; `is_first` as of lists.
    fn add_entry(&mut self, size: usize, is_first: bool) {
        self.add(size.saturating_add(1).saturating_mul(MAP_FACTOR));
        if is_first {
            self.add(size.saturating_mul(FIRST_MAP_FACTOR) + ALLOCATION_SIZE);
        }
    }
}

/// Returns how many numbers are in the bytes of a field, or how many allocations they become.
fn count(element: Element, bytes: &[u8]) -> usize {
    match element {
        Element::Number { size, is_fixed } if is_fixed => bytes.len() / size,
        Element::Number { .. } => bytes.iter().filter(|byte| **byte < 0x80).count(),
        _ => usize::from(!bytes.is_empty()),
    }
}

/// Steps over a number of this many bytes.
fn skip<'a>(rest: &mut &[u8], length: usize) -> Option<Value<'a>> {
    *rest = rest.get(length..)?;
    Some(Value::Number)
}

/// Reads a number, and advances `rest` behind it. A single byte, which is the usual case, is inlined.
#[inline]
fn varint(rest: &mut &[u8]) -> Option<u64> {
    if let [byte, tail @ ..] = rest
        && *byte < 0x80
    {
        let value = u64::from(*byte);
        *rest = tail;
        return Some(value);
    }
    decode_varint(rest).ok()
}

#[cfg(test)]
#[path = "decoded_size_tests.rs"]
mod tests;
