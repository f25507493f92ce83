//! The `Indicators` service: moving averages of candles, told when asked and published as they change.

use std::collections::HashMap;
use std::time::Duration;

use micro_runtime::{Bus, Context, Server, Status, service};

use crate::candles::mean;
use crate::proto::{
    Average, Candle, CandlesRequest, HistoryClient, Indicators, IndicatorsServer,
    MovingAverageRequest, SymbolsRequest,
};

/// What is published: means of so many candles, of so many seconds of the market's time each.
pub const PUBLISHED: [u32; 2] = [5, 20];
/// The length of a candle that published averages are made of, in seconds.
pub const RESOLUTION: u32 = 5;

const TURN: Duration = Duration::from_millis(500);
const MAX_CANDLES: u32 = 500;

/// Asks `History` for candles.
#[derive(Clone, Debug)]
pub struct Averages(HistoryClient);

impl Averages {
    /// Uses the history that is served on this bus.
    #[must_use]
    pub fn new(bus: &Bus) -> Self {
        Self(bus.client())
    }

    /// Serves, and publishes what changes, until `end`.
    ///
    /// # Errors
    ///
    /// If the service cannot be reached.
    pub async fn run(
        self,
        bus: &Bus,
        ready: impl FnOnce(),
        end: impl Future<Output = crate::Result<()>>,
    ) -> crate::Result<()> {
        let server = Server::new(bus).add(IndicatorsServer::new(self.clone()));
        let server = server.start().await?;
        ready();
        let ended = tokio::select! {
            ended = end => ended,
            () = self.publish_changes(bus) => Ok(()),
        };
        server.shutdown().await?;
        ended
    }

    async fn publish_changes(&self, bus: &Bus) {
        let mut published = HashMap::new();
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            // The next turn is the next try.
            if let Err(status) = self.publish(bus, &mut published).await {
                tracing::warn!(%status, "no averages this time");
            }
        }
    }

    /// Publishes the averages of candles that have closed since the last time.
    async fn publish(
        &self,
        bus: &Bus,
        published: &mut HashMap<(String, String, u32), i64>,
    ) -> Result<(), Status> {
        for row in self.0.symbols(SymbolsRequest {}).await?.symbols {
            let most = PUBLISHED.into_iter().max().unwrap_or_default();
            let request = candles_of(&row.venue, &row.symbol, RESOLUTION, most);
            let candles = closed(self.0.candles(request).await?.candles);
            for count in PUBLISHED {
                let Some(average) = average(&row.venue, &row.symbol, RESOLUTION, &candles, count)
                else {
                    continue;
                };
                let key = (row.venue.clone(), row.symbol.clone(), count);
                if published.insert(key, average.time) != Some(average.time) {
                    bus.publish(&average).await?;
                }
            }
        }
        Ok(())
    }
}

#[service]
impl Indicators for Averages {
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
        let request = candles_of(&venue, &symbol, resolution, count);
        let reply = self.0.candles(request).within(&ctx).await?;
        average(&venue, &symbol, resolution, &closed(reply.candles), count)
            .ok_or_else(|| Status::failed_precondition("there are not so many candles yet"))
    }
}

fn candles_of(venue: &str, symbol: &str, resolution: u32, count: u32) -> CandlesRequest {
    CandlesRequest {
        venue: venue.to_owned(),
        symbol: symbol.to_owned(),
        resolution,
        // And the one that still changes.
        limit: count + 1,
        before: 0,
    }
}

/// Without the last one, which still changes.
fn closed(mut candles: Vec<Candle>) -> Vec<Candle> {
    candles.pop();
    candles
}

fn average(
    venue: &str,
    symbol: &str,
    resolution: u32,
    candles: &[Candle],
    count: u32,
) -> Option<Average> {
    let begin = candles.last()?.time;
    Some(Average {
        venue: venue.to_owned(),
        symbol: symbol.to_owned(),
        candles: count,
        resolution,
        time: begin + i64::from(resolution) * 1_000_000,
        value: mean(candles, count as usize)?,
    })
}
