//! The run: every benchmark, ours and its peers in turns, and a row for each figure.

use std::fs;
use std::time::{Duration, Instant};

use crate::Result;
use crate::arguments::Options;
use crate::figures::Spread;
use crate::fleet::Fleet;
use crate::report::{Report, Row};
use crate::scenario::{Peer, Scenario};
use crate::stack::Stack;
use crate::worker::Figures;
use crate::{machine, report, suite};

const PAIRS: u32 = 11;
const LENGTH: Duration = Duration::from_millis(1500);
const QUICK_PAIRS: u32 = 3;
const QUICK_LENGTH: Duration = Duration::from_millis(400);

/// Ours and what each peer does, in the order of the scenario's peers.
struct Round {
    ours: Figures,
    theirs: Vec<Figures>,
}

/// Measures what the options choose and prints it.
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
    let scenarios = chosen(options)?;
    let begun = Instant::now();
    eprintln!("{}; {pairs} pairs each", machine::described());
    let mut fleet = Fleet::start().await?;
    let report = Report::new(options.json);
    for (number, scenario) in (1..).zip(&scenarios) {
        let place = format!("{number}/{} {}", scenarios.len(), scenario.bench);
        let mut rounds = Vec::new();
        let pairs = pairs.min(scenario.most_pairs);
        for pair in 0..pairs {
            eprintln!(
                "{:4.0} s  {place}, pair {} of {pairs}",
                begun.elapsed().as_secs_f32(),
                pair + 1
            );
            rounds.push(round(&mut fleet, scenario, pair, length)?);
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

fn chosen(options: &Options) -> Result<Vec<Scenario>> {
    let prefix = options.only.as_deref().unwrap_or_default();
    let (chosen, others): (Vec<_>, Vec<_>) = suite::all(options)
        .into_iter()
        .partition(|scenario| scenario.bench.starts_with(prefix));
    if chosen.is_empty() {
        let names: Vec<String> = others.into_iter().map(|scenario| scenario.bench).collect();
        return Err(format!(
            "no benchmark begins with `{prefix}`; there are {}",
            names.join(", ")
        )
        .into());
    }
    Ok(chosen)
}

/// Everybody once. Who begins changes from round to round, so that nobody always has the caches of
/// the same predecessor.
fn round(fleet: &mut Fleet, scenario: &Scenario, pair: u32, length: Duration) -> Result<Round> {
    let stacks: Vec<Stack> = [Stack::Micro]
        .into_iter()
        .chain(scenario.peers.iter().map(|peer| peer.stack))
        .collect();
    let mut figures: Vec<Figures> = vec![Figures::new(); stacks.len()];
    for turn in 0..stacks.len() {
        let who = (turn + pair as usize) % stacks.len();
        figures[who] = fleet.measure(scenario, stacks[who], length)?;
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
            let spread = |figure: &dyn Fn(f64, f64) -> f64| {
                Spread::of(
                    pairs
                        .iter()
                        .map(|(ours, theirs)| figure(*ours, *theirs))
                        .collect(),
                )
            };
            let Peer { name: peer, .. } = *peer;
            let found = (
                spread(&|ours, _| ours),
                spread(&|_, theirs| theirs),
                spread(&|ours, theirs| metric.ratio(ours, theirs)),
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
