//! Turns descriptors into the model: services and events with names, options, comments, positions.

mod events;

use std::collections::BTreeMap;

use prost_reflect::{MethodDescriptor, ServiceDescriptor};
use prost_types::method_options::IdempotencyLevel;
use prost_types::{MethodOptions, ServiceOptions};

use crate::descriptors::{SourceFile, SourceLocations};
use crate::error::Problem;
use crate::model::{Idempotency, Kind, Method, Package, Service};
use crate::naming;
use crate::options::OptionExtensions;
use crate::settings::Settings;

/// Returns the packages of `files`, ordered by name, and the problems with their options.
pub(crate) fn lower(
    files: &[&SourceFile],
    options: &OptionExtensions,
    settings: &Settings,
) -> (Vec<Package>, Vec<Problem>) {
    let mut packages = BTreeMap::new();
    let mut problems = Vec::new();
    for file in files {
        let name = file.descriptor.package_name().to_owned();
        let package = packages.entry(name).or_insert_with_key(|name| Package {
            name: name.clone(),
            services: Vec::new(),
            events: Vec::new(),
            is_requested: false,
        });
        package.is_requested |= file.requested;
        if file.descriptor.services().len() == 0 && !options.has_event_option() {
            continue;
        }
        let locations = SourceLocations::of(&file.descriptor);
        let lowering = Lowering {
            locations: &locations,
            options,
            settings,
        };
        package.events.extend(lowering.events(&file.descriptor));
        let is_generated = |service: &ServiceDescriptor| !settings.is_extern(service.full_name());
        for service in file.descriptor.services().filter(is_generated) {
            package
                .services
                .push(lowering.service(&service, &mut problems));
        }
    }
    (packages.into_values().collect(), problems)
}

/// Context for lowering the elements of one file.
struct Lowering<'a> {
    locations: &'a SourceLocations<'a>,
    options: &'a OptionExtensions,
    settings: &'a Settings,
}

impl Lowering<'_> {
    fn service(&self, service: &ServiceDescriptor, problems: &mut Vec<Problem>) -> Service {
        let proto = service.service_descriptor_proto();
        let renamed = self.settings.renamed(service.full_name());
        Service {
            name: service.name().to_owned(),
            rust_name: renamed.unwrap_or_else(|| naming::service(service.name())),
            full_name: service.full_name().to_owned(),
            package: service.package_name().to_owned(),
            comment: self.locations.comment(service.path()),
            at: self.locations.at(service.path()),
            deprecated: proto
                .options
                .as_ref()
                .is_some_and(ServiceOptions::deprecated),
            options: self.options.service(service, self.locations, problems),
            methods: service
                .methods()
                .map(|method| self.method(&method, problems))
                .collect(),
        }
    }

    fn method(&self, method: &MethodDescriptor, problems: &mut Vec<Problem>) -> Method {
        let standard = method.method_descriptor_proto().options.as_ref();
        let renamed = self.settings.renamed(method.full_name());
        Method {
            name: method.name().to_owned(),
            rust_name: renamed.unwrap_or_else(|| naming::method(method.name())),
            full_name: method.full_name().to_owned(),
            kind: Kind::of(method.is_client_streaming(), method.is_server_streaming()),
            request: method.input().full_name().to_owned(),
            reply: method.output().full_name().to_owned(),
            comment: self.locations.comment(method.path()),
            at: self.locations.at(method.path()),
            deprecated: standard.is_some_and(MethodOptions::deprecated),
            idempotency: match standard.map(MethodOptions::idempotency_level) {
                Some(IdempotencyLevel::NoSideEffects) => Idempotency::NoSideEffects,
                Some(IdempotencyLevel::Idempotent) => Idempotency::Idempotent,
                Some(IdempotencyLevel::IdempotencyUnknown) | None => Idempotency::Unknown,
            },
            options: self.options.method(method, self.locations, problems),
        }
    }
}
