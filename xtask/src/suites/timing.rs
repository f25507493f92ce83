//! Reads from the output of `cargo test` how long each test binary took and how many tests passed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

/// Parts that take less are summed up in the table.
const MIN_LISTED: Duration = Duration::from_secs(1);

/// Display names of test binaries, by their file names.
pub(crate) type Binaries = BTreeMap<String, String>;

/// The durations of the builds and test binaries of a suite.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    build: Duration,
    parts: Vec<Part>,
    /// Since when the last part runs, where it has not ended.
    running_since: Option<Duration>,
}

/// A test binary, or the documentation tests of a package.
#[derive(Debug, Default)]
struct Part {
    name: String,
    took: Duration,
    passed: u64,
    failed: u64,
}

impl Timing {
    pub(crate) fn add_build(&mut self, took: Duration) {
        self.build += took;
    }

    /// Takes a line of the output that was read at `now`, counted from the start of the command.
    pub(crate) fn line(&mut self, line: &str, now: Duration, binaries: &Binaries) {
        if let Some(name) = part_name(line, binaries) {
            self.end(now);
            self.running_since = Some(now);
            self.parts.push(Part {
                name,
                ..Part::default()
            });
        } else if let (Some(result), Some(part)) =
            (line.strip_prefix("test result: "), self.parts.last_mut())
        {
            part.passed += number_before(result, " passed");
            part.failed += number_before(result, " failed");
        }
    }

    /// Ends the last part.
    pub(crate) fn end(&mut self, now: Duration) {
        if let (Some(since), Some(part)) = (self.running_since.take(), self.parts.last_mut()) {
            part.took = now.saturating_sub(since);
        }
    }

    /// Returns how many tests have passed.
    pub(crate) fn passed(&self) -> u64 {
        self.parts.iter().map(|part| part.passed).sum()
    }

    /// Returns one line for the build and for each part, the slowest first; short ones share a line.
    pub(crate) fn table(&self) -> String {
        let mut parts: Vec<&Part> = self.parts.iter().collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.took));
        let (listed, short): (Vec<_>, Vec<_>) = parts
            .into_iter()
            .partition(|part| part.took >= MIN_LISTED || part.failed > 0);
        let mut table = String::new();
        if self.build >= MIN_LISTED {
            let _ = writeln!(table, "    {} s  build", seconds(self.build));
        }
        for part in listed {
            let failed = match part.failed {
                0 => String::new(),
                failed => format!(", {failed} failed"),
            };
            let _ = writeln!(
                table,
                "    {} s  {}: {} passed{failed}",
                seconds(part.took),
                part.name,
                part.passed
            );
        }
        if !short.is_empty() {
            let took = short.iter().map(|part| part.took).sum();
            let passed: u64 = short.iter().map(|part| part.passed).sum();
            let _ = writeln!(
                table,
                "    {} s  {} others: {passed} passed",
                seconds(took),
                short.len()
            );
        }
        table
    }
}

/// Returns whole seconds, right-aligned.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:5.0}", duration.as_secs_f64())
}

/// Reads one line of `cargo test --no-run --message-format=json`: the file name of a test binary, and
/// a name that states its package as well.
pub(crate) fn binary(line: &str) -> Option<(String, String)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let executable = message["executable"].as_str()?;
    let file = executable.rsplit(['/', '\\']).next()?;
    let target = message["target"]["name"].as_str()?;
    let kind = message["target"]["kind"][0].as_str()?;
    let package = message["package_id"].as_str().map(package_name)?;
    let name = match kind {
        "test" | "bin" => format!("{package} ({kind} {target})"),
        _ => package,
    };
    Some((file.to_owned(), name))
}

/// Reads the name from an identifier as in `path+file:///work/micro/examples/hello#0.1.0`, or with
/// `#micro-tests@0.1.0` where the folder has another name.
fn package_name(id: &str) -> String {
    let (url, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => url.rsplit('/').next().unwrap_or(url).to_owned(),
    }
}

/// Reads the lines with which cargo announces the next part of its output.
fn part_name(line: &str, binaries: &Binaries) -> Option<String> {
    if let Some(package) = line.strip_prefix("   Doc-tests ") {
        return Some(format!("{package} (documentation)"));
    }
    let (source, path) = line.strip_prefix("     Running ")?.split_once(" (")?;
    let path = path.strip_suffix(')')?;
    let file = path.rsplit(['/', '\\']).next()?;
    Some(
        binaries
            .get(file)
            .cloned()
            .unwrap_or_else(|| source.to_owned()),
    )
}

fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split_once(word).map_or("", |(before, _)| before);
    let number = before.rsplit(' ').next().unwrap_or_default();
    number.parse().unwrap_or_default()
}

#[cfg(test)]
#[path = "timing_tests.rs"]
mod tests;
