//! Lowers messages that are events: their Rust paths, and the fields in their subjects.

use prost_reflect::{
    Cardinality, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, Value,
};

use super::Lowering;
use crate::model::{Event, EventField, EventFieldType};
use crate::naming;

impl Lowering<'_> {
    /// Returns the events of one file, in the order of their messages.
    ///
    /// Placeholders without a suitable field are skipped; `check` reports them.
    pub(super) fn events(&self, file: &FileDescriptor) -> Vec<Event> {
        let mut events = Vec::new();
        if self.options.has_event_option() {
            for message in file.messages() {
                self.add_events(&message, &mut Vec::new(), &mut events);
            }
        }
        events
    }

    /// Adds the events among `message` and its nested messages; `around` are the enclosing messages.
    fn add_events(
        &self,
        message: &MessageDescriptor,
        around: &mut Vec<String>,
        events: &mut Vec<Event>,
    ) {
        if self.settings.is_extern(message.full_name()) {
            return;
        }
        if let Some((template, _)) = self.options.event(message, self.locations) {
            events.push(self.event(message, around, template));
        }
        around.push(message.name().to_owned());
        for child in message.child_messages() {
            self.add_events(&child, around, events);
        }
        around.pop();
    }

    fn event(&self, message: &MessageDescriptor, around: &[String], template: String) -> Event {
        let modules = around.iter().map(|name| naming::module(name) + "::");
        let path: String = modules.chain([naming::type_name(message.name())]).collect();
        let names = around.iter().map(String::as_str);
        let names: Vec<&str> = names.chain([message.name()]).collect();
        let mut fields: Vec<EventField> = Vec::new();
        for name in placeholders(&template) {
            let is_new = fields.iter().all(|field| field.name != name);
            let found = message.get_field_by_name(name).filter(|_| is_new);
            fields.extend(found.as_ref().and_then(field));
        }
        Event {
            name: message.name().to_owned(),
            full_name: message.full_name().to_owned(),
            rust_path: path,
            filter: naming::filter(&names),
            template,
            fields,
            at: self.locations.at(message.path()),
        }
    }
}

/// Returns the names in the placeholders of a template. A placeholder is a whole token.
fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    template
        .split('.')
        .filter_map(|token| token.strip_prefix('{')?.strip_suffix('}'))
}

/// Returns the field for the model, or `None` if a subject cannot contain a value of its type.
fn field(field: &FieldDescriptor) -> Option<EventField> {
    let ty = match field.kind() {
        Kind::String => EventFieldType::Text,
        Kind::Bool => EventFieldType::Bool,
        Kind::Enum(enumeration) => EventFieldType::Enum(names(&enumeration)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => EventFieldType::Integer("i32"),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => EventFieldType::Integer("i64"),
        Kind::Uint32 | Kind::Fixed32 => EventFieldType::Integer("u32"),
        Kind::Uint64 | Kind::Fixed64 => EventFieldType::Integer("u64"),
        Kind::Double | Kind::Float | Kind::Bytes | Kind::Message(_) => return None,
    };
    let is_optional = field.supports_presence() && field.cardinality() != Cardinality::Required;
    Some(EventField {
        name: field.name().to_owned(),
        rust_name: naming::module(field.name()),
        setter: naming::setter(field.name()),
        ty,
        default: is_optional.then(|| text(&field.default_value())),
    })
}

/// Returns the number and first name of each value; aliases of a number are one value in Rust.
fn names(enumeration: &EnumDescriptor) -> Vec<(i32, String)> {
    let mut names: Vec<(i32, String)> = Vec::new();
    for value in enumeration.values() {
        if names.iter().all(|(number, _)| *number != value.number()) {
            names.push((value.number(), value.name().to_owned()));
        }
    }
    names
}

/// Returns a default value as a Rust literal without a type suffix; a string as its content.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::I32(value) | Value::EnumNumber(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        _ => String::new(),
    }
}
