//! The server process: serves until its standard input is closed.

use micro_runtime::Bus;
use tokio::io::AsyncReadExt as _;

use crate::arguments::Target;
use crate::contender::Stack;
use crate::failure::Result;
use crate::stack::hand::HandlerMode;
use crate::stack::{events, hand, micro, tonic};

/// Serves, and prints `ready` and the address for clients.
pub(crate) async fn serve(target: &Target) -> Result<()> {
    match target.stack {
        Stack::Micro => {
            let bus = Bus::connect(&target.url).await?;
            let _server = micro::serve_on(&bus).await?;
            let _reader = events::read(&bus, &target.url).await?;
            let _more = micro::serve_more(&bus, target.more_methods).await?;
            ready(&target.url).await
        }
        Stack::AsyncNats => {
            hand::serve(&target.url, HandlerMode::Inline, target.more_methods).await?;
            ready(&target.url).await
        }
        Stack::AsyncNatsSpawned => {
            hand::serve(&target.url, HandlerMode::Spawned, target.more_methods).await?;
            ready(&target.url).await
        }
        Stack::Tonic => {
            let address = tonic::serve().await?;
            ready(&address.to_string()).await
        }
    }
}

async fn ready(address: &str) -> Result<()> {
    println!("ready {address}");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}
