//! Refuses what protobuf allows but no Rust module or NATS subject can hold, everything at once.

mod events;
mod messages;
mod services;

use crate::descriptors::SourceFile;
use crate::error::Problem;
use crate::model::Package;
use crate::options::Options;
use crate::settings::Settings;

/// Everything that is wrong with the names and subjects of this run.
pub(crate) fn check(
    packages: &[Package],
    files: &[&SourceFile],
    options: &Options,
    settings: &Settings,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    services::check(packages, &mut problems);
    messages::check(packages, files, settings, &mut problems);
    events::check(packages, files, options, &mut problems);
    problems
}
