//! Checks names and subjects that are valid protobuf, but cannot be expressed in Rust or NATS.

mod events;
mod messages;
mod services;

use crate::descriptors::SourceFile;
use crate::error::Problem;
use crate::model::Package;
use crate::options::OptionExtensions;
use crate::settings::Settings;

/// Returns all problems with the names and subjects of this run.
pub(crate) fn check(
    packages: &[Package],
    files: &[&SourceFile],
    options: &OptionExtensions,
    settings: &Settings,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    services::check(packages, &mut problems);
    messages::check(packages, files, settings, &mut problems);
    events::check(packages, files, options, &mut problems);
    problems
}
