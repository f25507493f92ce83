//! Checks the names of packages, services and methods.

use std::collections::HashMap;

use crate::error::{Location, Problem};
use crate::model::{Package, Service};
use crate::naming;

pub(super) fn check(packages: &[Package], problems: &mut Vec<Problem>) {
    modules_are_distinct(packages, problems);
    tables_are_distinct(packages, problems);
    for service in packages.iter().flat_map(|package| &package.services) {
        names_are_not_reserved(service, problems);
        methods_are_distinct(service, problems);
    }
}

fn modules_are_distinct(packages: &[Package], problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for package in packages {
        let module: Vec<String> = package.name.split('.').map(naming::module).collect();
        if let Some(first) = seen.insert(module.clone(), &package.name) {
            problems.push(Problem::anywhere(format!(
                "packages `{first}` and `{}` both become the module `{}` in Rust; rename one",
                package.name,
                module.join("::")
            )));
        }
    }
}

/// Checks that companion tables have different names.
///
/// They are exported macros, which share one namespace per crate, regardless of their module.
fn tables_are_distinct(packages: &[Package], problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for service in packages.iter().flat_map(|package| &package.services) {
        let table = naming::table(&service.package, &service.rust_name);
        let Some(first) = seen.insert(table.clone(), service) else {
            continue;
        };
        // Within one package the traits collide too, which `check::messages` reports.
        if first.package != service.package {
            let message = format!(
                "services `{}` ({}) and `{}` both need a macro `{table}`; {}",
                first.full_name,
                first.at,
                service.full_name,
                rename(&service.full_name)
            );
            problems.push(Problem::at(&service.at, message));
        }
    }
}

/// Checks that no name begins with an underscore.
///
/// Such tokens of a subject are reserved for the runtime: `_i`, `_schema`, `_health`.
fn names_are_not_reserved(service: &Service, problems: &mut Vec<Problem>) {
    let mut reject_if_invalid = |what: &str, name: &str, at: &Location| {
        if name.starts_with('_') {
            let message =
                format!("{what} begins with `_`, which is reserved in subjects; rename it");
            problems.push(Problem::at(at, message));
        } else if !naming::is_protobuf(name) {
            problems.push(Problem::at(at, format!("{what} becomes no name in Rust")));
        }
    };
    for part in service
        .package
        .split('.')
        .filter(|_| !service.package.is_empty())
    {
        reject_if_invalid(&format!("package part `{part}`"), part, &service.at);
    }
    reject_if_invalid(
        &format!("service `{}`", service.name),
        &service.name,
        &service.at,
    );
    for method in &service.methods {
        let what = format!(
            "method `{}` of service `{}`",
            method.name, service.full_name
        );
        reject_if_invalid(&what, &method.name, &method.at);
    }
}

fn methods_are_distinct(service: &Service, problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for method in &service.methods {
        let Some(first) = seen.insert(&method.rust_name, method) else {
            continue;
        };
        let message = format!(
            "methods `{}` ({}) and `{}` of service `{}` both become `fn {}` in Rust; {}",
            first.name,
            first.at,
            method.name,
            service.full_name,
            method.rust_name,
            rename(&method.full_name)
        );
        problems.push(Problem::at(&method.at, message));
    }
}

/// Returns the advice to give a service or method another Rust name.
pub(super) fn rename(full_name: &str) -> String {
    format!("give one another name, as with `Config::rename(\".{full_name}\", \"…\")`")
}
