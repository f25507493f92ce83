//! Reads and changes the fields of a descriptor by their names in descriptor.proto.

use std::borrow::Cow;

use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

/// Sets the option `name` of `element`.
pub(crate) fn set_option(element: &mut DynamicMessage, name: &str, value: Value) {
    let options = element
        .get_field_by_name_mut("options")
        .and_then(Value::as_message_mut);
    if let Some(options) = options {
        options.set_field_by_name(name, value);
    }
}

/// Returns the messages in the repeated field `list`.
pub(crate) fn parts<'a>(
    of: &'a DynamicMessage,
    list: &str,
) -> impl Iterator<Item = &'a DynamicMessage> {
    let field = of.descriptor().get_field_by_name(list);
    let list = field
        .filter(|field| of.has_field(field))
        .map(|field| of.get_field(&field));
    let list = match list {
        Some(Cow::Borrowed(Value::List(list))) => list.as_slice(),
        _ => &[],
    };
    list.iter().filter_map(Value::as_message)
}

/// Returns the messages in the repeated field `list`, for changes.
pub(crate) fn parts_mut<'a>(
    of: &'a mut DynamicMessage,
    list: &str,
) -> impl Iterator<Item = &'a mut DynamicMessage> {
    let list = of.get_field_by_name_mut(list).and_then(Value::as_list_mut);
    list.into_iter().flatten().filter_map(Value::as_message_mut)
}

/// Returns the number of the enum value in `field`, or 0.
pub(crate) fn number(of: &DynamicMessage, field: &str) -> i32 {
    let value = of.get_field_by_name(field);
    value
        .and_then(|value| value.as_enum_number())
        .unwrap_or_default()
}

/// Returns the string in `field`, or an empty one.
pub(crate) fn text(of: &DynamicMessage, field: &str) -> String {
    let value = of.get_field_by_name(field);
    value
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
