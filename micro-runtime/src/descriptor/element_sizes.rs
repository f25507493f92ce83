//! `ElementSizes`: the memory that the elements of decoded messages take, by the descriptors of their service.
//!
//! A message of two bytes on the wire can be a struct of hundreds. The sizes are those of the code that prost
//! generates, computed from the descriptors that each service embeds, so that generated code has no table of its own:
//!
//! | field | bytes in the struct |
//! |---|---|
//! | number, enum, bool | 1, 4 or 8; as many besides where its absence shows |
//! | text; bytes | 24; 32 |
//! | list; map | 24; 48 |
//! | message | its own size and 8, or 8 for a box |
//! | oneof | its largest member and 8 |
//!
//! They are never less than the real ones. prost boxes each message field whose type leads back to the message; here
//! one box is enough to open the circle, and the others count as parts of the struct.

use std::collections::HashMap;
use std::sync::OnceLock;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions,
};

/// Size in bytes of a `String` or a `Vec`.
const VEC_SIZE: usize = size_of::<Vec<u8>>();
/// Size in bytes of a `bytes` field: of `Bytes`, which is larger than a `Vec`.
const BYTES_SIZE: usize = size_of::<bytes::Bytes>();
const MAP_SIZE: usize = size_of::<HashMap<u64, u64>>();
const WORD: usize = size_of::<usize>();

/// Sizes of the messages of one service, made on the first request that needs them.
#[derive(Debug)]
pub(crate) struct ElementSizes {
    file_descriptor_set: &'static [u8],
    table: OnceLock<SizeTable>,
}

/// Sizes of messages.
#[derive(Debug, Default)]
pub(super) struct SizeTable {
    by_name: HashMap<String, usize>,
    pub(super) messages: Vec<MessageSizes>,
}

/// Size of one message, and what its fields take besides.
#[derive(Debug, Default)]
pub(super) struct MessageSizes {
    /// Size in bytes of the struct.
    pub(super) size: usize,
    /// Ordered by their numbers.
    pub(super) fields: Vec<FieldSizes>,
}

/// Size of a field by its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldSizes {
    pub(super) number: u32,
    pub(super) is_repeated: bool,
    pub(super) element: Element,
}

/// What one occurrence of a field takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Element {
    /// A number of this many bytes, which has a fixed length on the wire or not.
    Number { size: usize, is_fixed: bool },
    /// Text or bytes, with a buffer besides these bytes.
    Buffer { size: usize },
    /// A message, in a box of its own or as a part of the struct around it.
    Message { index: usize, is_boxed: bool },
    /// An entry of a map, whose key and value have this size.
    MapEntry { index: usize, size: usize },
}

impl ElementSizes {
    /// Makes the sizes of a service with these descriptors, which are read when they are first needed.
    pub(crate) fn new(file_descriptor_set: &'static [u8]) -> Self {
        Self {
            file_descriptor_set,
            table: OnceLock::new(),
        }
    }

    /// Returns the sizes. The first call reads the descriptors.
    pub(super) fn table(&self) -> &SizeTable {
        self.table
            .get_or_init(|| SizeTable::read(self.file_descriptor_set))
    }
}

impl SizeTable {
    /// Returns the sizes of all messages of a serialized `FileDescriptorSet`; none if it is not one.
    fn read(set: &[u8]) -> Self {
        let set = FileDescriptorSet::decode(set).unwrap_or_default();
        let mut declared = Vec::new();
        for file in &set.file {
            let scope = match file.package() {
                "" => String::new(),
                package => format!(".{package}"),
            };
            declare(file, &scope, &file.message_type, &mut declared);
        }
        let by_name = declared.iter().enumerate();
        let by_name = by_name.map(|(index, message)| (message.name.clone(), index));
        let mut layout = Layout {
            by_name: by_name.collect(),
            sizes: vec![Size::Unknown; declared.len()],
            messages: Vec::new(),
            declared,
        };
        let count = layout.declared.len();
        layout.messages.resize_with(count, MessageSizes::default);
        for index in 0..count {
            layout.measure(index);
        }
        let sizes: Vec<_> = layout.messages.iter().map(|message| message.size).collect();
        let fields = layout.messages.iter_mut();
        for field in fields.flat_map(|message| &mut message.fields) {
            if let Element::MapEntry { index, size } = &mut field.element {
                *size = sizes[*index];
            }
        }
        Self {
            by_name: layout.by_name,
            messages: layout.messages,
        }
    }

    /// Returns the number of a message, by its full name without a dot before it.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

impl MessageSizes {
    /// Returns what is known of a field.
    #[inline]
    pub(super) fn field(&self, number: u32) -> Option<&FieldSizes> {
        // Most messages number their fields from 1 on.
        let guess = self.fields.get((number as usize).wrapping_sub(1));
        if guess.is_some_and(|field| field.number == number) {
            return guess;
        }
        let found = self
            .fields
            .binary_search_by_key(&number, |field| field.number);
        self.fields.get(found.ok()?)
    }
}

/// A message as it is declared.
struct Declared<'a> {
    name: String,
    message: &'a DescriptorProto,
    has_implicit_presence: bool,
}

/// Adds messages and those nested in them to `all`; `scope` is the name around them, with a dot before it.
fn declare<'a>(
    file: &FileDescriptorProto,
    scope: &str,
    messages: &'a [DescriptorProto],
    all: &mut Vec<Declared<'a>>,
) {
    for message in messages {
        let name = format!("{scope}.{}", message.name());
        declare(file, &name, &message.nested_type, all);
        all.push(Declared {
            name: name.trim_start_matches('.').to_owned(),
            message,
            has_implicit_presence: file.syntax() == "proto3",
        });
    }
}

/// Size of a message so far.
#[derive(Clone, Copy)]
enum Size {
    Unknown,
    /// Being measured: a field of this type within it closes a circle, and so is boxed.
    Measuring,
    Known(usize),
}

/// Messages that are being measured.
struct Layout<'a> {
    by_name: HashMap<String, usize>,
    declared: Vec<Declared<'a>>,
    sizes: Vec<Size>,
    messages: Vec<MessageSizes>,
}

impl Layout<'_> {
    /// Returns the size of a message, and whether a field of its type is a box.
    ///
    /// Types that are used before they are declared are measured in between, so that the depth of the calls is that of
    /// the types within each other.
    fn measure(&mut self, index: usize) -> (usize, bool) {
        match self.sizes[index] {
            Size::Known(size) => return (size, false),
            Size::Measuring => return (WORD, true),
            Size::Unknown => self.sizes[index] = Size::Measuring,
        }
        let message = self.declared[index].message;
        let mut oneofs = vec![0; message.oneof_decl.len()];
        let mut size: usize = 0;
        let mut fields = Vec::with_capacity(message.field.len());
        for field in &message.field {
            let (sizes, inline) = self.field(field);
            let is_single =
                !sizes.is_repeated && !matches!(sizes.element, Element::MapEntry { .. });
            let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
            let oneof = oneof.and_then(|index| oneofs.get_mut(usize::try_from(index).ok()?));
            match oneof {
                Some(largest) => *largest = inline.max(*largest),
                None if is_single => {
                    let has_presence = !self.declared[index].has_implicit_presence
                        || field.proto3_optional()
                        || matches!(sizes.element, Element::Message { .. });
                    size = size.saturating_add(with_presence(inline, has_presence));
                }
                None => size = size.saturating_add(inline),
            }
            fields.push(sizes);
        }
        for largest in oneofs.into_iter().filter(|largest| *largest > 0) {
            size = size.saturating_add(with_presence(rounded(largest), true));
        }
        fields.sort_by_key(|field| field.number);
        let size = rounded(size);
        self.sizes[index] = Size::Known(size);
        self.messages[index] = MessageSizes { size, fields };
        (size, false)
    }

    /// Returns what a field takes: each occurrence, and in the struct.
    fn field(&mut self, field: &FieldDescriptorProto) -> (FieldSizes, usize) {
        let is_repeated = field.label() == Label::Repeated;
        let element = self.element(field, is_repeated);
        let inline = match element {
            Element::MapEntry { .. } => MAP_SIZE,
            _ if is_repeated => VEC_SIZE,
            Element::Number { size, .. } | Element::Buffer { size } => size,
            Element::Message { is_boxed: true, .. } => WORD,
            Element::Message { index, .. } => self.measure(index).0,
        };
        let sizes = FieldSizes {
            number: u32::try_from(field.number()).unwrap_or_default(),
            is_repeated,
            element,
        };
        (sizes, inline)
    }

    /// Returns what one occurrence of a field takes. A message that is not in the descriptors counts as bytes.
    fn element(&mut self, field: &FieldDescriptorProto, is_repeated: bool) -> Element {
        let number = |size, is_fixed| Element::Number { size, is_fixed };
        match field.r#type() {
            Type::Double | Type::Fixed64 | Type::Sfixed64 => number(8, true),
            Type::Float | Type::Fixed32 | Type::Sfixed32 => number(4, true),
            Type::Int64 | Type::Uint64 | Type::Sint64 => number(8, false),
            Type::Int32 | Type::Uint32 | Type::Sint32 | Type::Enum => number(4, false),
            Type::Bool => number(1, false),
            Type::String => Element::Buffer { size: VEC_SIZE },
            Type::Bytes => Element::Buffer { size: BYTES_SIZE },
            Type::Message | Type::Group => {
                let name = field.type_name().trim_start_matches('.');
                let Some(&index) = self.by_name.get(name) else {
                    return Element::Buffer { size: BYTES_SIZE };
                };
                let is_entry = self.declared[index].message.options.as_ref();
                // An element of a list or a map is measured when its own turn comes: it closes no circle.
                if is_repeated && is_entry.is_some_and(MessageOptions::map_entry) {
                    return Element::MapEntry { index, size: 0 };
                }
                let is_boxed = !is_repeated && self.measure(index).1;
                Element::Message { index, is_boxed }
            }
        }
    }
}

/// Returns the size of a field of which is known whether it is set.
fn with_presence(size: usize, has_presence: bool) -> usize {
    match size {
        4.. if has_presence => size.saturating_add(size.min(WORD)),
        size => size,
    }
}

/// Returns the size with the padding at the end of a struct.
fn rounded(size: usize) -> usize {
    size.checked_next_multiple_of(WORD).unwrap_or(size)
}
