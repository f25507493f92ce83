//! The server process: serves until whoever started it closes standard input.

use micro_runtime::Bus;
use tokio::io::AsyncReadExt as _;

use crate::Result;
use crate::arguments::Place;
use crate::stack::hand::Handling;
use crate::stack::{Stack, events, hand, micro, tonic};

/// Serves, and says `ready` with the address at which clients find it.
pub(crate) async fn serve(place: &Place) -> Result<()> {
    match place.stack {
        Stack::Micro => {
            let bus = Bus::connect(&place.url).await?;
            let _server = micro::serve_on(&bus).await?;
            let _reader = events::read(&bus, &place.url).await?;
            let _more = micro::serve_more(&bus, place.more_methods).await?;
            ready(&place.url).await
        }
        Stack::AsyncNats => {
            hand::serve(&place.url, Handling::InPlace, place.more_methods).await?;
            ready(&place.url).await
        }
        Stack::AsyncNatsSpawned => {
            hand::serve(&place.url, Handling::Spawned, place.more_methods).await?;
            ready(&place.url).await
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
