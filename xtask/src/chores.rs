//! One function per chore.

use std::path::absolute;

use crate::against::{Options, compare};
use crate::arguments::Bench;
use crate::cargo::{cargo, run};
use crate::failure::Result;

/// Everything but the benchmarks, whose peers would be built for nothing.
const WITHOUT_BENCHMARKS: [&str; 3] = ["--workspace", "--exclude", "micro-bench"];

pub(crate) fn nats() -> Result<()> {
    println!("{}", micro_testkit::fetch_nats_server()?.display());
    Ok(())
}

/// Runs every check, also after one that failed, so that one run reports all violations.
pub(crate) fn lint() -> Result<()> {
    let mut docs = cargo(&["doc", "--no-deps", "--all-features", "--locked"]);
    docs.args(WITHOUT_BENCHMARKS)
        .env("RUSTDOCFLAGS", "-Dwarnings");
    // A link to an item of a feature leads nowhere without it.
    let mut plain_docs = cargo(&["doc", "--no-deps", "--package", "micro-runtime", "--locked"]);
    plain_docs.env("RUSTDOCFLAGS", "-Dwarnings");
    let checks = [
        cargo(&["fmt", "--all", "--check"]),
        cargo(&["lint"]),
        docs,
        plain_docs,
        cargo(&[
            "clippy",
            "--package",
            "micro-runtime",
            "--no-default-features",
            "--locked",
            "--",
            "-Dwarnings",
        ]),
    ];
    let failures: Vec<String> = checks
        .into_iter()
        .filter_map(|check| run(check).err())
        .map(|e| e.to_string())
        .collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\nerror: ").into())
    }
}

/// Builds the benchmarks and their peers and runs them.
pub(crate) fn bench(bench: &Bench) -> Result<()> {
    if let Some(revision) = &bench.against {
        return compare(&Options {
            against: revision,
            only: bench.only.as_deref(),
            pairs: bench.pairs,
        });
    }
    let server = micro_testkit::fetch_nats_server()?;
    let mut command = cargo(&[
        "run",
        "--release",
        "--locked",
        "--package",
        "micro-bench",
        "--",
    ]);
    let flags = [
        ("--quick", bench.quick),
        ("--json", bench.json),
        ("--growth", bench.growth),
    ];
    command.args(
        flags
            .iter()
            .filter_map(|(flag, is_on)| is_on.then_some(flag)),
    );
    if let Some(prefix) = &bench.only {
        command.args(["--only", prefix]);
    }
    if let Some(pairs) = bench.pairs {
        command.args(["--pairs", &pairs.to_string()]);
    }
    if let Some(file) = &bench.markdown {
        // Cargo runs in the folder of the workspace, whatever the caller's is.
        command.arg("--markdown").arg(absolute(file)?);
    }
    command.env("NATS_SERVER", server);
    run(command)
}

pub(crate) fn proto_dir() -> Result<()> {
    let folder = micro_testkit::workspace_root()
        .join("micro-build")
        .join("proto");
    if !folder.is_dir() {
        return Err(format!("{} is not there", folder.display()).into());
    }
    println!("{}", folder.display());
    Ok(())
}
