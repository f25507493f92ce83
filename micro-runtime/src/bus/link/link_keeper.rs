//! `LinkKeeper`: makes the links of one bus, the first and each further one when it is lost.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectError, ServerAddr};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::bus::connect_error::not_connected;
use crate::bus::connect_options::ConnectOptions;
use crate::bus::connection_state::ConnectionState;
use crate::bus::link::attempt_log::AttemptLog;
use crate::bus::link::backoff::{ConnectFailure, ReconnectBackoff};
use crate::bus::link::close_links::CloseLinks;
use crate::bus::link::connect::{connect_once, failure};
use crate::bus::link::current_link::CurrentLink;
use crate::bus::link::cut_detector::CutDetector;
use crate::bus::link::failed_round::FailedRound;
use crate::bus::link::handover::hand_over;
use crate::bus::link::link::{Link, LinkParts};
use crate::bus::link::link_events::LinkEvents;
use crate::bus::link::link_logs::LinkLogs;
use crate::bus::link::server_pool::ServerPool;
use crate::bus::mux::Mux;
use crate::bus::refusal_queue::ConnectionReport;
use crate::bus::refusals::Refusals;
use crate::bus::runtime::is_runtime_ending;
use crate::bus::served_services::ServedServices;
use crate::bus::server_urls::ServerUrls;
use crate::bus::server_version;
use crate::error::{Error, ErrorKind};
use crate::status::{Reason, Status};

/// Maximum time of the first attempts to connect anew: a host that does not reply must not hold up the others.
const FIRST_RECONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time from which a connection has lasted: another one that is lost sooner begins with a delay, as where a server ends
/// each connection at once.
const MIN_LASTING: Duration = Duration::from_secs(5);

/// Makes the links of one bus.
pub(in crate::bus) struct LinkKeeper {
    options: ConnectOptions,
    servers: ServerUrls,
    pool: ServerPool,
    backoff: ReconnectBackoff,
    mux: Arc<Mux>,
    refusals: Arc<Refusals>,
    /// Shown in the name of each link.
    services: Arc<ServedServices>,
    /// Server of the last link.
    last: Option<ServerAddr>,
    /// The link that everything has moved away from last: its pulses may still arrive.
    left: Option<Arc<Link>>,
    /// Number of links that were begun.
    links: u64,
    /// Of attempts to connect, by cause.
    failed_attempts: AttemptLog,
    /// Tells losses at messages that async-nats cannot parse.
    cuts: CutDetector,
    logs: Arc<LinkLogs>,
}

/// A client that is connected, and becomes a link.
struct Connected {
    client: Client,
    events: Arc<LinkEvents>,
    reports: mpsc::Receiver<ConnectionReport>,
}

impl LinkKeeper {
    pub(in crate::bus) fn new(
        options: ConnectOptions,
        servers: ServerUrls,
        mux: Arc<Mux>,
        refusals: Arc<Refusals>,
        services: Arc<ServedServices>,
    ) -> Self {
        Self {
            pool: ServerPool::new(servers.addresses(), options.discovers_servers),
            options,
            servers,
            backoff: ReconnectBackoff::default(),
            mux,
            refusals,
            services,
            last: None,
            left: None,
            links: 0,
            failed_attempts: AttemptLog::default(),
            cuts: CutDetector::default(),
            logs: Arc::default(),
        }
    }

    /// Makes the first link; waits for a server as long as the options say.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] if no server takes the connection, or it is too old;
    /// [`ErrorKind::Configuration`] for a file of the options that cannot be read.
    pub(in crate::bus) async fn connect_first(&mut self) -> Result<Arc<Link>, Error> {
        let until = Instant::now().checked_add(self.options.first_wait);
        loop {
            let connected = self.round(self.options.connection_timeout, true, None);
            let failed = match connected.await {
                Ok(connected) => match self.open(connected).await {
                    Ok(link) => {
                        self.backoff.reset();
                        return Ok(link);
                    }
                    Err(error) => FailedRound::refused(error),
                },
                Err(failed) => failed,
            };
            let max = self.options.max_reconnect_delay;
            let delay = self
                .backoff
                .next_delay(failed.failures.iter().copied(), max);
            let is_over = until.is_some_and(|until| Instant::now() + delay > until);
            let can_come = failed
                .failures
                .iter()
                .any(|one| *one != ConnectFailure::Login);
            if is_over || !can_come {
                return Err(failed.error);
            }
            self.log_failure(&failed.error);
            tokio::time::sleep(delay).await;
        }
    }

    /// Keeps `current` connected until this is aborted. Everything is closed when it ends, also if it never began.
    pub(in crate::bus) fn run(
        mut self,
        current: Arc<CurrentLink>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let close = CloseLinks {
            current: Arc::clone(&current),
            mux: Arc::clone(&self.mux),
            refusals: Arc::clone(&self.refusals),
        };
        async move {
            let _close = close;
            while let Some(link) = current.get() {
                let connected = Instant::now();
                let Some(lost) = self.leave(link, &current).await else {
                    continue;
                };
                let loss = lost.loss();
                // One that is silent is there still.
                lost.end();
                drop(lost);
                // In this order: `CurrentLink`, "Order".
                current.clear(ConnectionState::Disconnected);
                self.mux.fail_all(&lost_connection());
                if is_runtime_ending().await {
                    return;
                }
                let role = self.options.carries.role_name();
                self.logs.lost(&self.servers, role);
                match connected.elapsed() >= MIN_LASTING {
                    true => self.backoff.reset(),
                    // A server that ends each connection at once is not asked without a pause.
                    false => self.pause([ConnectFailure::Refused]).await,
                }
                let (link, is_at_once) = self.connect_again().await;
                if loss.is_suspect() {
                    let cuts = self
                        .cuts
                        .note(&loss, &link.client().server_info(), is_at_once);
                    self.mux.counts().suspect_cut(cuts, role);
                }
                current.set(link);
                self.refusals.reconnected();
                self.logs.back(role);
            }
        }
    }

    /// Waits until the link is lost, or its nats-server says that it is about to stop; then everything moves to another
    /// server, if there is one before this one cuts the link off. Returns the link that is lost; `None` if everything
    /// has moved.
    async fn leave(&mut self, link: Arc<Link>, current: &CurrentLink) -> Option<Arc<Link>> {
        let lost = link.lost().clone();
        if lost
            .run_until_cancelled(link.leaving().cancelled())
            .await
            .is_none()
        {
            return Some(link);
        }
        let servers = &self.servers;
        tracing::info!(%servers, "a nats-server is about to stop: its connection is to move to another one");
        let mux = Arc::clone(&self.mux);
        let mut is_away = false;
        let moved = {
            let mut moving = pin!(self.move_to_another(&link, current));
            tokio::select! {
                moved = &mut moving => moved,
                () = lost.cancelled() => {
                    // The server is gone before everything has moved: calls fail until the other one takes over.
                    is_away = current.lose(&link);
                    if is_away {
                        mux.fail_all(&lost_connection());
                    }
                    moving.await
                }
            }
        };
        let Some(is_whole) = moved else {
            lost.cancelled().await;
            return Some(link);
        };
        tracing::info!("the connection has moved to another nats-server");
        self.left = Some(link);
        if !is_whole && !is_away {
            mux.fail_all(&lost_connection());
        }
        self.backoff.reset();
        self.refusals.reconnected();
        None
    }

    /// Moves everything to another server; `None` once the link is lost. Returns whether NATS has everything that was
    /// sent before.
    async fn move_to_another(&mut self, link: &Arc<Link>, current: &CurrentLink) -> Option<bool> {
        let timeout = self.options.connection_timeout;
        loop {
            let lost = link.lost().clone();
            let connecting = self.round(timeout, false, Some(link));
            match lost.run_until_cancelled(connecting).await? {
                Ok(connected) => {
                    let parts = self.parts(connected, Some(link));
                    match hand_over(link, parts, current).await {
                        Ok(is_whole) => return Some(is_whole),
                        Err(error) => self.log_failure(&error),
                    }
                }
                Err(failed) => self.log_failure(&failed.error),
            }
            lost.run_until_cancelled(self.pause([ConnectFailure::Refused]))
                .await?;
        }
    }

    /// Makes another link, and subscribes to everything that is open. Tries for ever. Returns whether the first round
    /// of attempts has succeeded as well.
    async fn connect_again(&mut self) -> (Arc<Link>, bool) {
        let mut timeout = FIRST_RECONNECT_TIMEOUT.min(self.options.connection_timeout);
        let mut is_at_once = true;
        loop {
            match self.round(timeout, false, None).await {
                Ok(connected) => match self.subscribe_again(connected).await {
                    Ok(link) => return (link, is_at_once),
                    Err(error) => {
                        self.log_failure(&error);
                        self.pause([ConnectFailure::Refused]).await;
                    }
                },
                Err(failed) => {
                    is_at_once = false;
                    self.log_failure(&failed.error);
                    self.pause(failed.failures).await;
                }
            }
            timeout = (timeout * 2).min(self.options.connection_timeout);
        }
    }

    /// Waits before the next round.
    async fn pause(&mut self, failures: impl IntoIterator<Item = ConnectFailure>) {
        let max = self.options.max_reconnect_delay;
        tokio::time::sleep(self.backoff.next_delay(failures, max)).await;
    }

    /// Makes a link, and subscribes to everything that is open.
    async fn subscribe_again(&mut self, connected: Connected) -> Result<Arc<Link>, Error> {
        let link = self.open(connected).await?;
        self.refusals.begin_link();
        let open = self.refusals.subscriptions();
        let new = &link;
        let subscribe = |subject, queue: Option<Box<str>>| async move {
            new.subscribe(subject, queue.as_deref()).await
        };
        open.make_again(link.number(), subscribe).await?;
        Ok(link)
    }

    /// Tries every server once, and returns the first that takes the connection; not the one that `leaving` is
    /// connected to.
    async fn round(
        &mut self,
        timeout: Duration,
        is_first: bool,
        leaving: Option<&Link>,
    ) -> Result<Connected, FailedRound> {
        let mut failures = Vec::new();
        let mut first: Option<(ConnectFailure, Error)> = None;
        for server in self.pool.round(self.last.as_ref()) {
            let attempt = self.attempt(&server, timeout, is_first, leaving);
            let (kind, error) = match attempt.await {
                Ok(connected) => {
                    self.last = Some(server);
                    return Ok(connected);
                }
                Err(failed) => failed,
            };
            self.pool.note_failed(&server);
            failures.push(kind);
            // Of equal ones the last, as the text of `Bus::connect` states.
            if first.as_ref().is_none_or(|(known, _)| kind <= *known) {
                first = Some((kind, error));
            }
        }
        let no_server = || Error::new(ErrorKind::Connect, "there is no server to connect to");
        Err(FailedRound {
            error: first.map_or_else(no_server, |(_, error)| error),
            failures,
        })
    }

    /// Connects to one server.
    async fn attempt(
        &mut self,
        server: &ServerAddr,
        timeout: Duration,
        is_first: bool,
        leaving: Option<&Link>,
    ) -> Result<Connected, (ConnectFailure, Error)> {
        let options = self.options.of_one_connection(&self.services).await;
        let options = options.map_err(|error| (ConnectFailure::Login, error))?;
        let (events, reports) = LinkEvents::new(self.mux.counts(), &self.logs);
        let events = Arc::new(events);
        let client = connect_once(options, server, timeout, &events).await;
        let client = client.map_err(|error| self.refused(error))?;
        let info = client.server_info();
        let is_same = |link: &Link| link.client().server_info().server_id == info.server_id;
        if leaving.is_some_and(is_same) {
            let text = "the nats-server is about to stop, and no other one was reached";
            let error = Error::new(ErrorKind::Connect, text);
            return Err((ConnectFailure::Refused, error));
        }
        let announced = info.connect_urls;
        self.pool.note_connected(server, &announced);
        if let Err(error) = server_version::check(&client) {
            match is_first {
                true => return Err((ConnectFailure::Login, error)),
                // In the middle of an upgrade: without the connection nothing would work.
                false => self.logs.old_server(&error),
            }
        }
        Ok(Connected {
            client,
            events,
            reports,
        })
    }

    async fn open(&mut self, connected: Connected) -> Result<Arc<Link>, Error> {
        self.parts(connected, None).open().await.map(Arc::new)
    }

    fn parts<'a>(&'a mut self, connected: Connected, before: Option<&'a Link>) -> LinkParts<'a> {
        let Connected {
            client,
            events,
            reports,
        } = connected;
        self.links += 1;
        LinkParts {
            number: self.links,
            client,
            mux: &self.mux,
            refusals: &self.refusals,
            limits: Some(self.options.silence_limits()),
            events: Some((events, reports)),
            before,
        }
    }

    fn refused(&self, error: ConnectError) -> (ConnectFailure, Error) {
        let login = self.options.login.as_ref();
        (failure(&error), not_connected(error, &self.servers, login))
    }

    fn log_failure(&mut self, error: &Error) {
        self.failed_attempts
            .failed(error, self.options.carries.role_name());
    }
}

/// Returns the failure of calls and streams in flight when the connection is lost.
pub(in crate::bus) fn lost_connection() -> Status {
    Reason::Disconnected.status("the connection to NATS was lost while the call was in flight")
}
