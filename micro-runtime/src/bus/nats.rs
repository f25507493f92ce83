//! The carrier over a NATS connection: connecting, publishing, and the events of the connection that are not
//! messages.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_nats::{Client, ClientError, ConnectOptions, Event, ServerError, Statistics, Subject};
use tokio::sync::mpsc;

use crate::bus::connect_error::not_connected;
use crate::bus::mux::Mux;
use crate::bus::outgoing::{Outgoing, PublishError};
use crate::bus::refusal_queue::{ConnectionReport, ReportSender, report_queue};
use crate::bus::server_urls::ServerUrls;
use crate::error::{Error, ErrorKind};
use crate::log_limit::LogLimit;
use crate::observe;
use crate::printable::Printable;
use crate::status::{Reason, Status};
use crate::subject::raw_flaw;
use crate::wire::subject;
use crate::wire::subject::INBOX;

/// Interval of PINGs to the server. async-nats drops the connection when a third is due while two are
/// without PONG, so a dead server is noticed after 45 s at the latest.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Delay before the second attempt to reconnect; the first follows at once, later ones double it.
const INITIAL_RECONNECT_DELAY: Duration = Duration::from_millis(20);
/// Upper bound of the delay between two attempts to reconnect.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(4);

/// Events of one connection: lost, restored, refusals.
///
/// async-nats reports these only through a callback that is fixed before connecting, hence before there is an
/// inbox; [`attach`](Self::attach) supplies the calls to fail afterwards.
pub(crate) struct ConnectionEvents {
    /// Servers of the URL, without a login.
    servers: String,
    mux: OnceLock<Weak<Mux>>,
    statistics: OnceLock<Arc<Statistics>>,
    was_connected: AtomicBool,
    /// Number of lost connections whose calls were ended.
    losses: AtomicU64,
    connected: OnceLock<Box<dyn Fn() + Send + Sync>>,
    reports: ReportSender,
    /// Whether the last bus of the connection is dropped, so that its end is none that the program need know of.
    is_released: AtomicBool,
    failed_attempts: LogLimit,
    lost_messages: LogLimit,
}

impl ConnectionEvents {
    /// Returns the events of a connection, and the queue of its refusals for the task that reads them.
    pub(super) fn new(servers: &ServerUrls) -> (Self, mpsc::Receiver<ConnectionReport>) {
        let (reports, received) = report_queue();
        let events = Self {
            servers: servers.to_string(),
            mux: OnceLock::new(),
            statistics: OnceLock::new(),
            losses: AtomicU64::new(0),
            was_connected: AtomicBool::new(false),
            connected: OnceLock::new(),
            reports,
            is_released: AtomicBool::new(false),
            failed_attempts: LogLimit::default(),
            lost_messages: LogLimit::default(),
        };
        (events, received)
    }

    /// Sets the client, and the reply slots that fail when its connection is lost. They are held weakly: the connection
    /// owns them, and its callback must not keep it alive.
    pub(crate) fn attach(&self, client: &Client, mux: &Arc<Mux>) {
        let _ = self.statistics.set(client.statistics());
        let _ = self.mux.set(Arc::downgrade(mux));
    }

    /// Ends all calls in flight, unless that was done for so many lost connections.
    pub(crate) fn end_calls(&self, losses: u64) {
        if self.losses.fetch_max(losses, Ordering::Relaxed) < losses {
            self.end_calls_now();
        }
    }

    fn end_calls_now(&self) {
        if let Some(mux) = self.mux.get().and_then(Weak::upgrade) {
            mux.fail_all(&lost_connection());
        }
    }

    /// Ends the calls of the connection before this one, if the event of its loss was dropped.
    fn end_earlier_calls(&self) {
        let Some(statistics) = self.statistics.get() else {
            return;
        };
        let losses = statistics
            .connects
            .load(Ordering::Relaxed)
            .saturating_sub(1);
        if self.losses.swap(losses, Ordering::Relaxed) < losses {
            self.end_calls_now();
        }
    }

    /// Sets a function that runs once the connection is made, and after each reconnect, in async-nats's task: it must
    /// not wait.
    pub(crate) fn on_connected(&self, function: impl Fn() + Send + Sync + 'static) {
        let _ = self.connected.set(Box::new(function));
    }

    /// Notes that the last bus of the connection is dropped, and that it closes for this reason.
    pub(crate) fn release(&self) {
        self.is_released.store(true, Ordering::Relaxed);
    }

    /// Handles one event in async-nats's task, so it must not wait. Refusals are only queued: async-nats drops
    /// events while 128 wait.
    ///
    /// A lost connection fails all calls in flight at once: until async-nats has reconnected, their replies
    /// are published to an inbox without a subscription, and most of them never arrive.
    fn on_event(&self, event: &Event) {
        let report = match event {
            Event::ServerError(ServerError::Other(text)) => ConnectionReport::Error(text.clone()),
            Event::Connected => ConnectionReport::Connected,
            _ => ConnectionReport::Other,
        };
        let _ = self.reports.try_send(report);
        match event {
            Event::ServerError(ServerError::Other(_)) => {}
            Event::Disconnected => {
                tracing::warn!(servers = self.servers, "the connection to NATS is lost");
                self.losses.fetch_add(1, Ordering::Relaxed);
                self.end_calls_now();
            }
            Event::Closed => {
                match self.is_released.load(Ordering::Relaxed) {
                    true => tracing::debug!("the connection to NATS is closed"),
                    false => tracing::warn!("the connection to NATS is closed"),
                }
                if let Some(mux) = self.mux.get().and_then(Weak::upgrade) {
                    mux.close(&Reason::Disconnected.status("the connection to NATS is closed"));
                }
            }
            Event::Connected => {
                self.end_earlier_calls();
                if self.was_connected.swap(true, Ordering::Relaxed) {
                    tracing::info!("the connection to NATS is back");
                    observe::reconnected();
                }
                if let Some(function) = self.connected.get() {
                    function();
                }
            }
            Event::SlowConsumer(id) => {
                // One for each message that is lost.
                if let Some(count) = self.lost_messages.due() {
                    tracing::warn!(subscription = id, count, "a slow consumer lost a message");
                }
            }
            // One for each attempt to connect that fails.
            Event::ClientError(ClientError::Other(text)) => {
                if let Some(count) = self.failed_attempts.due() {
                    let servers = &self.servers;
                    tracing::warn!(
                        servers,
                        count,
                        "NATS cannot be reached: {}",
                        Printable(text)
                    );
                }
            }
            event => tracing::warn!("NATS: {}", Printable(event)),
        }
    }
}

/// Returns the failure of calls and streams in flight when the connection is lost.
pub(super) fn lost_connection() -> Status {
    Reason::Disconnected.status("the connection to NATS was lost while the call was in flight")
}

/// Connects with the ping interval, reconnect delay and event callback of every bus.
pub(super) async fn connect(
    options: ConnectOptions,
    servers: &ServerUrls,
    events: Arc<ConnectionEvents>,
) -> Result<Client, Error> {
    servers
        .log_in(options)
        .await?
        .ping_interval(PING_INTERVAL)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            events.on_event(&event);
            std::future::ready(())
        })
        .connect(servers.addresses())
        .await
        .map_err(|error| not_connected(error, servers))
}

/// Returns a new inbox under the prefix of this client, which is the user's own if one is configured.
///
/// # Errors
///
/// [`ErrorKind::Configuration`] if the prefix cannot begin a subject, as the pattern of a permission cannot.
pub(crate) fn new_inbox(client: &Client) -> Result<Subject, Error> {
    let inbox = client.new_inbox();
    let prefix = inbox.rsplit_once('.').map_or(INBOX, |(prefix, _)| prefix);
    match raw_flaw(prefix, false) {
        None => Ok(subject::new_inbox(prefix)),
        Some(flaw) => Err(Error::new(
            ErrorKind::Configuration,
            format!(
                "the inbox prefix `{prefix}` cannot begin a subject: {flaw}; set `NATS_INBOX_PREFIX` or \
                 `ConnectOptions::custom_inbox_prefix` to its first tokens, as `_INBOX.client` where `_INBOX.client.>` \
                 is allowed"
            ),
        )),
    }
}

/// Hands a message to async-nats's connection task; waits while its queue of commands is full.
pub(crate) async fn publish(client: &Client, outgoing: Outgoing) -> Result<(), PublishError> {
    let Outgoing {
        subject,
        reply,
        headers,
        payload,
    } = outgoing;
    let published = match (reply, headers) {
        (None, None) => client.publish(subject, payload).await,
        (None, Some(headers)) => client.publish_with_headers(subject, headers, payload).await,
        (Some(reply), None) => client.publish_with_reply(subject, reply, payload).await,
        (Some(reply), Some(headers)) => {
            client
                .publish_with_reply_and_headers(subject, reply, headers, payload)
                .await
        }
    };
    published.map_err(|error| not_published(client, error))
}

/// Converts an error of async-nats, which reports a message that is too long without the limit.
pub(super) fn not_published(client: &Client, error: async_nats::PublishError) -> PublishError {
    match error.kind() {
        async_nats::PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge {
            max: client.max_payload(),
        },
        _ => PublishError::Failed(error),
    }
}

/// Returns the delay before an attempt to reconnect: none at first, then doubled from 20 ms to 4 s.
///
/// Each delay is reduced at random by up to a half, so that a thousand clients of a server that restarts do
/// not reconnect at one moment.
fn reconnect_delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(attempts - 2).unwrap_or(u32::MAX).min(16);
    let delay = (INITIAL_RECONNECT_DELAY * 2u32.pow(doublings)).min(MAX_RECONNECT_DELAY);
    delay.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnects_spread_and_never_exceed_four_seconds() {
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        for attempts in 2..1000 {
            let delay = reconnect_delay(attempts);
            assert!(
                delay >= INITIAL_RECONNECT_DELAY / 2,
                "{attempts}: {delay:?}"
            );
            assert!(delay <= MAX_RECONNECT_DELAY, "{attempts}: {delay:?}");
        }
    }
}
