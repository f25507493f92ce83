//! The simulated exchange: a WebSocket on loopback that speaks as a real venue does.

pub mod language;
pub mod simulation;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::Result;
use crate::exchange::language::{Match, Subscribe, Ticker, Told};
use crate::exchange::simulation::{Happening, Kind, Simulation};

/// How often what is due is sent.
const TURN: Duration = Duration::from_millis(5);
/// What is sent at most before others have their turn.
const AT_A_TIME: u64 = 4_096;

/// What the simulated exchange is asked to be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The same seed is the same market.
    pub seed: u64,
    /// Events a second to each reader; the market's own pace is 100.
    pub rate: u32,
    /// Where to listen; 0 for a free port.
    pub port: u16,
}

/// An exchange that listens.
#[derive(Debug)]
pub struct Exchange {
    listener: TcpListener,
    settings: Settings,
}

impl Exchange {
    /// Listens on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub async fn bind(settings: Settings) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], settings.port));
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            settings,
        })
    }

    /// `ws://127.0.0.1:<port>`.
    ///
    /// # Errors
    ///
    /// If the operating system does not say where it listens.
    pub fn url(&self) -> Result<String> {
        Ok(format!("ws://{}", self.listener.local_addr()?))
    }

    /// Serves until it is dropped.
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

/// One reader: it subscribes, then is told what happens until it goes.
async fn serve(socket: TcpStream, settings: Settings) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async(socket).await?;
    let Some(wanted) = subscription(&mut socket).await? else {
        let message = "send a subscribe message with channel matches or ticker first".to_owned();
        let told = serde_json::to_string(&Told::Error { message })?;
        socket.send(Message::text(told)).await?;
        return Ok(socket.close(None).await?);
    };
    let kind = match wanted.channels.iter().any(|channel| channel == "ticker") {
        true => Kind::Fx,
        false => Kind::Crypto,
    };
    let after = wanted.after.unwrap_or_default();
    let market = Simulation::new(kind, settings.seed)
        .skip_while(|happening| happening.number <= after)
        .filter(|happening| {
            let wanted = &wanted.product_ids;
            wanted.is_empty() || wanted.iter().any(|symbol| symbol == happening.symbol)
        });
    tell(socket, kind, market, settings.rate).await
}

async fn subscription(socket: &mut WebSocketStream<TcpStream>) -> Result<Option<Subscribe>> {
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message? {
            let wanted = serde_json::from_str::<Subscribe>(&text).ok();
            return Ok(wanted.filter(|wanted| wanted.r#type == "subscribe"));
        }
    }
    Ok(None)
}

/// Sends what is due, at the pace of `rate` events a second; a reader that is slow slows it down.
async fn tell(
    mut socket: WebSocketStream<TcpStream>,
    kind: Kind,
    mut market: impl Iterator<Item = Happening>,
    rate: u32,
) -> Result<()> {
    let mut turns = tokio::time::interval(TURN);
    let started = Instant::now();
    let mut told = 0;
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            heard = socket.next() => match heard {
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                heard => {
                    heard.transpose()?;
                    continue;
                }
            },
        }
        let due = (started.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        let due = due.min(told + AT_A_TIME);
        while told < due {
            let Some(happening) = market.next() else {
                return Ok(());
            };
            let said = match kind {
                Kind::Crypto => Told::Match(Match::of(&happening)),
                Kind::Fx => Told::Ticker(Ticker::of(&happening)),
            };
            socket
                .feed(Message::text(serde_json::to_string(&said)?))
                .await?;
            told += 1;
        }
        socket.flush().await?;
    }
}
