//! The `History` service: candles and ticks from the database, which it only reads.

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

/// Number of candles in a reply to a request without a limit.
const DEFAULT_CANDLES: u32 = 100;
/// Maximum number of candles in a reply.
const MAX_CANDLES: u32 = 1_000;
/// Maximum length of a candle, in seconds: one day.
const MAX_RESOLUTION: u32 = 86_400;
/// Number of ticks that one query reads for a stream.
const TICKS_PER_PAGE: u32 = 1_000;

/// Handler of `History` that reads the recorder's database.
#[derive(Clone, Debug)]
pub struct RecordedHistory(Arc<Mutex<Reader>>);

impl RecordedHistory {
    /// Opens the database, and creates it if the recorder has not yet.
    ///
    /// # Errors
    ///
    /// If SQLite cannot open it.
    pub fn open(path: &Path) -> crate::Result<Self> {
        Writer::open(path)?;
        Ok(Self(Arc::new(Mutex::new(Reader::open(path)?))))
    }

    /// Starts a server of the service.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn start(self, bus: &Bus) -> crate::Result<RunningServer> {
        Ok(Server::new(bus)
            .add(HistoryServer::new(self))
            .start()
            .await?)
    }

    /// Runs a query on a thread for blocking work, since SQLite blocks its thread.
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
impl History for RecordedHistory {
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
            0 => DEFAULT_CANDLES,
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
            // From the start of the first candle, so that it is complete.
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
        let history = self.clone();
        let until = if request.until == 0 {
            i64::MAX
        } else {
            request.until
        };
        let (venue, symbol) = (request.venue, request.symbol);
        let start = (request.from.saturating_sub(1), u64::MAX);
        // A page is read when the client has received the page before it.
        let pages = stream::try_unfold(start, move |position| {
            let (history, venue, symbol) = (history.clone(), venue.clone(), symbol.clone());
            async move {
                let page = history.read(move |reader| {
                    reader.ticks((&venue, &symbol), position, until, TICKS_PER_PAGE)
                });
                let page = page.await?;
                let next = page.last().map(|tick| (tick.time, tick.number));
                Ok::<_, Status>(next.map(|next| (page, next)))
            }
        });
        Ok(pages
            .map_ok(|page| stream::iter(page).map(Ok))
            .try_flatten())
    }
}
