//! Changes the items that prost generated: allows lints, and makes comments safe for rustdoc.

use syn::{Attribute, ImplItem, Item};

use crate::comments::make_safe;
use crate::emit::allow;

/// Postprocesses an item of the package's module.
pub(crate) fn item(item: &mut Item) {
    make_comments_safe(item);
    if let Some(attributes) = attributes_of(item) {
        attributes.push(allow());
    }
}

fn make_comments_safe(item: &mut Item) {
    if let Some(attributes) = attributes_of(item) {
        make_safe(attributes);
    }
    match item {
        Item::Struct(item) => {
            item.fields
                .iter_mut()
                .for_each(|field| make_safe(&mut field.attrs));
        }
        Item::Enum(item) => {
            item.variants
                .iter_mut()
                .for_each(|variant| make_safe(&mut variant.attrs));
        }
        Item::Mod(item) => {
            item.content
                .iter_mut()
                .flat_map(|(_, items)| items)
                .for_each(make_comments_safe);
        }
        Item::Impl(item) => {
            for item in &mut item.items {
                if let ImplItem::Fn(item) = item {
                    make_safe(&mut item.attrs);
                }
            }
        }
        _ => {}
    }
}

fn attributes_of(item: &mut Item) -> Option<&mut Vec<Attribute>> {
    match item {
        Item::Struct(item) => Some(&mut item.attrs),
        Item::Enum(item) => Some(&mut item.attrs),
        Item::Mod(item) => Some(&mut item.attrs),
        Item::Impl(item) => Some(&mut item.attrs),
        _ => None,
    }
}
