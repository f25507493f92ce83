//! The run: each benchmark with all contenders in turns, and a row for each metric.

use std::fs;
use std::time::{Duration, Instant};

use crate::arguments::Options;
use crate::client::Figures;
use crate::contender::{Build, Contender, Stack};
use crate::failure::{Failure, Result};
use crate::processes::Processes;
use crate::quartiles::Quartiles;
use crate::report::{Report, Row};
use crate::scenario::{Peer, Scenario};
use crate::{machine, report, suite};

const PAIRS: u32 = 11;
const LENGTH: Duration = Duration::from_millis(1500);
const QUICK_PAIRS: u32 = 3;
const QUICK_LENGTH: Duration = Duration::from_millis(400);
/// Length of the load that finds out whether the other build has a benchmark.
const TRIAL_LENGTH: Duration = Duration::from_millis(100);

const OURS: Contender = Contender::this(Stack::Micro);

/// The figures of one turn of each contender; peers are in the order of the scenario.
struct Round {
    ours: Figures,
    theirs: Vec<Figures>,
}

/// Measures the benchmarks that the options choose and prints their rows.
pub(crate) async fn run(options: &Options) -> Result<()> {
    if let Some(file) = &options.markdown {
        let lines = fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        print!("{}", report::markdown(&lines)?);
        return Ok(());
    }
    let pairs = options.pairs.unwrap_or(match options.quick {
        true => QUICK_PAIRS,
        false => PAIRS,
    });
    let length = match options.quick {
        true => QUICK_LENGTH,
        false => LENGTH,
    };
    let scenarios = selected(options)?;
    let begun = Instant::now();
    eprintln!("{}; {pairs} pairs each", machine::described());
    let mut processes = Processes::start(options.against.clone()).await?;
    let report = Report::new(options.json);
    for (number, scenario) in (1..).zip(&scenarios) {
        let position = format!("{number}/{} {}", scenarios.len(), scenario.bench);
        if let Some(error) = missing_in_other_build(&mut processes, scenario) {
            eprintln!("{position}: not compared, the other build does not run it: {error}");
            continue;
        }
        let mut rounds = Vec::new();
        let pairs = pairs.min(scenario.max_pairs);
        for pair in 0..pairs {
            eprintln!(
                "{:4.0} s  {position}, pair {} of {pairs}",
                begun.elapsed().as_secs_f32(),
                pair + 1
            );
            rounds.push(round(&mut processes, scenario, pair, length)?);
        }
        for row in rows(scenario, &rounds) {
            report.print(&row);
        }
    }
    eprintln!(
        "{:4.0} s  done; load {}",
        begun.elapsed().as_secs_f32(),
        machine::load()
    );
    Ok(())
}

fn selected(options: &Options) -> Result<Vec<Scenario>> {
    let prefix = options.only.as_deref().unwrap_or_default();
    let (selected, others): (Vec<_>, Vec<_>) = suite::all(options)
        .into_iter()
        .partition(|scenario| scenario.bench.starts_with(prefix));
    if selected.is_empty() {
        let names: Vec<String> = others.into_iter().map(|scenario| scenario.bench).collect();
        return Err(format!(
            "no benchmark begins with `{prefix}`; there are {}",
            names.join(", ")
        )
        .into());
    }
    Ok(selected)
}

/// Returns why a build of another revision cannot be measured: a benchmark may be newer than it.
fn missing_in_other_build(processes: &mut Processes, scenario: &Scenario) -> Option<Failure> {
    let mut peers = scenario.peers.iter().map(|peer| peer.contender);
    let other = peers.find(|contender| contender.build == Build::Other)?;
    processes.measure(scenario, other, TRIAL_LENGTH).err()
}

/// Measures each contender once. The first one changes from round to round, so that none always runs
/// with the caches of the same predecessor.
fn round(
    processes: &mut Processes,
    scenario: &Scenario,
    pair: u32,
    length: Duration,
) -> Result<Round> {
    let contenders: Vec<Contender> = [OURS]
        .into_iter()
        .chain(scenario.peers.iter().map(|peer| peer.contender))
        .collect();
    let mut figures: Vec<Figures> = vec![Figures::new(); contenders.len()];
    for turn in 0..contenders.len() {
        let index = (turn + pair as usize) % contenders.len();
        figures[index] = processes.measure(scenario, contenders[index], length)?;
    }
    let theirs = figures.split_off(1);
    let ours = figures.pop().unwrap_or_default();
    Ok(Round { ours, theirs })
}

fn rows(scenario: &Scenario, rounds: &[Round]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, peer) in scenario.peers.iter().enumerate() {
        for metric in scenario.metrics {
            let pairs: Vec<(f64, f64)> = rounds
                .iter()
                .filter_map(|round| {
                    let ours = round.ours.get(metric.name)?;
                    Some((*ours, *round.theirs.get(index)?.get(metric.name)?))
                })
                .collect();
            let quartiles = |figure: &dyn Fn(f64, f64) -> f64| {
                Quartiles::of(
                    pairs
                        .iter()
                        .map(|(ours, theirs)| figure(*ours, *theirs))
                        .collect(),
                )
            };
            let Peer { name: peer, .. } = *peer;
            let found = (
                quartiles(&|ours, _| ours),
                quartiles(&|_, theirs| theirs),
                quartiles(&|ours, theirs| metric.ratio(ours, theirs)),
            );
            if let (Some(ours), Some(theirs), Some(ratio)) = found {
                rows.push(Row {
                    bench: scenario.bench.clone(),
                    metric: metric.name.to_owned(),
                    unit: metric.unit,
                    ours,
                    peer: peer.to_owned(),
                    theirs,
                    ratio,
                    pairs: pairs.len(),
                });
            }
        }
    }
    rows
}
