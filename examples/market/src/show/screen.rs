//! What a person sees: a line a second, and tables at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use micro_runtime::{Bus, Status};
use tokio::task::JoinHandle;

use crate::Result;
use crate::feed::Tally;
use crate::indicators::{PUBLISHED, RESOLUTION};
use crate::life::say;
use crate::proto::{
    Average, AverageFilter, CandlesRequest, HistoryClient, IndicatorsClient, MovingAverageRequest,
    SeenReply, SymbolsRequest, TicksRequest,
};
use crate::store::Reader;

/// The screen, and what it has heard.
pub(super) struct Screen {
    history: HistoryClient,
    indicators: IndicatorsClient,
    reader: Reader,
    tallies: Vec<Tally>,
    averages: Arc<Mutex<Averages>>,
    hearing: JoinHandle<()>,
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.hearing.abort();
    }
}

#[derive(Debug, Default)]
struct Averages {
    count: u64,
    last: BTreeMap<(String, u32), f64>,
}

impl Screen {
    /// Begins to listen to averages: on the bus alone, so what comes while nobody listens is gone.
    pub(super) async fn start(bus: &Bus, database: &Path, ledgers: &[PathBuf]) -> Result<Self> {
        let averages = Arc::new(Mutex::new(Averages::default()));
        let mut events = bus.subscribe::<Average>(AverageFilter::new()).await?;
        let heard = Arc::clone(&averages);
        let hearing = tokio::spawn(async move {
            while let Some(Ok(average)) = events.next().await {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.count += 1;
                heard
                    .last
                    .insert((average.symbol, average.candles), average.value);
            }
        });
        Ok(Self {
            history: bus.client(),
            indicators: bus.client(),
            reader: Reader::open(database)?,
            tallies: ledgers.iter().cloned().map(Tally::new).collect(),
            averages,
            hearing,
        })
    }

    pub(super) fn line(&mut self, elapsed: Duration, seen: Option<SeenReply>) -> Result<()> {
        let mut published = 0;
        for tally in &mut self.tallies {
            published += tally.count()?;
        }
        let recorded = self.reader.rows()?;
        let python = match &seen {
            Some(seen) => (seen.trades + seen.ticks).to_string(),
            None => "silent".to_owned(),
        };
        let last = seen.and_then(|seen| seen.last);
        let last = last.map(|trade| format!("{} {}", trade.symbol, trade.price));
        let averages = self.averages.lock().unwrap_or_else(PoisonError::into_inner);
        let mean = averages.last.get(&("BTC-USD".to_owned(), PUBLISHED[1]));
        let mean = mean.map(|mean| format!(", BTC-USD mean of {} {mean:.2}", PUBLISHED[1]));
        say(&format!(
            "{:>4} s  published {published:>8}  recorded {recorded:>8}  python {python:>8}  averages {:>5}  last {}{}",
            elapsed.as_secs(),
            averages.count,
            last.as_deref().unwrap_or("-"),
            mean.as_deref().unwrap_or_default(),
        ));
        Ok(())
    }

    /// Asks the services for what they know, by typed calls.
    pub(super) async fn tables(&self) {
        if let Err(status) = self.try_tables().await {
            say(&format!("the services say no more: {status}"));
        }
    }

    async fn try_tables(&self) -> std::result::Result<(), Status> {
        let symbols = self.history.symbols(SymbolsRequest {}).await?.symbols;
        say("venue       symbol     events      close       high        low  mean of 5");
        for row in &symbols {
            let (venue, symbol) = (row.venue.clone(), row.symbol.clone());
            let request = CandlesRequest {
                venue,
                symbol,
                resolution: 60,
                ..Default::default()
            };
            let candles = self.history.candles(request).await?.candles;
            let Some(last) = candles.last() else {
                continue;
            };
            let request = MovingAverageRequest {
                venue: row.venue.clone(),
                symbol: row.symbol.clone(),
                candles: PUBLISHED[0],
                resolution: RESOLUTION,
            };
            let mean = self.indicators.moving_average(request).await;
            let mean = mean.map_or("-".to_owned(), |average| format!("{:.4}", average.value));
            say(&format!(
                "{:<11} {:<8} {:>8} {:>10.4} {:>10.4} {:>10.4} {mean:>10}",
                row.venue, row.symbol, row.events, last.close, last.high, last.low
            ));
        }
        for row in symbols.iter().filter(|row| row.venue == "sim-fx").take(1) {
            let (venue, symbol) = (row.venue.clone(), row.symbol.clone());
            let request = TicksRequest {
                venue,
                symbol,
                ..Default::default()
            };
            let mut ticks = self.history.ticks(request).await?;
            let mut count = 0;
            while ticks.message().await?.is_some() {
                count += 1;
            }
            say(&format!("{count} ticks of {} came as a stream", row.symbol));
        }
        Ok(())
    }
}
