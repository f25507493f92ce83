//! A venue as its reader knows it: an endless row of events, whatever becomes of the connection.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::Result;
use crate::exchange::language::{Subscribe, Told};
use crate::feed::{Fed, Settings};

const FIRST_REST: Duration = Duration::from_millis(200);
const LAST_REST: Duration = Duration::from_secs(10);
/// A venue that is silent for so long is asked whether it lives; twice, and it is given up.
const SILENCE: Duration = Duration::from_secs(15);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) struct Venue {
    settings: Settings,
    socket: Option<Socket>,
    rest: Duration,
    last: u64,
}

impl Venue {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            last: settings.after,
            settings,
            socket: None,
            rest: FIRST_REST,
        }
    }

    /// The next event. Connects again, with growing rests, for as long as it takes.
    pub(super) async fn next<E: Fed>(&mut self) -> E {
        loop {
            match self.try_next::<E>().await {
                Ok(event) => {
                    self.rest = FIRST_REST;
                    self.last = event.number();
                    return event;
                }
                Err(error) => {
                    let url = &self.settings.url;
                    tracing::warn!(%error, url, rest = ?self.rest, "lost the venue; connects again");
                    self.socket = None;
                    tokio::time::sleep(self.rest).await;
                    self.rest = (self.rest * 2).min(LAST_REST);
                }
            }
        }
    }

    async fn try_next<E: Fed>(&mut self) -> Result<E> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            None => {
                let socket = self.connect(E::CHANNEL).await?;
                self.socket.insert(socket)
            }
        };
        let mut is_asked = false;
        loop {
            let message = match timeout(SILENCE, socket.next()).await {
                Ok(message) => message.ok_or("the venue has closed the connection")??,
                Err(_) if is_asked => return Err("the venue is silent".into()),
                Err(_) => {
                    is_asked = true;
                    socket.send(Message::Ping(Default::default())).await?;
                    continue;
                }
            };
            is_asked = false;
            let Message::Text(text) = message else {
                continue;
            };
            let told: Told = serde_json::from_str(&text)?;
            if let Told::Error { message } = told {
                return Err(message.into());
            }
            if let Some(event) = E::from_told(&told, &self.settings.venue) {
                return Ok(event);
            }
        }
    }

    async fn connect(&self, channel: &str) -> Result<Socket> {
        let connecting = tokio_tungstenite::connect_async(&self.settings.url);
        let (mut socket, _) = timeout(SILENCE, connecting).await??;
        let wanted = Subscribe {
            r#type: "subscribe".to_owned(),
            product_ids: self.settings.symbols.clone(),
            channels: vec![channel.to_owned()],
            after: self.settings.is_simulated.then_some(self.last),
        };
        let wanted = serde_json::to_string(&wanted)?;
        socket.send(Message::text(wanted)).await?;
        tracing::info!(url = self.settings.url, channel, "reads the venue");
        Ok(socket)
    }
}
