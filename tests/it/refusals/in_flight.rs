//! Calls in flight as a reload of the permissions revokes their subject: NATS has taken some, and refuses the others.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use micro_runtime::{Bus, ClientOptions, Reason, RunningServer, Server, Status};
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, WaitRequest};
use micro_tests::streams::{Item, StreamsClient};
use micro_tests::{BehaviorHandler, StreamsHandler};

use super::users::{User, check_refused, check_status, config, connect, nats_with};
use crate::layered::{Handled, with_and_without_layer, with_recording};
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(120);
/// Number of calls in flight, above the number of events that async-nats keeps.
const CALLS: usize = 300;
/// Request to a handler that waits until the test releases it.
const WAIT: WaitRequest = BehaviorHandler::UNTIL_RELEASED;

/// A service, a client, and the permissions of the client by which the test begins.
struct Reloaded {
    nats: NatsServer,
    client: Bus,
    handler: BehaviorHandler,
    /// Payloads that handlers ran on.
    handled: Handled,
    _server: RunningServer,
}

impl Reloaded {
    async fn start() -> Self {
        let nats = nats_with(&users(true)).await;
        let bus = connect(&nats, "service").await;
        let handler = BehaviorHandler::on(&bus);
        let server = Server::new(&bus)
            .add(BehaviorServer::new(handler.clone()))
            .add(micro_tests::streams::StreamsServer::new(
                StreamsHandler::default(),
            ));
        let (server, handled) = with_recording(server);
        Self {
            client: connect(&nats, "client").await,
            _server: server.start().await.unwrap(),
            handler,
            handled,
            nats,
        }
    }

    /// Sends a call, and drops it once it was written to NATS, unless it ends before.
    async fn send_and_drop(&self, client: &BehaviorClient) {
        let statistics = self.client.nats().unwrap().statistics();
        let written = || statistics.out_messages.load(Ordering::Relaxed);
        let before = written();
        let mut call = pin!(client.wait(WAIT).into_future());
        until(|| call.as_mut().now_or_never().is_some() || written() > before).await;
    }

    /// Allows or denies the client its calls.
    fn allow(&mut self, is_allowed: bool) {
        self.nats.reload(&config(&users(is_allowed))).unwrap();
    }
}

fn users(is_allowed: bool) -> [User; 2] {
    let mut client = User::client(&["behavior.v1.Behavior.>", "streams.v1.Streams.>"]);
    if !is_allowed {
        client = client.denied(&[
            "behavior.v1.Behavior.Wait",
            "behavior.v1.Behavior.Echo",
            "behavior.v1.Behavior._i._all.Wait",
            "streams.v1.Streams.Echo",
        ]);
    }
    [User::any("service"), client]
}

/// Calls until NATS refuses one, which it does from the reload on.
async fn until_refused<T>(mut call: impl AsyncFnMut() -> Result<T, Status>) -> Status {
    loop {
        if let Err(status) = call().await {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_ends_none_that_was_taken_before() {
    within(LIMIT, async {
        let mut reloaded = Reloaded::start().await;
        for options in with_and_without_layer(&ClientOptions::new().timeout(LIMIT)) {
            let client: BehaviorClient = reloaded.client.client_with(options);
            let waiting = (0..CALLS).map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.wait(WAIT).await })
            });
            let waiting = waiting.collect::<Vec<_>>();
            until(|| reloaded.handler.running() == CALLS).await;
            reloaded.allow(false);
            let short = WaitRequest { milliseconds: 1 };
            let status = until_refused(async || client.wait(short).await).await;
            check_status(&status, "publish to `behavior.v1.Behavior.Wait`");
            for _ in 0..3 {
                check_refused(client.wait(short), "`behavior.v1.Behavior.Wait`").await;
            }
            reloaded.handler.release();
            for call in join_all(waiting).await {
                call.unwrap().unwrap();
            }
            reloaded.allow(true);
            // The subject is remembered as refused for a second.
            while client.wait(short).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polling interval
            }
        }
    })
    .await;
}

/// While many tasks call, a reload comes: each call that ran has its reply, and each other one is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_call_that_ran_has_its_reply() {
    within(LIMIT, async {
        let mut reloaded = Reloaded::start().await;
        for round in 0..4_u8 {
            let tasks = (0..32_u8).map(|task| {
                let options = ClientOptions::new().timeout(LIMIT);
                let client: BehaviorClient = reloaded.client.client_with(options);
                tokio::spawn(async move {
                    let mut refused = Vec::new();
                    let mut number = 0_u32;
                    while refused.len() < 3 {
                        number += 1;
                        let mut data = vec![round, task];
                        data.extend(number.to_be_bytes());
                        let message = Blob { data };
                        match client.echo(message.clone()).await {
                            Ok(reply) => assert_eq!(reply, message),
                            Err(status) => {
                                check_status(&status, "`behavior.v1.Behavior.Echo`");
                                refused.push(prost::Message::encode_to_vec(&message));
                            }
                        }
                    }
                    refused
                })
            });
            let tasks = tasks.collect::<Vec<_>>();
            let handled = || reloaded.handled.lock().unwrap().len();
            let before = handled();
            until(|| handled() > before + 1000).await;
            reloaded.nats.reload(&config(&users(false))).unwrap();
            let refused = join_all(tasks).await;
            let ran = std::mem::take(&mut *reloaded.handled.lock().unwrap());
            let ran = ran.into_iter().collect::<HashSet<_>>();
            for refused in refused.into_iter().flat_map(Result::unwrap) {
                assert!(
                    !ran.contains(refused.as_slice()),
                    "{refused:?} ran and was refused"
                );
            }
            reloaded.allow(true);
            let client: BehaviorClient = reloaded.client.client();
            crate::polling::wait_until_served(&client).await;
        }
    })
    .await;
}

/// A call whose caller has gone is refused as well, and its error ends no other call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_were_dropped_end_none_that_was_taken_before() {
    within(LIMIT, async {
        let mut reloaded = Reloaded::start().await;
        let client: BehaviorClient = reloaded.client.client();
        let waiting = (0..20).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.wait(WAIT).timeout(LIMIT).await })
        });
        let waiting = waiting.collect::<Vec<_>>();
        until(|| reloaded.handler.running() == 20).await;
        reloaded.allow(false);
        let refused = async {
            let one_call = async || {
                for _ in 0..2 {
                    reloaded.send_and_drop(&client).await;
                }
                client.wait(WaitRequest { milliseconds: 1 }).await
            };
            until_refused(one_call).await
        };
        check_status(&refused.await, "`behavior.v1.Behavior.Wait`");
        reloaded.handler.release();
        for call in join_all(waiting).await {
            call.unwrap().unwrap();
        }
    })
    .await;
}

/// Calls of all instances and openings of streams are requests as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_of_another_kind_ends_none_that_was_taken_before() {
    within(LIMIT, async {
        let mut reloaded = Reloaded::start().await;
        let options = ClientOptions::new().timeout(LIMIT);
        let client: BehaviorClient = reloaded.client.client_with(options.clone());
        let all = client.wait(WAIT).to_all().expected(1);
        let all = tokio::spawn(all.into_future());
        let streams: StreamsClient = reloaded.client.client_with(options);
        let (mut sender, mut replies) = streams.echo().open().await.unwrap();
        until(|| reloaded.handler.running() == 1).await;
        reloaded.allow(false);
        let short = WaitRequest { milliseconds: 1 };
        let to_all = async || client.wait(short).to_all().expected(1).await;
        let status = until_refused(to_all).await;
        check_status(&status, "`behavior.v1.Behavior._i._all.Wait`");
        let open = async || streams.echo().open().await;
        let status = until_refused(open).await;
        check_status(&status, "`streams.v1.Streams.Echo`");
        reloaded.handler.release();
        let mut of_all = all.await.unwrap().unwrap();
        of_all.next().await.unwrap().result.unwrap();
        sender.send(Item::default()).await.unwrap();
        assert!(replies.message().await.unwrap().is_some());
        assert_eq!(status.reason(), Some(Reason::NotPermitted));
    })
    .await;
}
