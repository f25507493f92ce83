//! The services and the published averages, with a client and a subscriber in Rust.

use market::proto::{
    Average, AverageFilter, CandlesRequest, HistoryClient, IndicatorsClient, MovingAverageRequest,
    SymbolsRequest, TicksRequest,
};
use micro_runtime::{Bus, Code};
use micro_testkit::{NatsServer, within};

use crate::fixture::{MarketFixture, TEST_TIMEOUT};

const VENUE: &str = "sim-crypto";
const SYMBOL: &str = "BTC-USD";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_return_what_was_recorded() {
    within(TEST_TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let market = MarketFixture::new(nats.url(), 1);
        let bus = Bus::connect(nats.url()).await.unwrap();
        let filter = AverageFilter::new().venue(VENUE).symbol(SYMBOL);
        let mut averages = bus.subscribe::<Average>(filter).open().await.unwrap();
        let _parts = (
            market.start_recorder().await,
            market.start_with_database("history").await,
            market.start(market.command("indicators"), &[]).await,
            market.start_python().await,
        );
        let feeds = market.start_feeds(1_000).await;
        let average = averages.next().await.unwrap().unwrap();
        assert_eq!(
            (average.venue.as_str(), average.symbol.as_str()),
            (VENUE, SYMBOL)
        );
        assert!(average.value > 0.0);
        market.stop_feeds(feeds).await;
        let audit = market.wait_until_recorded().await;

        let counts = market.wait_for_python(audit.recorded).await;
        let last = counts.last_trade.unwrap();
        assert_eq!(last.venue, VENUE);
        check_history(&bus, audit.recorded).await;
        check_indicators(&bus).await;
    })
    .await;
}

async fn check_history(bus: &Bus, recorded: u64) {
    let history: HistoryClient = bus.client();
    let symbols = history.symbols(SymbolsRequest {}).await.unwrap().symbols;
    assert_eq!(symbols.len(), 6);
    assert_eq!(symbols.iter().map(|row| row.events).sum::<u64>(), recorded);

    let request = candles(1_000, 1);
    let all = history.candles(request).await.unwrap().candles;
    let traded = symbols.iter().find(|row| row.symbol == SYMBOL).unwrap();
    assert_eq!(
        all.iter().map(|candle| candle.events).sum::<u64>(),
        traded.events
    );
    assert!(
        all.iter()
            .all(|candle| candle.low <= candle.open && candle.close <= candle.high)
    );
    let last = history.candles(candles(3, 1)).await.unwrap().candles;
    assert_eq!(last[..], all[all.len() - last.len()..]);

    let quoted = symbols.iter().find(|row| row.symbol == "EUR-USD").unwrap();
    let request = TicksRequest {
        venue: quoted.venue.clone(),
        symbol: quoted.symbol.clone(),
        ..Default::default()
    };
    let mut ticks = history.ticks(request).await.unwrap();
    let (mut count, mut number) = (0, 0);
    while let Some(tick) = ticks.message().await.unwrap() {
        assert!(tick.number > number && tick.bid < tick.ask, "{tick:?}");
        (count, number) = (count + 1, tick.number);
    }
    assert_eq!(count, quoted.events);

    let rejected = history.candles(candles(3, 0)).await.unwrap_err();
    assert_eq!(rejected.code(), Code::InvalidArgument);
    let unknown = CandlesRequest {
        symbol: "NO-NE".to_owned(),
        ..candles(3, 1)
    };
    assert_eq!(
        history.candles(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
}

async fn check_indicators(bus: &Bus) {
    let (history, indicators): (HistoryClient, IndicatorsClient) = (bus.client(), bus.client());
    let request = MovingAverageRequest {
        venue: VENUE.to_owned(),
        symbol: SYMBOL.to_owned(),
        candles: 3,
        resolution: 1,
    };
    let average = indicators.moving_average(request.clone()).await.unwrap();
    let last = history.candles(candles(4, 1)).await.unwrap().candles;
    let sum: f64 = last[..3].iter().map(|candle| candle.close).sum();
    assert!((average.value - sum / 3.0).abs() < 1e-9, "{average:?}");
    let many = MovingAverageRequest {
        candles: 499,
        resolution: 3_600,
        ..request
    };
    let rejected = indicators.moving_average(many).await.unwrap_err();
    assert_eq!(rejected.code(), Code::FailedPrecondition);
}

fn candles(limit: u32, resolution: u32) -> CandlesRequest {
    CandlesRequest {
        venue: VENUE.to_owned(),
        symbol: SYMBOL.to_owned(),
        resolution,
        limit,
        before: 0,
    }
}
