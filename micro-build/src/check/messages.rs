//! Checks the names of messages, enums, their contents, services and events for collisions.

use std::collections::HashMap;

use prost_reflect::{EnumDescriptor, FileDescriptor, MessageDescriptor};

use super::services::rename;
use crate::descriptors::{SourceFile, SourceLocations};
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
        let mut names = Namespace::default();
        for file in files {
            let locations = SourceLocations::of(file);
            let mut check = FileCheck {
                locations: &locations,
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

/// Names of one Rust module or type, each with the element that declares it.
#[derive(Default)]
struct Namespace(HashMap<String, Declaration>);

/// Element that declares a Rust name.
///
/// Collisions are rare, so it holds the parts of an error message, not the message.
#[derive(Clone)]
struct Declaration {
    what: &'static str,
    name: String,
    at: Option<Location>,
}

impl Namespace {
    /// Declares the name `rust`; adds a problem, with `advice`, if it is already declared.
    ///
    /// Returns whether the name was free.
    fn declare(
        &mut self,
        rust: String,
        element: Declaration,
        advice: &str,
        problems: &mut Vec<Problem>,
    ) -> bool {
        if !element.name.split('.').all(naming::is_protobuf) {
            let message = format!(
                "{} `{}` becomes no name in Rust",
                element.what, element.name
            );
            let at = element.at.as_ref();
            problems.push(at.map_or(Problem::anywhere(&message), |at| Problem::at(at, &message)));
            return false;
        }
        let Some(first) = self.0.get(&rust) else {
            self.0.insert(rust, element);
            return true;
        };
        let at = first
            .at
            .as_ref()
            .map(|at| format!(" ({at})"))
            .unwrap_or_default();
        let message = format!(
            "{} `{}`{at} and {} `{}` both become `{rust}` in Rust; {advice}",
            first.what, first.name, element.what, element.name
        );
        problems.push(match &element.at {
            Some(at) => Problem::at(at, message),
            None => Problem::anywhere(message),
        });
        false
    }
}

/// Adds the traits, servers and clients of `package`.
fn add_services(
    package: &Package,
    settings: &Settings,
    names: &mut Namespace,
    problems: &mut Vec<Problem>,
) {
    for service in &package.services {
        let advice = rename(&service.full_name);
        let mut declare = |what: &'static str, rust: String| {
            let at = Some(service.at.clone());
            let declaration = Declaration {
                what,
                name: service.name.clone(),
                at,
            };
            names.declare(rust, declaration, &advice, problems)
        };
        // If the traits of two services collide, so do their servers and clients: report it once.
        if settings.server && !declare("service", naming::trait_(&service.rust_name)) {
            continue;
        }
        if settings.server {
            declare("the server of service", naming::server(&service.rust_name));
        }
        if settings.client {
            declare("the client of service", naming::client(&service.rust_name));
        }
    }
}

/// Adds the filters of events of `package`, and checks their setters.
fn add_filters(
    package: &Package,
    settings: &Settings,
    names: &mut Namespace,
    problems: &mut Vec<Problem>,
) {
    for event in package.events.iter().filter(|_| settings.events) {
        let declaration = Declaration {
            what: "the filter of event",
            name: event.name.clone(),
            at: Some(event.at.clone()),
        };
        names.declare(event.filter.clone(), declaration, RENAME_IN_PROTO, problems);
        let mut setters = Namespace::default();
        for field in &event.fields {
            let declaration = Declaration {
                what: "the filter's field",
                name: field.name.clone(),
                at: Some(event.at.clone()),
            };
            setters.declare(field.setter.clone(), declaration, RENAME_IN_PROTO, problems);
        }
    }
}

/// Adds the modules of packages inside of `package`.
///
/// With an include file, they are in the same module as the modules of the package's messages.
fn add_packages(
    package: &Package,
    packages: &[Package],
    names: &mut Namespace,
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
        let declaration = Declaration {
            what: "package",
            name: format!("{prefix}{part}"),
            at: None,
        };
        let rust = format!("mod {}", naming::module(part));
        names.declare(
            rust,
            declaration,
            "rename one, or leave out `Config::include_file`",
            problems,
        );
    }
}

/// Advice for names that have no option to change them.
const RENAME_IN_PROTO: &str = "rename one in the .proto";

/// Context for the checks of one file.
struct FileCheck<'a> {
    locations: &'a SourceLocations<'a>,
    settings: &'a Settings,
    problems: &'a mut Vec<Problem>,
}

impl FileCheck<'_> {
    fn types(
        &mut self,
        messages: impl Iterator<Item = MessageDescriptor>,
        enums: impl Iterator<Item = EnumDescriptor>,
        names: &mut Namespace,
    ) {
        for message in messages.filter(|message| !message.is_map_entry()) {
            if self.settings.is_extern(message.full_name()) {
                continue;
            }
            self.declare(
                names,
                naming::type_name(message.name()),
                "message",
                &message,
            );
            if has_module(&message) {
                let module = format!("mod {}", naming::module(message.name()));
                self.declare(names, module, "message", &message);
            }
            self.message(&message);
        }
        for enumeration in enums {
            if self.settings.is_extern(enumeration.full_name()) {
                continue;
            }
            let at = || self.locations.at(enumeration.path());
            let declaration = declaration("enum", enumeration.name(), at());
            let rust = naming::type_name(enumeration.name());
            names.declare(rust, declaration, RENAME_IN_PROTO, self.problems);
            self.variants(&enumeration);
        }
    }

    fn message(&mut self, message: &MessageDescriptor) {
        let mut fields = Namespace::default();
        for field in message.fields() {
            let in_oneof = field
                .containing_oneof()
                .is_some_and(|oneof| !oneof.is_synthetic());
            if !in_oneof {
                let declaration =
                    declaration("field", field.name(), self.locations.at(field.path()));
                let rust = naming::module(field.name());
                fields.declare(rust, declaration, RENAME_IN_PROTO, self.problems);
            }
        }
        let mut nested = Namespace::default();
        self.types(message.child_messages(), message.child_enums(), &mut nested);
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let at = self.locations.at(oneof.path());
            let rust = naming::module(oneof.name());
            let as_field = declaration("oneof", oneof.name(), at.clone());
            fields.declare(rust, as_field, RENAME_IN_PROTO, self.problems);
            // prost renames the enum of a oneof that has the name of a nested type.
            let mut rust = naming::type_name(oneof.name());
            if nested.0.contains_key(&rust) {
                rust.push_str("OneOf");
            }
            nested.declare(
                rust,
                declaration("oneof", oneof.name(), at),
                RENAME_IN_PROTO,
                self.problems,
            );
            let mut variants = Namespace::default();
            for field in oneof.fields() {
                let declaration =
                    declaration("field", field.name(), self.locations.at(field.path()));
                let rust = naming::type_name(field.name());
                variants.declare(rust, declaration, RENAME_IN_PROTO, self.problems);
            }
        }
    }

    /// Checks the variants of an enum. Aliases of a number are one variant.
    fn variants(&mut self, enumeration: &EnumDescriptor) {
        let mut numbers = std::collections::HashSet::new();
        let mut variants = Namespace::default();
        for value in enumeration
            .values()
            .filter(|value| numbers.insert(value.number()))
        {
            let rust = naming::variant(enumeration.name(), value.name());
            let declaration =
                declaration("enum value", value.name(), self.locations.at(value.path()));
            variants.declare(rust, declaration, RENAME_IN_PROTO, self.problems);
        }
    }

    fn declare(
        &mut self,
        names: &mut Namespace,
        rust: String,
        what: &'static str,
        message: &MessageDescriptor,
    ) {
        let declaration = declaration(what, message.name(), self.locations.at(message.path()));
        names.declare(rust, declaration, RENAME_IN_PROTO, self.problems);
    }
}

fn declaration(what: &'static str, name: &str, at: Location) -> Declaration {
    Declaration {
        what,
        name: name.to_owned(),
        at: Some(at),
    }
}

/// Returns whether prost generates a module for the contents of `message`.
fn has_module(message: &MessageDescriptor) -> bool {
    message.child_messages().any(|child| !child.is_map_entry())
        || message.child_enums().len() > 0
        || message.oneofs().any(|oneof| !oneof.is_synthetic())
}
