//! The output of a running market: a status line per second, and tables at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use micro_runtime::{Bus, Status};
use tokio::task::JoinHandle;

use crate::Result;
use crate::feed::LedgerCounter;
use crate::indicators::{PUBLISHED_LENGTHS, PUBLISHED_RESOLUTION};
use crate::lifecycle::print_line;
use crate::proto::{
    Average, AverageFilter, CandlesRequest, CountsReply, HistoryClient, IndicatorsClient,
    MovingAverageRequest, SymbolsRequest, TicksRequest,
};
use crate::store::Reader;

/// Sources of the output: the services, the database, the ledgers, and the averages received so far.
pub(super) struct Report {
    history: HistoryClient,
    indicators: IndicatorsClient,
    reader: Reader,
    ledgers: Vec<LedgerCounter>,
    averages: Arc<Mutex<ReceivedAverages>>,
    subscriber: JoinHandle<()>,
}

impl Drop for Report {
    fn drop(&mut self) {
        self.subscriber.abort();
    }
}

#[derive(Debug, Default)]
struct ReceivedAverages {
    count: u64,
    /// Latest value by symbol and number of candles.
    latest: BTreeMap<(String, u32), f64>,
}

impl Report {
    /// Subscribes to averages. They are not stored: those from before the subscription are not received.
    pub(super) async fn start(bus: &Bus, database: &Path, ledgers: &[PathBuf]) -> Result<Self> {
        let averages = Arc::new(Mutex::new(ReceivedAverages::default()));
        let mut events = bus
            .subscribe::<Average>(AverageFilter::new())
            .open()
            .await?;
        let received = Arc::clone(&averages);
        let subscriber = tokio::spawn(async move {
            while let Some(Ok(average)) = events.next().await {
                let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
                received.count += 1;
                received
                    .latest
                    .insert((average.symbol, average.candles), average.value);
            }
        });
        Ok(Self {
            history: bus.client(),
            indicators: bus.client(),
            reader: Reader::open(database)?,
            ledgers: ledgers.iter().cloned().map(LedgerCounter::new).collect(),
            averages,
            subscriber,
        })
    }

    /// Prints one status line.
    pub(super) fn print_status(
        &mut self,
        elapsed: Duration,
        counts: Option<CountsReply>,
    ) -> Result<()> {
        let mut published = 0;
        for ledger in &mut self.ledgers {
            published += ledger.count()?;
        }
        let recorded = self.reader.rows()?;
        let python = match &counts {
            Some(counts) => (counts.trades + counts.ticks).to_string(),
            None => "silent".to_owned(),
        };
        let last = counts.and_then(|counts| counts.last_trade);
        let last = last.map(|trade| format!("{} {}", trade.symbol, trade.price));
        let averages = self.averages.lock().unwrap_or_else(PoisonError::into_inner);
        let mean = averages
            .latest
            .get(&("BTC-USD".to_owned(), PUBLISHED_LENGTHS[1]));
        let length = PUBLISHED_LENGTHS[1];
        let mean = mean.map(|mean| format!(", BTC-USD mean of {length} {mean:.2}"));
        print_line(&format!(
            "{:>4} s  published {published:>8}  recorded {recorded:>8}  python {python:>8}  averages {:>5}  last {}{}",
            elapsed.as_secs(),
            averages.count,
            last.as_deref().unwrap_or("-"),
            mean.as_deref().unwrap_or_default(),
        ));
        Ok(())
    }

    /// Calls the services, and prints what they return.
    pub(super) async fn print_tables(&self) {
        if let Err(status) = self.try_print_tables().await {
            print_line(&format!("the tables are not available: {status}"));
        }
    }

    async fn try_print_tables(&self) -> std::result::Result<(), Status> {
        let symbols = self.history.symbols(SymbolsRequest {}).await?.symbols;
        print_line("venue       symbol     events      close       high        low  mean of 5");
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
                candles: PUBLISHED_LENGTHS[0],
                resolution: PUBLISHED_RESOLUTION,
            };
            let mean = self.indicators.moving_average(request).await;
            let mean = mean.map_or("-".to_owned(), |average| format!("{:.4}", average.value));
            print_line(&format!(
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
            print_line(&format!(
                "{count} ticks of {} received as a stream",
                row.symbol
            ));
        }
        Ok(())
    }
}
