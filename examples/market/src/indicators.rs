//! The `Indicators` service: moving averages of candles, as replies to calls and as events.

use std::collections::HashMap;
use std::time::Duration;

use micro_runtime::{Bus, Context, Server, Status, service};

use crate::candles::mean;
use crate::proto::{
    Average, Candle, CandlesRequest, HistoryClient, Indicators, IndicatorsServer,
    MovingAverageRequest, SymbolsRequest,
};

/// Numbers of candles of the published averages.
pub const PUBLISHED_LENGTHS: [u32; 2] = [5, 20];
/// Length of the candles of published averages, in seconds of the market's time.
pub const PUBLISHED_RESOLUTION: u32 = 5;

/// Interval at which `History` is queried for candles that have closed.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(500);
/// Maximum number of candles of an average.
const MAX_CANDLES: u32 = 500;

/// Handler of `Indicators` that gets its candles from the `History` service.
#[derive(Clone, Debug)]
pub struct MovingAverages(HistoryClient);

impl MovingAverages {
    /// Creates the handler, with a client of `History` on this bus.
    #[must_use]
    pub fn new(bus: &Bus) -> Self {
        Self(bus.client())
    }

    /// Serves the calls and publishes new averages until `shutdown` completes. Calls `ready` once the
    /// service is reachable.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn run(
        self,
        bus: &Bus,
        ready: impl FnOnce(),
        shutdown: impl Future<Output = ()>,
    ) -> crate::Result<()> {
        let server = Server::new(bus).add(IndicatorsServer::new(self.clone()));
        let server = server.start().await?;
        ready();
        tokio::select! {
            () = shutdown => {}
            () = self.publish_repeatedly(bus) => {}
        }
        Ok(server.shutdown().await?)
    }

    async fn publish_repeatedly(&self, bus: &Bus) {
        let mut published = HashMap::new();
        let mut interval = tokio::time::interval(PUBLISH_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            // A failure is not retried here: the next interval does.
            if let Err(status) = self.publish_changes(bus, &mut published).await {
                tracing::warn!(%status, "cannot publish averages; tries again");
            }
        }
    }

    /// Publishes the averages of candles that have closed since the previous interval. `published` has
    /// the end time of the last published average, by venue, symbol and number of candles.
    async fn publish_changes(
        &self,
        bus: &Bus,
        published: &mut HashMap<(String, String, u32), i64>,
    ) -> Result<(), Status> {
        for row in self.0.symbols(SymbolsRequest {}).await?.symbols {
            let count = PUBLISHED_LENGTHS.into_iter().max().unwrap_or_default();
            let request = candles_request(&row.venue, &row.symbol, PUBLISHED_RESOLUTION, count);
            let candles = closed_candles(self.0.candles(request).await?.candles);
            for count in PUBLISHED_LENGTHS {
                let average = average(
                    &row.venue,
                    &row.symbol,
                    PUBLISHED_RESOLUTION,
                    &candles,
                    count,
                );
                let Some(average) = average else { continue };
                let key = (row.venue.clone(), row.symbol.clone(), count);
                if published.insert(key, average.time) != Some(average.time) {
                    bus.publish(&average).wait_for_ready().await?;
                }
            }
        }
        Ok(())
    }
}

#[service]
impl Indicators for MovingAverages {
    async fn moving_average(
        &self,
        ctx: Context,
        request: MovingAverageRequest,
    ) -> Result<Average, Status> {
        let MovingAverageRequest {
            venue,
            symbol,
            candles: count,
            resolution,
        } = request;
        if !(1..=MAX_CANDLES).contains(&count) {
            let text = format!("`candles` is from 1 to {MAX_CANDLES}");
            return Err(Status::invalid_argument(text));
        }
        let request = candles_request(&venue, &symbol, resolution, count);
        let reply = self.0.candles(request).within(&ctx).await?;
        let candles = closed_candles(reply.candles);
        average(&venue, &symbol, resolution, &candles, count)
            .ok_or_else(|| Status::failed_precondition("there are not enough candles yet"))
    }
}

fn candles_request(venue: &str, symbol: &str, resolution: u32, count: u32) -> CandlesRequest {
    CandlesRequest {
        venue: venue.to_owned(),
        symbol: symbol.to_owned(),
        resolution,
        // One more, since the last candle is still open.
        limit: count + 1,
        before: 0,
    }
}

/// Removes the last candle, which is still open.
fn closed_candles(mut candles: Vec<Candle>) -> Vec<Candle> {
    candles.pop();
    candles
}

/// Returns the average of the last `count` candles, or `None` if there are fewer.
fn average(
    venue: &str,
    symbol: &str,
    resolution: u32,
    candles: &[Candle],
    count: u32,
) -> Option<Average> {
    let start = candles.last()?.time;
    Some(Average {
        venue: venue.to_owned(),
        symbol: symbol.to_owned(),
        candles: count,
        resolution,
        time: start + i64::from(resolution) * 1_000_000,
        value: mean(candles, count as usize)?,
    })
}
