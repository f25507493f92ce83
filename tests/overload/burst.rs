//! `Burst`: requests by a plain NATS client, as fast as it sends them.

use std::time::{Duration, Instant};

use async_nats::{Client, HeaderMap, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use micro_runtime::codegen::prost::Message as _;
use micro_tests::greeter::HelloRequest;
use tokio_util::sync::CancellationToken;

use crate::load::METHOD;
use crate::services::Work;

/// Time without a further reply after which no more will come.
const SILENCE: Duration = Duration::from_secs(3);

/// Number of requests that are sent before the next ones wait until NATS has read them. What waits before it, in the
/// client and in the buffers of its connection, no server can see: without this it is up to 0.3 s of requests.
const FLUSH_EVERY: usize = 256;

/// A client that is about to send.
pub(crate) struct Burst {
    client: Client,
    inbox: String,
    replies: Subscriber,
    work: Work,
    ended: CancellationToken,
    expects_replies: bool,
}

/// The outcome of a burst.
pub(crate) struct BurstOutcome {
    pub(crate) replies: usize,
    /// Time from the first request to the last reply.
    pub(crate) took: Duration,
}

impl Burst {
    pub(crate) async fn prepare(url: &str, work: &Work) -> Self {
        let options = async_nats::ConnectOptions::new().subscription_capacity(1 << 20);
        let client = options.connect(url).await.unwrap();
        let inbox = client.new_inbox();
        let replies = client.subscribe(format!("{inbox}.*")).await.unwrap();
        client.flush().await.unwrap();
        Self {
            client,
            inbox,
            replies,
            work: work.clone(),
            ended: CancellationToken::new(),
            expects_replies: true,
        }
    }

    /// Expects no replies: the burst has ended once NATS has taken it.
    pub(crate) fn without_replies(mut self) -> Self {
        self.expects_replies = false;
        self
    }

    /// Returns a token that is canceled once everything was sent and replied to.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Sends the requests, and waits for the replies.
    pub(crate) async fn send(mut self, requests: usize, timeout: Duration) -> BurstOutcome {
        let _ended = self.ended.clone().drop_guard();
        let mut headers = HeaderMap::new();
        headers.insert("Micro-Timeout", timeout.as_millis().to_string());
        let begun = Instant::now();
        let (client, inbox, work) = (self.client.clone(), self.inbox.clone(), self.work.clone());
        let sending = tokio::spawn(async move {
            for number in 0..requests {
                let request = HelloRequest { name: work.stamp() };
                let reply = format!("{inbox}.{number}");
                let payload = request.encode_to_vec().into();
                let sent =
                    client.publish_with_reply_and_headers(METHOD, reply, headers.clone(), payload);
                sent.await.unwrap();
                if number % FLUSH_EVERY == 0 {
                    client.flush().await.unwrap();
                }
            }
            client.flush().await.unwrap();
        });
        if !self.expects_replies {
            sending.await.unwrap();
            let took = begun.elapsed();
            return BurstOutcome { replies: 0, took };
        }
        let (mut replies, mut took) = (0, Duration::ZERO);
        let mut sending = sending.fuse();
        while replies < requests {
            tokio::select! {
                biased;
                reply = self.replies.next() => {
                    reply.unwrap();
                    replies += 1;
                    took = begun.elapsed();
                }
                // sleep: nothing tells that no reply will come.
                () = tokio::time::sleep(SILENCE) => {
                    if (&mut sending).now_or_never().is_some() {
                        break;
                    }
                }
            }
        }
        BurstOutcome { replies, took }
    }
}
