//! The `History` service: candles and ticks out of the database, which it only reads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use micro_runtime::{Bus, Context, ReplyStream, RunningServer, Server, Status, service};

use crate::candles::candles;
use crate::proto::{
    CandlesReply, CandlesRequest, History, HistoryServer, Symbol, SymbolsReply, SymbolsRequest,
    Tick, TicksRequest,
};
use crate::store::{Reader, Writer};

const CANDLES: u32 = 100;
const MAX_CANDLES: u32 = 1_000;
const MAX_RESOLUTION: u32 = 86_400;
/// Ticks that are read at a time, while a stream is read by its client.
const PAGE: u32 = 1_000;

/// Answers from the recorder's database.
#[derive(Clone, Debug)]
pub struct Records(Arc<Mutex<Reader>>);

impl Records {
    /// Opens the database, and makes it if the recorder has not yet.
    ///
    /// # Errors
    ///
    /// If SQLite refuses.
    pub fn open(path: &Path) -> crate::Result<Self> {
        Writer::open(path)?;
        Ok(Self(Arc::new(Mutex::new(Reader::open(path)?))))
    }

    /// Begins to serve.
    ///
    /// # Errors
    ///
    /// If the service cannot be reached.
    pub async fn start(self, bus: &Bus) -> crate::Result<RunningServer> {
        Ok(Server::new(bus)
            .add(HistoryServer::new(self))
            .start()
            .await?)
    }

    /// SQLite blocks, so it runs where that holds up nobody.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Status> {
        let reader = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || {
            read(&reader.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let read = read
            .await
            .map_err(|error| Status::internal("the reader has ended").with_source(error))?;
        read.map_err(|error| Status::unavailable(format!("SQLite: {error}")).with_source(error))
    }
}

#[service]
impl History for Records {
    async fn symbols(
        &self,
        _ctx: Context,
        _request: SymbolsRequest,
    ) -> Result<SymbolsReply, Status> {
        let rows = self.read(Reader::symbols).await?;
        let symbols = rows.into_iter().map(|row| Symbol {
            venue: row.venue,
            symbol: row.symbol,
            events: row.events,
        });
        Ok(SymbolsReply {
            symbols: symbols.collect(),
        })
    }

    async fn candles(
        &self,
        _ctx: Context,
        request: CandlesRequest,
    ) -> Result<CandlesReply, Status> {
        if !(1..=MAX_RESOLUTION).contains(&request.resolution) {
            let text = format!("`resolution` is from 1 to {MAX_RESOLUTION} seconds");
            return Err(Status::invalid_argument(text));
        }
        let limit = match request.limit {
            0 => CANDLES,
            limit => limit.min(MAX_CANDLES),
        };
        let candles = self.read(move |reader| {
            let CandlesRequest {
                venue,
                symbol,
                resolution,
                ..
            } = &request;
            let before = if request.before == 0 {
                i64::MAX
            } else {
                request.before
            };
            let Some(last) = reader.last_time(venue, symbol, before)? else {
                return Ok(None);
            };
            // Back to the begin of the first candle, so that it is a whole one.
            let length = i64::from(*resolution) * 1_000_000;
            let from = (last.div_euclid(length) - i64::from(limit) + 1) * length;
            let prices = reader.prices(venue, symbol, from, before)?;
            Ok(Some(candles(prices, *resolution)))
        });
        match candles.await? {
            Some(candles) => Ok(CandlesReply { candles }),
            None => Err(Status::not_found("nothing was recorded of this symbol")),
        }
    }

    async fn ticks(
        &self,
        _ctx: Context,
        request: TicksRequest,
    ) -> Result<impl ReplyStream<Tick>, Status> {
        let records = self.clone();
        let until = if request.until == 0 {
            i64::MAX
        } else {
            request.until
        };
        let (venue, symbol) = (request.venue, request.symbol);
        let begin = (request.from.saturating_sub(1), u64::MAX);
        // A page is read when the client has taken the one before.
        let pages = stream::try_unfold(begin, move |behind| {
            let (records, venue, symbol) = (records.clone(), venue.clone(), symbol.clone());
            async move {
                let page = records
                    .read(move |reader| reader.ticks((&venue, &symbol), behind, until, PAGE));
                let page = page.await?;
                let behind = page.last().map(|tick| (tick.time, tick.number));
                Ok::<_, Status>(behind.map(|behind| (page, behind)))
            }
        });
        Ok(pages
            .map_ok(|page| stream::iter(page).map(Ok))
            .try_flatten())
    }
}
