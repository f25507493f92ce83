//! Replays of streams that change meanwhile: each ends or fails, and names the events that it could not read.

use std::time::Duration;

use async_nats::jetstream::context::Context as JetStream;
use async_nats::jetstream::stream::Stream;
use futures_util::TryStreamExt as _;
use micro_runtime::jetstream::{Durable, Replay, ReplayBuilder, StartFrom};
use micro_runtime::{Bus, Code, Reason, Server, Status};
use micro_testkit::{NatsServer, within};
use micro_tests::market::{Trade, TradeFilter};

use super::market::{TIMEOUT, market_stream, publish_trades, start_market, trade};
use super::recorder::Recorder;

/// Number of events; more than are sent before they are read.
const COUNT: u64 = 2_000;
/// Number of events that are read before the stream changes.
const READ: u64 = 10;

/// Stream `MARKET` with [`COUNT`] events, and a replay that has read [`READ`] of them.
struct Changing {
    _nats: NatsServer,
    bus: Bus,
    jetstream: JetStream,
    replay: Replay<Trade>,
}

impl Changing {
    async fn start(follows: bool) -> Self {
        let (nats, bus) = start_market().await;
        publish_trades(&bus, 1..=COUNT).await;
        let replay = bus.replay::<Trade>();
        let replay = if follows { replay.follow() } else { replay };
        let mut changing = Self {
            _nats: nats,
            jetstream: async_nats::jetstream::new(bus.nats().unwrap()),
            replay: replay.open().await.unwrap(),
            bus,
        };
        for expected in 1..=READ {
            assert_eq!(changing.next().await.unwrap().unwrap(), expected);
        }
        changing
    }

    async fn stream(&self) -> Stream {
        self.jetstream.get_stream("MARKET").await.unwrap()
    }

    /// Deletes the stream, declares it again, and stores so many trades in it.
    async fn declare_again(&self, count: u64) {
        self.jetstream.delete_stream("MARKET").await.unwrap();
        // sleep: a stream that is declared at once may have its old events again (nats-server 2.15)
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.bus.declare(&market_stream()).await.unwrap();
        publish_trades(&self.bus, 1..=count).await;
    }

    /// Returns the number of the next trade.
    async fn next(&mut self) -> Option<Result<u64, Status>> {
        let item = self.replay.next().await?;
        Some(item.map(|trade| trade.number))
    }

    /// Reads the trades that were sent before the stream changed, which follow each other; returns the last of them,
    /// and what comes behind it.
    async fn read_sent(&mut self) -> (u64, Option<Result<u64, Status>>) {
        let mut last = READ;
        loop {
            match self.next().await {
                Some(Ok(number)) if number == last + 1 => last = number,
                item => return (last, item),
            }
        }
    }

    /// Reads a gap up to this sequence behind what was sent.
    async fn read_gap(&mut self, to: u64) {
        let (last, item) = self.read_sent().await;
        assert!((READ..to).contains(&last), "{last}");
        let status = item.unwrap().unwrap_err();
        check_lost(&status);
        let from = last + 1;
        let named = format!("events {from} to {to} of stream `MARKET` were removed");
        assert!(status.message().contains(&named), "{status} {named}");
    }

    /// Reads the trades of this range, and the end.
    async fn read_rest(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for expected in numbers {
            assert_eq!(self.next().await.unwrap().unwrap(), expected);
        }
        assert!(self.next().await.is_none());
    }
}

fn check_lost(status: &Status) {
    assert_eq!(status.code(), Code::DataLoss, "{status}");
    assert_eq!(status.reason(), Some(Reason::EventsLost), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_a_purged_stream_names_what_it_lacks_and_ends() {
    within(TIMEOUT, async {
        let mut changing = Changing::start(false).await;
        changing.stream().await.purge().await.unwrap();
        changing.read_gap(COUNT).await;
        changing.read_rest([]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_reads_on_behind_what_was_purged() {
    within(TIMEOUT, async {
        let mut changing = Changing::start(false).await;
        let stream = changing.stream().await;
        stream.purge().sequence(1_501).await.unwrap();
        changing.read_gap(1_500).await;
        changing.read_rest(1_501..=COUNT).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_a_stream_that_rolls_over_names_what_it_lacks() {
    within(TIMEOUT, async {
        for (limit, rest) in [(COUNT, 0), (COUNT + 500, 500)] {
            let mut changing = Changing::start(false).await;
            let mut config = changing.stream().await.cached_info().config.clone();
            config.max_messages = i64::try_from(limit).unwrap();
            changing.jetstream.update_stream(config).await.unwrap();
            // As many events as were left to read: their count shows nothing.
            publish_trades(&changing.bus, COUNT + 1..=2 * COUNT).await;
            changing.read_gap(COUNT - rest).await;
            changing.read_rest(COUNT - rest + 1..=COUNT).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_events_that_expire_names_what_it_lacks_and_ends() {
    within(TIMEOUT, async {
        let mut changing = Changing::start(false).await;
        let mut config = changing.stream().await.cached_info().config.clone();
        config.max_age = Duration::from_millis(100);
        config.duplicate_window = config.max_age;
        changing.jetstream.update_stream(config).await.unwrap();
        while changing.stream().await.cached_info().state.messages > 0 {
            tokio::task::yield_now().await;
        }
        changing.read_gap(COUNT).await;
        changing.read_rest([]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_were_deleted_one_by_one_are_no_gap() {
    within(TIMEOUT, async {
        let mut changing = Changing::start(false).await;
        let stream = changing.stream().await;
        for sequence in [1_500, COUNT - 1, COUNT] {
            stream.delete_message(sequence).await.unwrap();
        }
        let rest = (READ + 1..=COUNT - 2).filter(|number| *number != 1_500);
        changing.read_rest(rest).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_a_deleted_stream_fails_and_ends() {
    within(TIMEOUT, async {
        let mut changing = Changing::start(false).await;
        changing.jetstream.delete_stream("MARKET").await.unwrap();
        let (_, item) = changing.read_sent().await;
        let status = item.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{status}");
        assert!(status.message().contains("`MARKET`"), "{status}");
        changing.read_rest([]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_a_stream_that_is_declared_again_fails_and_ends() {
    within(TIMEOUT, async {
        let mut changing = Changing::start(false).await;
        changing.declare_again(60).await;
        let (_, item) = changing.read_sent().await;
        let status = item.unwrap().unwrap_err();
        check_lost(&status);
        assert!(status.message().contains("declared again"), "{status}");
        changing.read_rest([]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_following_replay_begins_anew_in_a_stream_that_is_declared_again() {
    within(TIMEOUT, async {
        let mut changing = Changing::start(true).await;
        for expected in READ + 1..=COUNT {
            assert_eq!(changing.next().await.unwrap().unwrap(), expected);
        }
        changing.declare_again(60).await;
        let status = changing.next().await.unwrap().unwrap_err();
        check_lost(&status);
        for expected in 1..=60 {
            assert_eq!(changing.next().await.unwrap().unwrap(), expected);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_following_replay_names_what_was_purged_and_goes_on() {
    within(TIMEOUT, async {
        let mut changing = Changing::start(true).await;
        changing.stream().await.purge().await.unwrap();
        changing.read_gap(COUNT).await;
        publish_trades(&changing.bus, [COUNT + 1]).await;
        assert_eq!(changing.next().await.unwrap().unwrap(), COUNT + 1);
    })
    .await;
}

/// The replay is interrupted while events are removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_whose_consumer_is_lost_names_what_was_removed_meanwhile() {
    within(TIMEOUT, async {
        let mut changing = Changing::start(false).await;
        let stream = changing.stream().await;
        let name = stream.consumer_names().try_next().await.unwrap();
        stream.purge().sequence(1_501).await.unwrap();
        stream.delete_consumer(&name.unwrap()).await.unwrap();
        changing.read_gap(1_500).await;
        changing.read_rest(1_501..=COUNT).await;
    })
    .await;
}

/// Events were removed that do not match, as the counts of the server show.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_a_filter_leaves_out_are_no_gap() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let of = |symbol: &str, number| Trade {
            symbol: symbol.to_owned(),
            ..trade(number)
        };
        let publisher = bus.durable_publisher();
        for number in 1..=1_200 {
            let symbol = match number {
                501..=1_100 => "B",
                _ => "A",
            };
            let _stored = publisher.publish(&of(symbol, number)).send().await.unwrap();
        }
        publisher.flush().await.unwrap();
        let filter = TradeFilter::new().symbol("A");
        let mut replay = bus.replay::<Trade>().filter(filter).open().await.unwrap();
        for expected in 1..=READ {
            assert_eq!(replay.next().await.unwrap().unwrap().number, expected);
        }
        let jetstream = async_nats::jetstream::new(bus.nats().unwrap());
        let stream = jetstream.get_stream("MARKET").await.unwrap();
        stream.purge().sequence(1_101).await.unwrap();
        for expected in (READ + 1..=500).chain(1_101..=1_200) {
            assert_eq!(replay.next().await.unwrap().unwrap().number, expected);
        }
        assert!(replay.next().await.is_none());
    })
    .await;
}

/// Returns the number of each trade of a replay.
async fn read_all(replay: ReplayBuilder<Trade>) -> Vec<u64> {
    let replay = replay.open().await.unwrap();
    let trades: Vec<_> = replay.try_collect().await.unwrap();
    trades.iter().map(|trade| trade.number).collect()
}

/// Nothing that matches lies at the end, and so no event shows it.
#[tokio::test]
async fn a_replay_ends_where_nothing_matches_any_more() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=20).await;
        let of = |symbol| {
            bus.replay::<Trade>()
                .filter(TradeFilter::new().symbol(symbol))
        };
        assert_eq!(read_all(of("S3")).await, [3, 10, 17]);
        assert!(read_all(of("nowhere")).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_begin_with_one() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=3).await;
        for sequence in [0, 1] {
            let start = StartFrom::Sequence(sequence);
            let replay = bus.replay::<Trade>().start_from(start);
            assert_eq!(read_all(replay).await, [1, 2, 3]);
            // The second start compares the consumer that exists.
            let recorder = Recorder::succeeding();
            let durable = Durable::named("books").start_from(start);
            let server = Server::new(&bus).subscribe::<Trade>(recorder.clone(), durable);
            let server = server.start().await.unwrap();
            if sequence == 0 {
                recorder
                    .wait_for(|recorder| recorder.succeeded() == [1, 2, 3])
                    .await;
            }
            server.shutdown().await.unwrap();
        }
    })
    .await;
}

/// Returns once the stream has no consumer, long before the server would remove one that is not read.
async fn wait_without_consumers(stream: &mut Stream) {
    let none = async {
        while stream.info().await.unwrap().state.consumer_count > 0 {
            tokio::task::yield_now().await;
        }
    };
    within(Duration::from_secs(10), none).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consumer_of_a_replay_is_deleted_at_its_end_and_when_it_is_dropped() {
    within(TIMEOUT, async {
        let mut changing = Changing::start(false).await;
        let mut stream = changing.stream().await;
        assert_eq!(stream.info().await.unwrap().state.consumer_count, 1);
        changing.read_rest(READ + 1..=COUNT).await;
        wait_without_consumers(&mut stream).await;

        let mut dropped = changing.bus.replay::<Trade>().open().await.unwrap();
        assert_eq!(dropped.next().await.unwrap().unwrap().number, 1);
        assert_eq!(stream.info().await.unwrap().state.consumer_count, 1);
        drop(dropped);
        wait_without_consumers(&mut stream).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_in_memory_that_a_restart_has_emptied_fails_its_replay() {
    within(TIMEOUT, async {
        let mut nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        bus.declare(&market_stream().in_memory()).await.unwrap();
        publish_trades(&bus, 1..=COUNT).await;
        let mut replay = bus.replay::<Trade>().open().await.unwrap();
        assert_eq!(replay.next().await.unwrap().unwrap().number, 1);
        nats.kill().unwrap();
        nats.restart().await.unwrap();
        let mut read = 1;
        let failure = loop {
            match replay.next().await.unwrap() {
                Ok(trade) => read = trade.number,
                Err(status) => break status,
            }
        };
        assert!(read < COUNT);
        // Another process may have declared it again meanwhile.
        let codes = [Code::NotFound, Code::DataLoss];
        assert!(codes.contains(&failure.code()), "{failure}");
        assert!(replay.next().await.is_none());
    })
    .await;
}
