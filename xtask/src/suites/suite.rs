//! A suite: the cargo commands that it consists of, and the tools that they need.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cargo::{cargo, read_all_output, read_output, run};
use crate::failure::Result;
use crate::suites::timing::{Binaries, Timing};
use crate::suites::tool::{Tool, Variables};

/// Something that is tested as a whole and can be asked for by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// Purpose, in one line.
    pub(crate) about: &'static str,
    /// Expected duration on two cores with nothing built, in minutes.
    pub(crate) minutes: u32,
    pub(crate) tools: &'static [Tool],
    pub(crate) steps: &'static [Step],
}

/// One cargo command of a suite, by its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// `cargo test`. It fails if no test ran: a renamed test must not pass by being missing.
    Tests(&'static [&'static str]),
    /// The same for tests that are ignored elsewhere.
    IgnoredTests(IgnoredTests),
    /// `cargo test` on the nats-server of a release, which is fetched first.
    TestsOnNatsServer(&'static str, &'static [&'static str]),
    /// `cargo clippy` with warnings denied.
    Clippy(&'static [&'static str]),
    /// `cargo check` of fuzz targets, in a target folder of their own, since their flags differ.
    CheckFuzzTargets(&'static [&'static str]),
}

/// Ignored tests of one binary, by their full names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IgnoredTests {
    pub(crate) package: &'static str,
    pub(crate) binary: &'static str,
    pub(crate) tests: &'static [&'static str],
    pub(crate) is_optimized: bool,
    /// One after the other; then their output is shown as it comes.
    pub(crate) in_turn: bool,
}

impl IgnoredTests {
    /// Returns the arguments of `cargo test`.
    fn args(self) -> Vec<&'static str> {
        let mut args = vec!["--package", self.package, "--test", self.binary];
        args.extend(self.is_optimized.then_some("--release"));
        args.extend(["--", "--ignored"]);
        if self.in_turn {
            args.extend(["--nocapture", "--test-threads=1"]);
        }
        args.push("--exact");
        args.extend(self.tests);
        args
    }
}

/// The duration of a suite and its parts.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) total: Duration,
    pub(crate) timing: Timing,
    pub(crate) result: Result<()>,
}

impl Suite {
    /// Prepares the tools and runs the steps until one fails.
    pub(crate) fn run(&self) -> Report {
        report(self.name, self.tools, |variables, timing| {
            for step in self.steps {
                step.run(variables, timing)?;
            }
            Ok(())
        })
    }
}

impl Step {
    fn run(self, variables: &Variables, timing: &mut Timing) -> Result<()> {
        match self {
            Self::Tests(args) => some_tests(args, variables, timing),
            Self::IgnoredTests(tests) => some_tests(&tests.args(), variables, timing),
            Self::TestsOnNatsServer(release, args) => {
                let server = micro_testkit::fetch_nats_server_release(release)?;
                eprintln!("\non nats-server {release}:");
                let mut variables = variables.clone();
                variables.retain(|(name, _)| *name != "NATS_SERVER");
                variables.push(("NATS_SERVER", server));
                some_tests(args, &variables, timing)
                    .map_err(|error| format!("on nats-server {release}: {error}").into())
            }
            Self::Clippy(args) => {
                let flags = ["clippy", "--locked"];
                run(cargo(&[&flags, args, &["--", "-D", "warnings"]].concat()))
            }
            Self::CheckFuzzTargets(args) => {
                let flags = ["check", "--locked", "--target-dir", "target/fuzz"];
                let mut command = cargo(&[&flags, args].concat());
                command
                    .env("RUSTFLAGS", "--cfg fuzzing")
                    // libFuzzer would be compiled, for which a C++ compiler is needed, and is not linked.
                    .env("CUSTOM_LIBFUZZER_PATH", "/not/linked/libfuzzer.a");
                run(command)
            }
        }
    }
}

fn some_tests(args: &[&str], variables: &Variables, timing: &mut Timing) -> Result<()> {
    match test(args, variables, timing)? {
        0 => Err(format!("no test ran: `cargo test {}`", args.join(" ")).into()),
        _ => Ok(()),
    }
}

/// Runs a suite whose steps are known as `work` only, and measures it.
pub(crate) fn report(
    name: &'static str,
    tools: &[Tool],
    work: impl FnOnce(&Variables, &mut Timing) -> Result<()>,
) -> Report {
    let begun = Instant::now();
    let mut timing = Timing::default();
    let result = prepare(tools).and_then(|variables| work(&variables, &mut timing));
    Report {
        name,
        total: begun.elapsed(),
        timing,
        result: result.map_err(|error| format!("suite `{name}`: {error}").into()),
    }
}

fn prepare(tools: &[Tool]) -> Result<Variables> {
    let mut variables = Variables::new();
    for tool in tools {
        variables.extend((tool.prepare)()?);
    }
    Ok(variables)
}

/// Builds and runs tests, adds the duration of each test binary, and returns how many tests passed.
///
/// The build is a command of its own, so that it shows its progress and its duration, and names the
/// package of each binary.
pub(crate) fn test<A: AsRef<str>>(
    args: &[A],
    variables: &Variables,
    timing: &mut Timing,
) -> Result<u64> {
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    let before = timing.passed();
    let binaries = build(&args, variables, timing)?;
    let command = with(
        variables,
        cargo(&[&["test", "--locked"], &args[..]].concat()),
    );
    let begun = Instant::now();
    let mut stdout = std::io::stdout().lock();
    let result = read_all_output(command, |line| {
        // A closed standard output must not end the tests.
        let _ = writeln!(stdout, "{line}");
        timing.line(line, begun.elapsed(), &binaries);
    });
    timing.end(begun.elapsed());
    result.map(|()| timing.passed() - before)
}

fn build(args: &[&str], variables: &Variables, timing: &mut Timing) -> Result<Binaries> {
    let for_cargo = args.iter().take_while(|arg| **arg != "--");
    let mut flags = vec![
        "test",
        "--locked",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ];
    flags.extend(for_cargo);
    if flags.contains(&"--doc") {
        // Documentation tests are built when they run.
        return Ok(BTreeMap::new());
    }
    let mut binaries = Binaries::new();
    let begun = Instant::now();
    let result = read_output(with(variables, cargo(&flags)), |line| {
        binaries.extend(crate::suites::timing::binary(line));
    });
    timing.add_build(begun.elapsed());
    result.map(|()| binaries)
}

fn with(variables: &Variables, mut command: Command) -> Command {
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

#[cfg(test)]
#[path = "suite_tests.rs"]
mod tests;
