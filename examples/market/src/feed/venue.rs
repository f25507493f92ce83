//! Reads the events of a venue, and reconnects for as long as it takes.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::Result;
use crate::exchange::protocol::{ExchangeMessage, Subscribe};
use crate::feed::event::FeedEvent;
use crate::feed::settings::FeedSettings;

/// Delay before the first reconnect; it doubles with each failure.
const INITIAL_BACKOFF: Duration = Duration::from_millis(200);
/// Maximum delay before a reconnect.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// Time without a message after which a ping is sent, and after a second one the connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Iterator over the events of one venue.
pub(super) struct VenueReader {
    settings: FeedSettings,
    socket: Option<Socket>,
    backoff: Duration,
    last_number: u64,
}

impl VenueReader {
    pub(super) fn new(settings: FeedSettings) -> Self {
        Self {
            last_number: settings.after,
            settings,
            socket: None,
            backoff: INITIAL_BACKOFF,
        }
    }

    /// Returns the next event. Reconnects with growing delays until there is one.
    pub(super) async fn next<E: FeedEvent>(&mut self) -> E {
        loop {
            match self.try_next::<E>().await {
                Ok(event) => {
                    self.backoff = INITIAL_BACKOFF;
                    self.last_number = event.number();
                    return event;
                }
                Err(error) => {
                    let url = &self.settings.url;
                    tracing::warn!(%error, url, backoff = ?self.backoff, "lost the connection to the venue; reconnects");
                    self.socket = None;
                    tokio::time::sleep(self.backoff).await;
                    self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
                }
            }
        }
    }

    async fn try_next<E: FeedEvent>(&mut self) -> Result<E> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            None => {
                let socket = self.connect(E::CHANNEL).await?;
                self.socket.insert(socket)
            }
        };
        let mut is_pinged = false;
        loop {
            let message = match timeout(IDLE_TIMEOUT, socket.next()).await {
                Ok(message) => message.ok_or("the venue has closed the connection")??,
                Err(_) if is_pinged => return Err("the venue is silent".into()),
                Err(_) => {
                    is_pinged = true;
                    socket.send(Message::Ping(Default::default())).await?;
                    continue;
                }
            };
            is_pinged = false;
            let Message::Text(text) = message else {
                continue;
            };
            let message: ExchangeMessage = serde_json::from_str(&text)?;
            if let ExchangeMessage::Error { message } = message {
                return Err(message.into());
            }
            if let Some(event) = E::from_message(&message, &self.settings.venue) {
                return Ok(event);
            }
        }
    }

    async fn connect(&self, channel: &str) -> Result<Socket> {
        let connecting = tokio_tungstenite::connect_async(&self.settings.url);
        let (mut socket, _) = timeout(IDLE_TIMEOUT, connecting).await??;
        let subscribe = Subscribe {
            r#type: "subscribe".to_owned(),
            product_ids: self.settings.symbols.clone(),
            channels: vec![channel.to_owned()],
            after: self.settings.is_simulated.then_some(self.last_number),
        };
        let subscribe = serde_json::to_string(&subscribe)?;
        socket.send(Message::text(subscribe)).await?;
        tracing::info!(url = self.settings.url, channel, "subscribed to the venue");
        Ok(socket)
    }
}
