//! Everything that a pattern can pick, so that one that picks nothing is found out.

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::descriptors::{FileSet, SourceFile};
use crate::error::Problem;
use crate::patterns::{Target, Use};
use crate::settings::Settings;
use crate::suggestions::closest_first;

/// The full paths of everything in a run, each with what it is.
struct Elements(Vec<(String, Is)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Message,
    Enum,
    Oneof,
    Value,
    Bytes,
    Map,
    OneMessage,
    OtherField,
    BytesInOneof,
    InOneof,
    Service,
    Method,
}

/// The problems with those of `uses` that pick nothing: among the files that become code, or, where
/// the code is elsewhere, among all files.
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
        .retain(|(path, _)| !settings.is_elsewhere(&path[1..]));
    let elements = |used: &Use| {
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

fn covers(target: Target, is: Is) -> bool {
    match target {
        Target::Messages => is == Is::Message,
        Target::Enums => matches!(is, Is::Enum | Is::Oneof),
        Target::Fields => matches!(
            is,
            Is::Oneof | Is::Value | Is::Bytes | Is::Map | Is::OneMessage | Is::OtherField
        ),
        Target::BytesFields => matches!(is, Is::Bytes | Is::BytesInOneof),
        Target::MapFields => is == Is::Map,
        Target::MessageFields => is == Is::OneMessage,
        Target::Types => matches!(is, Is::Message | Is::Enum),
        Target::Services => is == Is::Service,
        Target::ServicesAndMethods => matches!(is, Is::Service | Is::Method),
        Target::Documented => true,
    }
}

fn name(target: Target) -> &'static str {
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
                elements.add(service.full_name(), Is::Service);
                service
                    .methods()
                    .for_each(|method| elements.add(method.full_name(), Is::Method));
            }
        }
        elements
    }

    fn problem(&self, used: &Use) -> Option<Problem> {
        let Use {
            option,
            pattern,
            target,
        } = used;
        let there_are = || {
            let covered = self.0.iter().filter(|(_, is)| covers(*target, *is));
            covered.map(|(path, _)| path.as_str())
        };
        // Everything there is may be nothing.
        let is_picked = |path: &str| match target {
            Target::ServicesAndMethods => pattern.is_for(path),
            _ => pattern.matches(path) || pattern.as_str() == ".",
        };
        if there_are().any(is_picked) {
            return None;
        }
        let (pattern, target) = (pattern.as_str(), name(*target));
        // prost-types has these, unless somebody goes out of his way to generate them.
        let own = there_are().filter(|path| !path.starts_with(".google.protobuf."));
        let names = closest_first(pattern, own);
        let message = format!("`{option}(\"{pattern}\")` matches no {target}; there are: {names}");
        Some(Problem::anywhere(message))
    }

    fn add(&mut self, full_name: &str, is: Is) {
        self.0.push((format!(".{full_name}"), is));
    }

    fn add_message(&mut self, message: &MessageDescriptor) {
        if message.is_map_entry() {
            return;
        }
        self.add(message.full_name(), Is::Message);
        for field in message.fields() {
            let is = kind(&field);
            match field
                .containing_oneof()
                .filter(|oneof| !oneof.is_synthetic())
            {
                None => self.add(field.full_name(), is),
                Some(oneof) => {
                    // prost goes by the path of the variant, but for bytes and comments.
                    let variant = format!("{}.{}", oneof.full_name(), field.name());
                    let is_bytes = is == Is::Bytes;
                    self.add(&variant, if is_bytes { Is::OtherField } else { is });
                    let is = if is_bytes {
                        Is::BytesInOneof
                    } else {
                        Is::InOneof
                    };
                    self.add(field.full_name(), is);
                }
            }
        }
        let oneofs = message.oneofs().filter(|oneof| !oneof.is_synthetic());
        oneofs.for_each(|oneof| self.add(oneof.full_name(), Is::Oneof));
        message
            .child_messages()
            .for_each(|child| self.add_message(&child));
        message
            .child_enums()
            .for_each(|child| self.add_enum(&child));
    }

    fn add_enum(&mut self, enumeration: &EnumDescriptor) {
        self.add(enumeration.full_name(), Is::Enum);
        for value in enumeration.values() {
            self.add(
                &format!("{}.{}", enumeration.full_name(), value.name()),
                Is::Value,
            );
        }
    }
}

fn kind(field: &FieldDescriptor) -> Is {
    match field.kind() {
        Kind::Bytes => Is::Bytes,
        Kind::Message(_) if field.is_map() => Is::Map,
        Kind::Message(_) if !field.is_list() => Is::OneMessage,
        _ => Is::OtherField,
    }
}
