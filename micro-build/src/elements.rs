//! Finds patterns that match no element, so that a misspelled path is an error.

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::descriptors::{FileSet, SourceFile};
use crate::error::Problem;
use crate::patterns::{PatternUse, Target};
use crate::settings::Settings;
use crate::suggestions::closest_first;

/// All elements of a set of files: full path, with a leading dot, and kind.
struct Elements(Vec<(String, ElementKind)>);

/// Kind of an element, as fine as the options of `Config` distinguish them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ElementKind {
    Message,
    Enum,
    Oneof,
    EnumValue,
    BytesField,
    MapField,
    /// A field that holds one message.
    MessageField,
    OtherField,
    /// A bytes field of a oneof, by its own path; prost's option `bytes` uses that path.
    BytesInOneof,
    /// Any other field of a oneof, by its own path; prost uses that path for comments only.
    OtherInOneof,
    Service,
    Method,
}

/// Returns a problem for each pattern of `settings` that matches nothing.
///
/// Patterns of `extern_path` are matched against the elements of all files, and the others against the
/// files to generate.
pub(crate) fn unmatched(
    settings: &Settings,
    generated: &[&SourceFile],
    all: &FileSet,
) -> Vec<Problem> {
    let uses = &settings.uses;
    if uses.is_empty() {
        return Vec::new();
    }
    let all = Elements::of(all.files());
    let mut generated = Elements::of(generated.iter().copied());
    generated
        .0
        .retain(|(path, _)| !settings.is_extern(&path[1..]));
    let elements = |used: &PatternUse| {
        if used.target == Target::Types {
            &all
        } else {
            &generated
        }
    };
    uses.iter()
        .filter_map(|used| elements(used).problem(used))
        .collect()
}

/// Returns whether an option for `target` applies to elements of `kind`.
fn applies_to(target: Target, kind: ElementKind) -> bool {
    match target {
        Target::Messages => kind == ElementKind::Message,
        Target::Enums => matches!(kind, ElementKind::Enum | ElementKind::Oneof),
        Target::Fields => matches!(
            kind,
            ElementKind::Oneof
                | ElementKind::EnumValue
                | ElementKind::BytesField
                | ElementKind::MapField
                | ElementKind::MessageField
                | ElementKind::OtherField
        ),
        Target::BytesFields => matches!(kind, ElementKind::BytesField | ElementKind::BytesInOneof),
        Target::MapFields => kind == ElementKind::MapField,
        Target::MessageFields => kind == ElementKind::MessageField,
        Target::Types => matches!(kind, ElementKind::Message | ElementKind::Enum),
        Target::Services => kind == ElementKind::Service,
        Target::ServicesAndMethods => matches!(kind, ElementKind::Service | ElementKind::Method),
        Target::Documented => true,
    }
}

/// Returns the noun for the elements of `target`, for error messages.
fn noun(target: Target) -> &'static str {
    match target {
        Target::Messages => "message",
        Target::Enums => "enum",
        Target::Fields => "field",
        Target::BytesFields => "field of type bytes",
        Target::MapFields => "map field",
        Target::MessageFields => "field that holds one message",
        Target::Types => "message or enum",
        Target::Services => "service",
        Target::ServicesAndMethods => "service or method",
        Target::Documented => "message, field, enum, service or method",
    }
}

impl Elements {
    fn of<'a>(files: impl IntoIterator<Item = &'a SourceFile>) -> Self {
        let mut elements = Self(Vec::new());
        for file in files {
            file.descriptor
                .messages()
                .for_each(|message| elements.add_message(&message));
            file.descriptor
                .enums()
                .for_each(|enumeration| elements.add_enum(&enumeration));
            for service in file.descriptor.services() {
                elements.add(service.full_name(), ElementKind::Service);
                service
                    .methods()
                    .for_each(|method| elements.add(method.full_name(), ElementKind::Method));
            }
        }
        elements
    }

    /// Returns the problem with `used` if it matches none of the elements.
    fn problem(&self, used: &PatternUse) -> Option<Problem> {
        let PatternUse {
            option,
            pattern,
            target,
        } = used;
        let candidates = || {
            let candidates = self.0.iter();
            let candidates = candidates.filter(|(_, kind)| applies_to(*target, *kind));
            candidates.map(|(path, _)| path.as_str())
        };
        let is_matched = |path: &str| match target {
            Target::ServicesAndMethods => pattern.is_for(path),
            _ => pattern.matches(path),
        };
        if candidates().any(is_matched) {
            return None;
        }
        let (pattern, target) = (pattern.as_str(), noun(*target));
        // Code for `google.protobuf` is in prost-types and is usually not generated.
        let own = candidates().filter(|path| !path.starts_with(".google.protobuf."));
        let names = closest_first(pattern, own);
        let message = format!("`{option}(\"{pattern}\")` matches no {target}; there are: {names}");
        Some(Problem::anywhere(message))
    }

    fn add(&mut self, full_name: &str, kind: ElementKind) {
        self.0.push((format!(".{full_name}"), kind));
    }

    fn add_message(&mut self, message: &MessageDescriptor) {
        if message.is_map_entry() {
            return;
        }
        self.add(message.full_name(), ElementKind::Message);
        for field in message.fields() {
            let kind = kind_of(&field);
            match field
                .containing_oneof()
                .filter(|oneof| !oneof.is_synthetic())
            {
                None => self.add(field.full_name(), kind),
                Some(oneof) => {
                    // prost matches options against the path of the variant, except for `bytes` and
                    // `disable_comments`, which use the path of the field.
                    let variant = format!("{}.{}", oneof.full_name(), field.name());
                    let (variant_kind, field_kind) = match kind {
                        ElementKind::BytesField => {
                            (ElementKind::OtherField, ElementKind::BytesInOneof)
                        }
                        kind => (kind, ElementKind::OtherInOneof),
                    };
                    self.add(&variant, variant_kind);
                    self.add(field.full_name(), field_kind);
                }
            }
        }
        let oneofs = message.oneofs().filter(|oneof| !oneof.is_synthetic());
        oneofs.for_each(|oneof| self.add(oneof.full_name(), ElementKind::Oneof));
        message
            .child_messages()
            .for_each(|child| self.add_message(&child));
        message
            .child_enums()
            .for_each(|child| self.add_enum(&child));
    }

    fn add_enum(&mut self, enumeration: &EnumDescriptor) {
        self.add(enumeration.full_name(), ElementKind::Enum);
        for value in enumeration.values() {
            self.add(
                &format!("{}.{}", enumeration.full_name(), value.name()),
                ElementKind::EnumValue,
            );
        }
    }
}

fn kind_of(field: &FieldDescriptor) -> ElementKind {
    match field.kind() {
        Kind::Bytes => ElementKind::BytesField,
        Kind::Message(_) if field.is_map() => ElementKind::MapField,
        Kind::Message(_) if !field.is_list() => ElementKind::MessageField,
        _ => ElementKind::OtherField,
    }
}
