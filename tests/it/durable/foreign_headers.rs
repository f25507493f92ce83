//! Headers of publishers of all kinds: what is no metadata is left out, and the others are kept, whoever reads the
//! event.

use async_nats::HeaderMap;
use micro_runtime::jetstream::Durable;
use micro_runtime::{Context, Event as _, Server, Status, Subscriber, Subscription};
use micro_testkit::within;
use micro_tests::market::{Trade, TradeFilter};
use prost::Message as _;
use tokio::sync::mpsc;

use super::market::{TIMEOUT, start_market, trade};
use crate::until::until;

/// Number of headers of [`foreign`] that are no metadata.
const MALFORMED: u64 = 4;

/// Metadata, and headers that other publishers set.
fn foreign() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("tenant", "acme");
    headers.insert("city", "Z\u{fc}rich");
    headers.insert("tab", "a\tb");
    headers.insert("hash-bin", "no base64");
    headers.insert("long", "x".repeat(9_000).as_str());
    headers.insert("id", "7");
    headers
}

fn check(ctx: &Context) {
    for (name, expected) in [("tenant", Some("acme")), ("id", Some("7")), ("city", None)] {
        assert_eq!(ctx.header(name), expected, "{name}");
    }
}

/// Passes the context of each event on.
struct Contexts(mpsc::UnboundedSender<Context>);

impl Subscriber<Trade> for Contexts {
    async fn on_event(&self, ctx: Context, _: Trade) -> Result<(), Status> {
        self.0.send(ctx).unwrap();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_are_no_metadata_are_left_out_and_the_others_kept() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let (contexts, mut arrived) = mpsc::unbounded_channel();
        let server = Server::new(&bus)
            .subscribe::<Trade>(Contexts(contexts.clone()), Subscription::broadcast())
            .subscribe::<Trade>(Contexts(contexts), Durable::named("books"))
            .start()
            .await
            .unwrap();
        let all = TradeFilter::new();
        let mut events = bus.subscribe::<Trade>(all).open().await.unwrap();
        let mut raw = bus.subscribe_raw("evt.market.>").open().await.unwrap();
        let subject = trade(1).subject().unwrap();
        let client = bus.nats().unwrap();
        client
            .publish_with_headers(subject, foreign(), trade(1).encode_to_vec().into())
            .await
            .unwrap();

        for _ in 0..2 {
            check(&arrived.recv().await.unwrap());
        }
        let (ctx, event) = events.next_with_context().await.unwrap().unwrap();
        check(&ctx);
        assert_eq!((event.number, events.malformed_headers()), (1, MALFORMED));
        let event = raw.next().await.unwrap();
        check(&event.context);
        assert_eq!(event.headers().count(), foreign().len());
        for index in 0..2 {
            let stats = || server.events().remove(index);
            until(|| stats().handled == 1).await;
            assert_eq!(stats().malformed_headers, MALFORMED);
            assert_eq!((stats().undecodable, stats().failed), (0, 0));
        }
        server.shutdown().await.unwrap();
    })
    .await;
}
