//! Checks the subject templates of events.

use std::collections::{HashMap, VecDeque};

use prost_reflect::{Kind, MessageDescriptor};

use crate::descriptors::{SourceFile, SourceLocations};
use crate::error::{Location, Problem};
use crate::model::Package;
use crate::options::OptionExtensions;
use crate::suggestions::closest_first;

pub(super) fn check(
    packages: &[Package],
    files: &[&SourceFile],
    options: &OptionExtensions,
    problems: &mut Vec<Problem>,
) {
    if !options.has_event_option() {
        return;
    }
    let methods = packages.iter().flat_map(|package| &package.services);
    let methods = methods.flat_map(|service| &service.methods);
    let call_subjects: HashMap<&str, String> = methods
        .map(|method| (method.full_name.as_str(), method.at.to_string()))
        .collect();
    let events = declared_events(files, options);
    for (index, event) in events.iter().enumerate() {
        let mut flaws = template_flaws(&event.template, &event.message);
        let colliding_methods = call_subjects
            .iter()
            .filter(|(subject, _)| can_produce(&event.template, subject))
            .map(|(_, at)| at);
        if let Some(method) = colliding_methods.min() {
            flaws.push(format!("it is the call subject of the method at {method}"));
        }
        flaws.extend(clash(event, &events[..index]));
        let shown = match event.template.as_str() {
            "" => format!("event subject of `{}`", event.message.full_name()),
            template => {
                let name = event.message.full_name();
                format!("event subject `{template}` of `{name}`")
            }
        };
        problems.extend(
            flaws
                .into_iter()
                .map(|flaw| Problem::at(&event.at, format!("{shown}: {flaw}"))),
        );
    }
}

/// A message with a subject.
struct DeclaredEvent {
    message: MessageDescriptor,
    template: String,
    at: Location,
}

/// Returns all events of the files, in the order in which they are declared, nested ones behind the others of a file.
fn declared_events(files: &[&SourceFile], options: &OptionExtensions) -> Vec<DeclaredEvent> {
    let mut events = Vec::new();
    for file in files {
        let locations = SourceLocations::of(&file.descriptor);
        let mut messages: VecDeque<MessageDescriptor> = file.descriptor.messages().collect();
        while let Some(message) = messages.pop_front() {
            messages.extend(message.child_messages());
            if let Some((template, at)) = options.event(&message, &locations) {
                events.push(DeclaredEvent {
                    message,
                    template,
                    at,
                });
            }
        }
    }
    events
}

/// Returns the clash of an event with the first one before it that shares a subject with it: who subscribes to one
/// would get the other, and read its bytes as the wrong message.
fn clash(event: &DeclaredEvent, earlier: &[DeclaredEvent]) -> Option<String> {
    let shared = |other: &&DeclaredEvent| {
        !event.template.is_empty() && share_a_subject(&event.template, &other.template)
    };
    let other = earlier.iter().find(shared)?;
    Some(format!(
        "`{}` at {} has subjects of the same form (`{}`), so that subscribers of one would get the other as well; \
         begin one of them with other words",
        other.message.full_name(),
        other.at,
        other.template
    ))
}

/// Returns whether events of both templates can have one subject.
fn share_a_subject(one: &str, other: &str) -> bool {
    let (mut left, mut right) = (one.split('.'), other.split('.'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b || a.starts_with('{') || b.starts_with('{') => {}
            _ => return false,
        }
    }
}

/// Returns whether an event of this template can be published on `subject`.
///
/// A placeholder produces exactly one token, since the runtime escapes dots in values.
fn can_produce(template: &str, subject: &str) -> bool {
    let (mut tokens, mut parts) = (template.split('.'), subject.split('.'));
    loop {
        match (tokens.next(), parts.next()) {
            (None, None) => return true,
            (Some(token), Some(part)) if token.starts_with('{') || token == part => {}
            _ => return false,
        }
    }
}

/// Returns all problems with `template`.
fn template_flaws(template: &str, message: &MessageDescriptor) -> Vec<String> {
    if template.is_empty() {
        return vec!["it is empty; write one such as `evt.market.trade.{venue}`".to_owned()];
    }
    let mut flaws: Vec<String> = template
        .split('.')
        .flat_map(|token| token_flaws(token, message))
        .collect();
    if template.starts_with('{') {
        flaws.push(
            "it begins with a placeholder, and so a value could lead anywhere; begin with a word, as in `evt.…`"
                .to_owned(),
        );
    }
    flaws
}

fn token_flaws(token: &str, message: &MessageDescriptor) -> Vec<String> {
    if token.is_empty() {
        return vec!["it has an empty token".to_owned()];
    }
    let mut flaws = Vec::new();
    if token.starts_with(['_', '$']) {
        flaws.push(format!(
            "token `{token}` begins with `_` or `$`, which is reserved"
        ));
    }
    let is_whole = token.starts_with('{') && token.find('}') == Some(token.len() - 1);
    if token.contains('{') && token.contains('}') && !is_whole {
        flaws.push(format!(
            "a placeholder is a whole token, as a wildcard is; split `{token}`"
        ));
    }
    let mut rest = token;
    while let Some((literal, after)) = rest.split_once('{') {
        flaws.extend(literal_flaw(literal));
        let Some((field, after)) = after.split_once('}') else {
            flaws.push(format!("`{{{after}` is not closed"));
            return flaws;
        };
        flaws.extend(field_flaw(field, message));
        rest = after;
    }
    flaws.extend(literal_flaw(rest));
    flaws
}

fn literal_flaw(literal: &str) -> Option<String> {
    let invalid = literal
        .chars()
        .find(|found| !found.is_ascii_graphic() || "*>}".contains(*found))?;
    Some(match invalid {
        '*' | '>' => format!("`{invalid}` is a wildcard, and nothing can be published to one"),
        '}' => "`}` without `{`".to_owned(),
        _ => format!("{invalid:?} cannot stand in a subject; write printable ASCII without spaces"),
    })
}

fn field_flaw(name: &str, message: &MessageDescriptor) -> Option<String> {
    let Some(field) = message.get_field_by_name(name) else {
        let fields: Vec<String> = message
            .fields()
            .map(|field| field.name().to_owned())
            .collect();
        let names = closest_first(name, fields.iter().map(String::as_str));
        return Some(format!("there is no field `{name}`; there are: {names}"));
    };
    let is_value = !matches!(
        field.kind(),
        Kind::Message(_) | Kind::Bytes | Kind::Double | Kind::Float
    );
    if !is_value || field.is_list() {
        return Some(format!(
            "field `{name}` is not a single string, bool, enum or integer"
        ));
    }
    let oneof = field
        .containing_oneof()
        .filter(|oneof| !oneof.is_synthetic())?;
    Some(format!(
        "field `{name}` is part of the oneof `{}`, and so is not always there",
        oneof.name()
    ))
}
