//! Serves a simulated market over WebSocket, to any number of readers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::Result;
use crate::exchange::protocol::{ExchangeMessage, Match, Subscribe, Ticker};
use crate::exchange::simulation::{MarketKind, SimulatedEvent, Simulation};

/// Interval at which the events that have become due are sent.
const SEND_INTERVAL: Duration = Duration::from_millis(5);
/// Maximum number of events that one reader gets per interval, so that a fast one does not keep the
/// thread from the others.
const MAX_EVENTS_PER_INTERVAL: u64 = 4_096;

/// Settings of a simulated exchange.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeSettings {
    /// Seed of the market; the same seed gives the same events.
    pub seed: u64,
    /// Events per second to each reader; the market's own rate is 100.
    pub rate: u32,
    /// Port on 127.0.0.1; 0 for a free one.
    pub port: u16,
}

/// A simulated exchange that listens.
#[derive(Debug)]
pub struct Exchange {
    listener: TcpListener,
    settings: ExchangeSettings,
}

impl Exchange {
    /// Listens on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub async fn bind(settings: ExchangeSettings) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], settings.port));
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            settings,
        })
    }

    /// Returns `ws://127.0.0.1:<port>`.
    ///
    /// # Errors
    ///
    /// If the operating system does not report the port.
    pub fn url(&self) -> Result<String> {
        Ok(format!("ws://{}", self.listener.local_addr()?))
    }

    /// Serves until the future is dropped.
    pub async fn run(self) {
        let mut readers = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => if let Ok((socket, _)) = accepted {
                    let settings = self.settings;
                    readers.spawn(async move {
                        if let Err(error) = serve(socket, settings).await {
                            tracing::info!(%error, "a reader of the simulated exchange is gone");
                        }
                    });
                },
                Some(_) = readers.join_next() => {}
            }
        }
    }
}

/// Serves one reader: waits for its subscription, then sends events until it disconnects.
async fn serve(socket: TcpStream, settings: ExchangeSettings) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async(socket).await?;
    let Some(subscription) = receive_subscription(&mut socket).await? else {
        let message = "send a subscribe message with channel matches or ticker first".to_owned();
        let error = serde_json::to_string(&ExchangeMessage::Error { message })?;
        socket.send(Message::text(error)).await?;
        return Ok(socket.close(None).await?);
    };
    let mut channels = subscription.channels.iter();
    let kind = match channels.any(|channel| channel == "ticker") {
        true => MarketKind::Fx,
        false => MarketKind::Crypto,
    };
    let after = subscription.after.unwrap_or_default();
    let events = Simulation::new(kind, settings.seed)
        .skip_while(|event| event.number <= after)
        .filter(|event| {
            let symbols = &subscription.product_ids;
            symbols.is_empty() || symbols.iter().any(|symbol| symbol == event.symbol)
        });
    send_events(socket, kind, events, settings.rate).await
}

async fn receive_subscription(
    socket: &mut WebSocketStream<TcpStream>,
) -> Result<Option<Subscribe>> {
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message? {
            let subscription = serde_json::from_str::<Subscribe>(&text).ok();
            return Ok(subscription.filter(|message| message.r#type == "subscribe"));
        }
    }
    Ok(None)
}

/// Sends `rate` events per second. A slow reader slows this down, and loses nothing.
async fn send_events(
    mut socket: WebSocketStream<TcpStream>,
    kind: MarketKind,
    mut events: impl Iterator<Item = SimulatedEvent>,
    rate: u32,
) -> Result<()> {
    let mut interval = tokio::time::interval(SEND_INTERVAL);
    let started = Instant::now();
    let mut sent = 0;
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            received = socket.next() => match received {
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                received => {
                    received.transpose()?;
                    continue;
                }
            },
        }
        let due = (started.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        let due = due.min(sent + MAX_EVENTS_PER_INTERVAL);
        while sent < due {
            let Some(event) = events.next() else {
                return Ok(());
            };
            let message = match kind {
                MarketKind::Crypto => ExchangeMessage::Match(Match::from_simulated(&event)),
                MarketKind::Fx => ExchangeMessage::Ticker(Ticker::from_simulated(&event)),
            };
            socket
                .feed(Message::text(serde_json::to_string(&message)?))
                .await?;
            sent += 1;
        }
        socket.flush().await?;
    }
}
