//! The proof of subscriptions holds whatever else NATS reports, and whatever was given up before.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use micro_runtime::{Bus, Error, ErrorKind, RunningServer, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;

use super::flood::publish_burst;
use super::users::{ALL, User, config, connect};
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);
/// Subscription that one of the two users lacks.
const DENIED: &str = "behavior.v1.Behavior._schema";
/// Number of refused messages in a burst: more than twice what async-nats keeps.
const BURST: usize = 300;

pub(super) async fn start(bus: &Bus) -> Result<RunningServer, Error> {
    let server = Server::new(bus).add(BehaviorServer::new(BehaviorHandler::on(bus)));
    server.start().await
}

/// Starts a nats-server with a user who may start the server, and one who lacks a subscription. Neither may publish
/// anything but replies.
pub(super) async fn nats() -> (NatsServer, Bus, Bus) {
    let [limited, complete] =
        ["limited", "complete"].map(|name| User::new(name, ALL, &["_INBOX.>"]));
    let config = config(&[limited, complete]);
    let config = config.replacen("] }", &format!("], deny: [\"{DENIED}\"] }}"), 1);
    let nats = NatsServer::builder().config(&config).start().await.unwrap();
    let limited = connect(&nats, "limited").await;
    let complete = connect(&nats, "complete").await;
    (nats, limited, complete)
}

pub(super) fn check_denied(started: Result<RunningServer, Error>) {
    let error = started.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    let named = format!("subscribe to `{DENIED}`");
    assert!(error.to_string().contains(&named), "{error}");
}

/// Polls something `times`, with a turn of the other tasks after each, and drops it.
async fn give_up<T>(future: impl Future<Output = T>, times: usize) {
    let mut future = pin!(future);
    for _ in 0..times {
        if poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx)))
            .await
            .is_ready()
        {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// 100 starts, each beside a burst that costs async-nats errors.
async fn check_bursts() {
    within(LIMIT, async {
        let (_nats, limited, complete) = nats().await;
        let mut refused = 0;
        for _ in 0..50 {
            let ((), started) = tokio::join!(publish_burst(&limited, BURST), start(&limited));
            check_denied(started);
            let ((), started) = tokio::join!(publish_burst(&complete, BURST), start(&complete));
            drop(started.unwrap());
            let now = complete.refused_events();
            assert!(now > refused, "nothing was refused during a start");
            refused = now;
        }
        let lost = 2 * 50 * BURST as u64 - complete.refused_events() - limited.refused_events();
        assert!(lost > 0, "no burst was long enough to cost an error");
    })
    .await;
}

#[tokio::test]
async fn bursts_of_refusals_hide_none_of_a_start() {
    check_bursts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bursts_of_refusals_hide_none_of_a_start_on_several_threads() {
    check_bursts().await;
}

/// The errors of a start that was given up come during the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_that_are_given_up_do_not_confirm_the_next() {
    within(LIMIT, async {
        let (_nats, limited, _) = nats().await;
        for times in 0..100 {
            give_up(start(&limited), times % 40).await;
            for more in 0..4 {
                give_up(
                    limited.subscribe_raw("evt.allowed").open(),
                    times % 10 + more,
                )
                .await;
            }
            check_denied(start(&limited).await);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_that_are_given_up_do_not_confirm_the_next() {
    within(LIMIT, async {
        let (_nats, limited, _) = nats().await;
        for times in 0..200 {
            for subject in ["evt.allowed", DENIED] {
                give_up(limited.subscribe_raw(subject).open(), times % 20).await;
            }
            let (refused, taken) = tokio::join!(
                limited.subscribe_raw(DENIED).open(),
                limited.subscribe_raw("evt.allowed").open()
            );
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
            drop(taken.unwrap());
        }
    })
    .await;
}

/// A program that subscribes to malformed subjects by the client of the bus causes the error of an unnamed marker. From
/// the first on that NATS has reported, markers are named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_subscriptions_of_the_program_confirm_nothing() {
    within(LIMIT, async {
        let (_nats, limited, complete) = nats().await;
        for bus in [&limited, &complete] {
            drop(bus.nats().unwrap().subscribe("a.>.b").await.unwrap());
            // NATS reports errors in order: with this one the first malformed subject is known.
            bus.publish_raw("no.event", "x").await.unwrap();
            until(|| bus.refused_events() == 1).await;
        }
        for _ in 0..50 {
            for (bus, is_limited) in [(&limited, true), (&complete, false)] {
                let client = bus.nats().unwrap();
                for _ in 0..3 {
                    drop(client.subscribe("a.>.b").await.unwrap());
                }
                match is_limited {
                    true => check_denied(start(bus).await),
                    false => drop(start(bus).await.unwrap()),
                }
            }
        }
    })
    .await;
}
