//! Emits the items of events: `impl Event` for the message, and the filter for subscriptions.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;

use super::lints::allow;
use super::scope::parse;
use crate::error::Error;
use crate::model::{Event, EventField, EventFieldType};
use crate::settings::Settings;

/// Emits all items for the events of one package.
///
/// # Errors
///
/// Fails if a name is not valid in Rust, which `check` should have rejected.
pub(crate) fn emit(events: &[Event], settings: &Settings) -> Result<TokenStream, Error> {
    let mut items = TokenStream::new();
    for event in events {
        let scope = EventScope::new(event, settings)?;
        items.extend([implementation(&scope), filter(&scope)]);
    }
    let (rt, version) = (&settings.runtime, env!("CARGO_PKG_VERSION"));
    items.extend(quote!(const _: () = #rt::codegen::written_by(#version);));
    Ok(items)
}

/// One event with all names parsed.
struct EventScope<'a> {
    event: &'a Event,
    rt: &'a syn::Path,
    message: syn::Path,
    filter: Ident,
    fields: Vec<FieldScope<'a>>,
}

/// One field of a subject with all names parsed.
struct FieldScope<'a> {
    field: &'a EventField,
    index: Literal,
    name: Ident,
    setter: Ident,
}

impl<'a> EventScope<'a> {
    fn new(event: &'a Event, settings: &'a Settings) -> Result<Self, Error> {
        let fields = event.fields.iter().enumerate().map(|(index, field)| {
            Ok(FieldScope {
                field,
                index: Literal::usize_unsuffixed(index),
                name: parse(&field.rust_name)?,
                setter: parse(&field.setter)?,
            })
        });
        Ok(Self {
            event,
            rt: &settings.runtime,
            message: parse(&event.rust_path)?,
            filter: parse(&event.filter)?,
            fields: fields.collect::<Result<_, Error>>()?,
        })
    }
}

fn implementation(scope: &EventScope<'_>) -> TokenStream {
    let EventScope {
        event,
        rt,
        message,
        filter,
        fields,
    } = scope;
    let allow = allow();
    let (full_name, template) = (&event.full_name, &event.template);
    let descriptors = fields.iter().map(|field| descriptor(field, rt));
    let writes = writes(scope);
    quote! {
        #allow
        impl #rt::Event for #message {
            const DESCRIPTOR: &'static #rt::descriptor::EventDescriptor =
                &#rt::descriptor::EventDescriptor::new(#full_name, #template, &[#(#descriptors),*]);

            type Filter = #filter;

            fn write_subject(&self, subject: &mut #rt::codegen::SubjectWriter<'_>) {
                #(#writes)*
            }
        }
    }
}

fn descriptor(field: &FieldScope<'_>, rt: &syn::Path) -> TokenStream {
    let name = &field.field.name;
    match &field.field.ty {
        EventFieldType::Enum(names) => {
            let names = names.iter().map(|(number, name)| {
                let number = Literal::i32_unsuffixed(*number);
                quote!((#number, #name))
            });
            quote!(#rt::descriptor::EventField::of_enum(#name, &[#(#names),*]))
        }
        _ => quote!(#rt::descriptor::EventField::new(#name)),
    }
}

/// Emits the template as one call per literal and placeholder.
fn writes(scope: &EventScope<'_>) -> Vec<TokenStream> {
    let mut calls = Vec::new();
    let mut literal = String::new();
    for (index, token) in scope.event.template.split('.').enumerate() {
        if index > 0 {
            literal.push('.');
        }
        let placeholder = token
            .strip_prefix('{')
            .and_then(|token| token.strip_suffix('}'));
        let field = scope
            .fields
            .iter()
            .find(|field| Some(field.field.name.as_str()) == placeholder);
        match field {
            None => literal.push_str(token),
            Some(field) => {
                let text = std::mem::take(&mut literal);
                calls.push(quote!(subject.literal(#text);));
                calls.push(write(field));
            }
        }
    }
    if !literal.is_empty() {
        calls.push(quote!(subject.literal(#literal);));
    }
    calls
}

fn write(field: &FieldScope<'_>) -> TokenStream {
    let FieldScope { index, name, .. } = field;
    let default = field.field.default.as_deref();
    match &field.field.ty {
        EventFieldType::Text => match default {
            None => quote!(subject.text(#index, &self.#name);),
            Some(text) => {
                quote!(subject.text(#index, self.#name.as_deref().unwrap_or(#text));)
            }
        },
        ty => {
            let value = match default.and_then(|text| text.parse::<TokenStream>().ok()) {
                None => quote!(self.#name),
                Some(default) => quote!(self.#name.unwrap_or(#default)),
            };
            match ty {
                EventFieldType::Bool => quote!(subject.boolean(#index, #value);),
                EventFieldType::Enum(_) => quote!(subject.number(#index, #value);),
                _ => quote!(subject.integer(#index, #value);),
            }
        }
    }
}

fn filter(scope: &EventScope<'_>) -> TokenStream {
    let EventScope {
        event,
        rt,
        message,
        filter,
        fields,
    } = scope;
    let allow = allow();
    let summary = format!(
        " Filter for `{}` events by the fields in their subject, `{}`.",
        event.name, event.template
    );
    let setters = fields.iter().map(|field| setter(field));
    quote! {
        #[doc = #summary]
        ///
        /// A field that is not set matches every value.
        #allow
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #[must_use]
        pub struct #filter(#rt::codegen::Fixed);

        #allow
        impl #filter {
            /// Creates a filter that matches every event.
            pub fn new() -> Self {
                Self(#rt::codegen::Fixed::new(<#message as #rt::Event>::DESCRIPTOR))
            }

            #(#setters)*
        }

        #allow
        impl ::core::default::Default for #filter {
            fn default() -> Self {
                Self(#rt::codegen::Fixed::new(<#message as #rt::Event>::DESCRIPTOR))
            }
        }

        #allow
        impl #rt::codegen::EventFilter for #filter {
            fn fixed(&self) -> &#rt::codegen::Fixed {
                &self.0
            }
        }
    }
}

fn setter(field: &FieldScope<'_>) -> TokenStream {
    let FieldScope { index, setter, .. } = field;
    let docs = format!(
        " Matches only events whose `{}` equals `value`.",
        field.field.name
    );
    let (ty, call) = match &field.field.ty {
        EventFieldType::Text => (
            quote!(impl ::core::convert::AsRef<str>),
            quote!(text(#index, value.as_ref())),
        ),
        EventFieldType::Bool => (quote!(bool), quote!(boolean(#index, value))),
        EventFieldType::Integer(ty) => {
            let ty = Ident::new(ty, proc_macro2::Span::call_site());
            (quote!(#ty), quote!(integer(#index, value)))
        }
        EventFieldType::Enum(_) => (
            quote!(impl ::core::convert::Into<i32>),
            quote!(number(#index, value.into())),
        ),
    };
    quote! {
        #[doc = #docs]
        pub fn #setter(mut self, value: #ty) -> Self {
            self.0.#call;
            self
        }
    }
}
