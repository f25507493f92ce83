//! `Peer`: a hostile client of NATS, on a thread of its own.

use std::pin::Pin;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use micro_testkit::NatsServer;
use tokio_util::sync::CancellationToken;

/// Messages and bytes a second of a peer that does not send as fast as it can.
const RATE: (f64, f64) = (10_000.0, 50e6);

/// What a peer does until its time is over.
pub(crate) type Attack = fn(&mut Attacker) -> Pin<Box<dyn Future<Output = ()> + '_>>;

/// A thread that attacks.
pub(crate) struct Peer {
    thread: JoinHandle<u64>,
    ended: CancellationToken,
}

/// How fast a peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// 10,000 messages and 50 MB a second at most.
    Moderate,
    /// As fast as one core sends.
    FlatOut,
}

/// The peer's side of an attack.
pub(crate) struct Attacker {
    pub(crate) client: Client,
    pub(crate) url: String,
    pace: Pace,
    begun: Instant,
    until: Instant,
    sent: u64,
    bytes: u64,
}

impl Peer {
    /// Begins an attack that lasts so long.
    pub(crate) fn start(nats: &NatsServer, attack: Attack, pace: Pace, time: Duration) -> Self {
        let ended = CancellationToken::new();
        let (url, guard) = (nats.url(), ended.clone().drop_guard());
        let thread = thread::spawn(move || {
            let _ended = guard;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let client = async_nats::connect(&url).await.unwrap();
                let begun = Instant::now();
                let mut attacker = Attacker {
                    client,
                    url,
                    pace,
                    begun,
                    until: begun + time,
                    sent: 0,
                    bytes: 0,
                };
                attack(&mut attacker).await;
                attacker.sent
            })
        });
        Self { thread, ended }
    }

    /// Returns a token that is canceled once the attack is over.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Returns the number of messages that it sent.
    pub(crate) fn join(self) -> u64 {
        self.thread.join().unwrap()
    }
}

impl Attacker {
    /// Returns whether the attack goes on.
    pub(crate) fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// Waits for the end of the attack.
    pub(crate) async fn rest(&self) {
        tokio::time::sleep_until(self.until.into()).await;
    }

    /// Number of messages that were sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends a request to whose reply subject nothing listens.
    pub(crate) async fn request(&mut self, subject: &str, headers: HeaderMap, payload: Bytes) {
        let reply = format!("_INBOX.attack.{}", self.sent);
        self.request_from(subject, reply, headers, payload).await;
    }

    /// Sends a request with this reply subject.
    pub(crate) async fn request_from(
        &mut self,
        subject: &str,
        reply: String,
        headers: HeaderMap,
        payload: Bytes,
    ) {
        let lens = headers.iter().flat_map(|(name, values)| {
            let name = name.to_string().len();
            values
                .iter()
                .map(move |value| name + value.as_str().len() + 4)
        });
        let len = lens.sum::<usize>() + payload.len();
        let subject = subject.to_owned();
        let sending = self
            .client
            .publish_with_reply_and_headers(subject, reply, headers, payload);
        sending.await.unwrap();
        self.count(len).await;
    }

    /// Counts a message of so many bytes that was sent, and waits where more would be too fast. What waits in the
    /// client is passed on now and then.
    pub(crate) async fn count(&mut self, len: usize) {
        self.sent += 1;
        self.bytes += len as u64;
        if self.pace == Pace::Moderate {
            let (messages, bytes) = RATE;
            let seconds = (self.sent as f64 / messages).max(self.bytes as f64 / bytes);
            let due = self.begun + Duration::from_secs_f64(seconds);
            if due > Instant::now() + Duration::from_millis(1) {
                // sleep: the rate of the load.
                tokio::time::sleep_until(due.into()).await;
            }
        } else if self.sent.is_multiple_of(64) {
            tokio::task::yield_now().await;
        }
    }
}

/// Makes headers.
pub(crate) fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}
