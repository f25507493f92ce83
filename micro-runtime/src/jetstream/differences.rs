//! `Comparison`: a declaration beside what exists, and what follows from their differences. Does no I/O.

use crate::error::{Error, ErrorKind};
use crate::jetstream::on_difference::{DifferenceRules, OnDifference};
use crate::jetstream::raw_config::RawConfig;

/// One setting that is compared.
pub(super) struct Setting {
    /// Name for operators.
    pub(super) name: &'static str,
    /// Shows the setting of a configuration; two that are shown alike are the same.
    pub(super) shown: fn(&RawConfig) -> String,
    /// Returns why an update does not change the setting in place, given both as shown; `None` if it does.
    pub(super) obstacle: fn(&str, &str) -> Option<&'static str>,
}

/// A declared stream or consumer beside the one that exists.
pub(super) struct Comparison<'a> {
    /// Names it in messages, as "stream `MARKET`".
    pub(super) subject: String,
    /// Command of an operator that changes it.
    pub(super) command: String,
    pub(super) settings: &'static [Setting],
    pub(super) declared: &'a RawConfig,
    pub(super) found: &'a RawConfig,
    pub(super) rules: DifferenceRules,
}

/// A setting of which both sides differ.
struct Difference {
    line: String,
    obstacle: Option<&'static str>,
}

impl Setting {
    /// Returns a setting that an update changes in place.
    pub(super) const fn new(name: &'static str, shown: fn(&RawConfig) -> String) -> Self {
        Self {
            name,
            shown,
            obstacle: |_, _| None,
        }
    }

    /// Returns a setting that no update changes.
    pub(super) const fn fixed(name: &'static str, shown: fn(&RawConfig) -> String) -> Self {
        Self {
            name,
            shown,
            obstacle: |_, _| Some("JetStream does not change it in place"),
        }
    }
}

impl Comparison<'_> {
    /// Returns the configuration to send as an update; `None` if what exists stays as it is. `deletions` returns a line
    /// for each change that would delete events.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] with all differences, where [`OnDifference::Fail`] holds, or an update is not possible
    /// or would delete events.
    pub(super) fn resolve(
        &self,
        deletions: impl FnOnce() -> Vec<String>,
    ) -> Result<Option<RawConfig>, Error> {
        let differences = self.differences();
        if differences.is_empty() {
            return Ok(None);
        }
        let lines = || differences.iter().map(|difference| difference.line.clone());
        match self.rules.on_difference {
            OnDifference::Fail => {
                let message = format!("{} is not as declared:", self.subject);
                let advice = format!(
                    "change the declaration or its `on_difference`, or what is there ({})",
                    self.command
                );
                Err(failure(message, lines(), advice))
            }
            OnDifference::Keep => {
                self.log_kept(lines());
                Ok(None)
            }
            OnDifference::Update if self.rules.is_outdated(self.found.version()) => {
                self.log_kept(lines());
                Ok(None)
            }
            OnDifference::Update => self.update(&differences, deletions()).map(Some),
        }
    }

    fn update(
        &self,
        differences: &[Difference],
        deletions: Vec<String>,
    ) -> Result<RawConfig, Error> {
        let obstacles = differences.iter().filter_map(|difference| {
            let line = &difference.line;
            Some(format!("{line} ({})", difference.obstacle?))
        });
        let obstacles: Vec<_> = obstacles.collect();
        if !obstacles.is_empty() {
            let message = format!("{} cannot be updated as declared:", self.subject);
            let advice = format!(
                "declare it under a new name, or change the declaration or what is there ({})",
                self.command
            );
            return Err(failure(message, obstacles, advice));
        }
        if !deletions.is_empty() && !self.rules.may_delete {
            let message = format!(
                "{} is not updated, since that would delete events:",
                self.subject
            );
            let advice = "permit it with `EventStream::allow_deleting`, or change the declaration";
            return Err(failure(message, deletions, advice.to_owned()));
        }
        Ok(self.found.overlaid(self.declared, self.rules))
    }

    fn differences(&self) -> Vec<Difference> {
        let differences = self.settings.iter().filter_map(|setting| {
            let (expected, found) = ((setting.shown)(self.declared), (setting.shown)(self.found));
            let line = format!("  {}: expected {expected}, found {found}", setting.name);
            (expected != found).then(|| Difference {
                line,
                obstacle: (setting.obstacle)(&expected, &found),
            })
        });
        differences.collect()
    }

    fn log_kept(&self, lines: impl Iterator<Item = String>) {
        let differences = lines.map(|line| line.trim_start().to_owned());
        let differences = Vec::from_iter(differences).join("; ");
        tracing::warn!(
            kept = self.subject,
            differences,
            "a stream or a consumer is used as it is, which differs from its declaration"
        );
    }
}

fn failure(message: String, lines: impl IntoIterator<Item = String>, advice: String) -> Error {
    Error::new(ErrorKind::JetStream, message)
        .with_lines(lines)
        .with_lines([advice])
}
