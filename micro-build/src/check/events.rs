//! Subject templates of events.

use std::collections::HashMap;

use prost_reflect::{Kind, MessageDescriptor};

use crate::descriptors::{Lines, SourceFile};
use crate::error::Problem;
use crate::model::Package;
use crate::options::Options;
use crate::suggestions::closest_first;

pub(super) fn check(
    packages: &[Package],
    files: &[&SourceFile],
    options: &Options,
    problems: &mut Vec<Problem>,
) {
    if !options.knows_events() {
        return;
    }
    let methods = packages.iter().flat_map(|package| &package.services);
    let methods = methods.flat_map(|service| &service.methods);
    let subjects: HashMap<&str, String> = methods
        .map(|method| (method.full_name.as_str(), method.at.to_string()))
        .collect();
    for file in files {
        let lines = Lines::of(&file.descriptor);
        let mut messages: Vec<MessageDescriptor> = file.descriptor.messages().collect();
        while let Some(message) = messages.pop() {
            messages.extend(message.child_messages());
            let Some((template, at)) = options.event(&message, &lines) else {
                continue;
            };
            let name = message.full_name();
            let said = match template.as_str() {
                "" => format!("event subject of `{name}`"),
                template => format!("event subject `{template}` of `{name}`"),
            };
            let mut wrong = wrong_with(&template, &message);
            let covered = subjects
                .iter()
                .filter(|(subject, _)| covers(&template, subject))
                .map(|(_, at)| at);
            if let Some(method) = covered.min() {
                wrong.push(format!("it is the call subject of the method at {method}"));
            }
            let found = wrong
                .into_iter()
                .map(|wrong| Problem::at(&at, format!("{said}: {wrong}")));
            problems.extend(found);
        }
    }
}

/// Whether an event of this template can have the subject. A value never has a dot in it.
fn covers(template: &str, subject: &str) -> bool {
    let (mut tokens, mut parts) = (template.split('.'), subject.split('.'));
    loop {
        match (tokens.next(), parts.next()) {
            (None, None) => return true,
            (Some(token), Some(part)) if token.starts_with('{') || token == part => {}
            _ => return false,
        }
    }
}

/// Everything that is wrong with `template`.
fn wrong_with(template: &str, message: &MessageDescriptor) -> Vec<String> {
    if template.is_empty() {
        return vec!["it is empty; write one such as `evt.market.trade.{venue}`".to_owned()];
    }
    let mut wrong: Vec<String> = template
        .split('.')
        .flat_map(|token| wrong_with_token(token, message))
        .collect();
    if template.starts_with('{') {
        wrong.push(
            "it begins with a placeholder, and so a value could lead anywhere; begin with a word, as in `evt.…`"
                .to_owned(),
        );
    }
    wrong
}

fn wrong_with_token(token: &str, message: &MessageDescriptor) -> Vec<String> {
    if token.is_empty() {
        return vec!["it has an empty token".to_owned()];
    }
    let mut wrong = Vec::new();
    if token.starts_with(['_', '$']) {
        wrong.push(format!(
            "token `{token}` begins with `_` or `$`, which is reserved"
        ));
    }
    let is_whole = token.starts_with('{') && token.find('}') == Some(token.len() - 1);
    if token.contains('{') && token.contains('}') && !is_whole {
        wrong.push(format!(
            "a placeholder is a whole token, as a wildcard is; split `{token}`"
        ));
    }
    let mut rest = token;
    while let Some((literal, after)) = rest.split_once('{') {
        wrong.extend(wrong_with_literal(literal));
        let Some((field, after)) = after.split_once('}') else {
            wrong.push(format!("`{{{after}` is not closed"));
            return wrong;
        };
        wrong.extend(wrong_with_field(field, message));
        rest = after;
    }
    wrong.extend(wrong_with_literal(rest));
    wrong
}

fn wrong_with_literal(literal: &str) -> Option<String> {
    let wrong = literal
        .chars()
        .find(|found| !found.is_ascii_graphic() || "*>}".contains(*found))?;
    Some(match wrong {
        '*' | '>' => format!("`{wrong}` is a wildcard, and nothing can be published to one"),
        '}' => "`}` without `{`".to_owned(),
        _ => format!("{wrong:?} cannot stand in a subject; write printable ASCII without spaces"),
    })
}

fn wrong_with_field(name: &str, message: &MessageDescriptor) -> Option<String> {
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
