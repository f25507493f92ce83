//! Names of messages, enums and what is inside of them, against each other and against services.

use std::collections::HashMap;

use prost_reflect::{EnumDescriptor, FileDescriptor, MessageDescriptor};

use super::services::rename;
use crate::descriptors::{Lines, SourceFile};
use crate::error::{Location, Problem};
use crate::model::Package;
use crate::naming;
use crate::settings::Settings;

pub(super) fn check(
    packages: &[Package],
    files: &[&SourceFile],
    settings: &Settings,
    problems: &mut Vec<Problem>,
) {
    let mut by_package: HashMap<&str, Vec<&FileDescriptor>> = HashMap::new();
    for file in files {
        by_package
            .entry(file.descriptor.package_name())
            .or_default()
            .push(&file.descriptor);
    }
    for package in packages {
        let files = by_package.remove(package.name.as_str()).unwrap_or_default();
        let mut names = Names::default();
        for file in files {
            let lines = Lines::of(file);
            let mut check = Check {
                lines: &lines,
                settings,
                problems,
            };
            check.types(file.messages(), file.enums(), &mut names);
        }
        if settings.nested_packages {
            add_packages(package, packages, &mut names, problems);
        }
        add_services(package, settings, &mut names, problems);
        add_filters(package, settings, &mut names, problems);
    }
}

/// The names of one Rust module or type, each with what took it. Few clash, so that what a message
/// needs to say about an element is made only then.
#[derive(Default)]
struct Names(HashMap<String, Taken>);

#[derive(Clone)]
struct Taken {
    what: &'static str,
    name: String,
    at: Option<Location>,
}

impl Names {
    /// Takes `rust` for `taken`; complains, with `advice`, if something else has it.
    /// Tells whether it was free.
    fn take(
        &mut self,
        rust: String,
        taken: Taken,
        advice: &str,
        problems: &mut Vec<Problem>,
    ) -> bool {
        if !taken.name.split('.').all(naming::is_protobuf) {
            let message = format!("{} `{}` becomes no name in Rust", taken.what, taken.name);
            let at = taken.at.as_ref();
            problems.push(at.map_or(Problem::anywhere(&message), |at| Problem::at(at, &message)));
            return false;
        }
        let Some(first) = self.0.get(&rust) else {
            self.0.insert(rust, taken);
            return true;
        };
        let at = first
            .at
            .as_ref()
            .map(|at| format!(" ({at})"))
            .unwrap_or_default();
        let message = format!(
            "{} `{}`{at} and {} `{}` both become `{rust}` in Rust; {advice}",
            first.what, first.name, taken.what, taken.name
        );
        problems.push(match &taken.at {
            Some(at) => Problem::at(at, message),
            None => Problem::anywhere(message),
        });
        false
    }
}

fn add_services(
    package: &Package,
    settings: &Settings,
    names: &mut Names,
    problems: &mut Vec<Problem>,
) {
    for service in &package.services {
        let advice = rename(&service.full_name);
        let mut take = |what: &'static str, rust: String| {
            let at = Some(service.at.clone());
            let taken = Taken {
                what,
                name: service.name.clone(),
                at,
            };
            names.take(rust, taken, &advice, problems)
        };
        // Two services of one name are told once.
        if settings.server && !take("service", naming::trait_(&service.rust_name)) {
            continue;
        }
        if settings.server {
            take("the server of service", naming::server(&service.rust_name));
        }
        if settings.client {
            take("the client of service", naming::client(&service.rust_name));
        }
    }
}

fn add_filters(
    package: &Package,
    settings: &Settings,
    names: &mut Names,
    problems: &mut Vec<Problem>,
) {
    for event in package.events.iter().filter(|_| settings.events) {
        let taken = Taken {
            what: "the filter of event",
            name: event.name.clone(),
            at: Some(event.at.clone()),
        };
        names.take(event.filter.clone(), taken, IN_THE_PROTO, problems);
        let mut setters = Names::default();
        for field in &event.fields {
            let taken = Taken {
                what: "the filter's field",
                name: field.name.clone(),
                at: Some(event.at.clone()),
            };
            setters.take(field.setter.clone(), taken, IN_THE_PROTO, problems);
        }
    }
}

/// With an include file, packages inside of a package stand beside the modules of its messages.
fn add_packages(
    package: &Package,
    packages: &[Package],
    names: &mut Names,
    problems: &mut Vec<Problem>,
) {
    let prefix = match package.name.as_str() {
        "" => String::new(),
        name => format!("{name}."),
    };
    let inside = packages
        .iter()
        .filter_map(|other| other.name.strip_prefix(&prefix));
    let mut parts: Vec<&str> = inside.filter_map(|rest| rest.split('.').next()).collect();
    parts.retain(|part| !part.is_empty());
    parts.sort_unstable();
    parts.dedup();
    for part in parts {
        let taken = Taken {
            what: "package",
            name: format!("{prefix}{part}"),
            at: None,
        };
        let rust = format!("mod {}", naming::module(part));
        names.take(
            rust,
            taken,
            "rename one, or leave out `Config::include_file`",
            problems,
        );
    }
}

const IN_THE_PROTO: &str = "rename one in the .proto";

/// The walk through one file.
struct Check<'a> {
    lines: &'a Lines<'a>,
    settings: &'a Settings,
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn types(
        &mut self,
        messages: impl Iterator<Item = MessageDescriptor>,
        enums: impl Iterator<Item = EnumDescriptor>,
        names: &mut Names,
    ) {
        for message in messages.filter(|message| !message.is_map_entry()) {
            if self.settings.is_elsewhere(message.full_name()) {
                continue;
            }
            self.take(
                names,
                naming::type_name(message.name()),
                "message",
                &message,
            );
            if has_module(&message) {
                let module = format!("mod {}", naming::module(message.name()));
                self.take(names, module, "message", &message);
            }
            self.message(&message);
        }
        for enumeration in enums {
            if self.settings.is_elsewhere(enumeration.full_name()) {
                continue;
            }
            let at = || self.lines.at(enumeration.path());
            let taken = taken("enum", enumeration.name(), at());
            let rust = naming::type_name(enumeration.name());
            names.take(rust, taken, IN_THE_PROTO, self.problems);
            self.variants(&enumeration);
        }
    }

    fn message(&mut self, message: &MessageDescriptor) {
        let mut fields = Names::default();
        for field in message.fields() {
            let in_oneof = field
                .containing_oneof()
                .is_some_and(|oneof| !oneof.is_synthetic());
            if !in_oneof {
                let taken = taken("field", field.name(), self.lines.at(field.path()));
                let rust = naming::module(field.name());
                fields.take(rust, taken, IN_THE_PROTO, self.problems);
            }
        }
        let mut nested = Names::default();
        self.types(message.child_messages(), message.child_enums(), &mut nested);
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let at = self.lines.at(oneof.path());
            let rust = naming::module(oneof.name());
            let as_field = taken("oneof", oneof.name(), at.clone());
            fields.take(rust, as_field, IN_THE_PROTO, self.problems);
            // prost renames the enum of a oneof that has the name of a nested type.
            let mut rust = naming::type_name(oneof.name());
            if nested.0.contains_key(&rust) {
                rust.push_str("OneOf");
            }
            nested.take(
                rust,
                taken("oneof", oneof.name(), at),
                IN_THE_PROTO,
                self.problems,
            );
            let mut variants = Names::default();
            for field in oneof.fields() {
                let taken = taken("field", field.name(), self.lines.at(field.path()));
                let rust = naming::type_name(field.name());
                variants.take(rust, taken, IN_THE_PROTO, self.problems);
            }
        }
    }

    /// Aliases of one number become one variant.
    fn variants(&mut self, enumeration: &EnumDescriptor) {
        let mut numbers = std::collections::HashSet::new();
        let mut variants = Names::default();
        for value in enumeration
            .values()
            .filter(|value| numbers.insert(value.number()))
        {
            let rust = naming::variant(enumeration.name(), value.name());
            let taken = taken("enum value", value.name(), self.lines.at(value.path()));
            variants.take(rust, taken, IN_THE_PROTO, self.problems);
        }
    }

    fn take(
        &mut self,
        names: &mut Names,
        rust: String,
        what: &'static str,
        message: &MessageDescriptor,
    ) {
        let taken = taken(what, message.name(), self.lines.at(message.path()));
        names.take(rust, taken, IN_THE_PROTO, self.problems);
    }
}

fn taken(what: &'static str, name: &str, at: Location) -> Taken {
    Taken {
        what,
        name: name.to_owned(),
        at: Some(at),
    }
}

/// Whether prost writes a module for what is inside of `message`.
fn has_module(message: &MessageDescriptor) -> bool {
    message.child_messages().any(|child| !child.is_map_entry())
        || message.child_enums().len() > 0
        || message.oneofs().any(|oneof| !oneof.is_synthetic())
}
