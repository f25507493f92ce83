//! Connections apart: what cuts off one of serving, calling and durable consuming leaves the others, and everything
//! that means the whole bus means all of them.

mod attack;
mod flood;
mod life;
mod malformed;
pub(crate) mod raw_client;
mod stops;
mod sustained;
mod system;

use std::time::Duration;

use micro_runtime::{Bus, ConnectOptions};

/// Timeout of a test that takes a few seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// Connects with connections apart, which are `apart/calling`, `apart/serving`, `apart/replying` and
/// `apart/consuming`.
async fn connect(url: impl AsRef<str>) -> Bus {
    let options = ConnectOptions::new().name("apart").separate_connections();
    Bus::connect_with(options, url.as_ref()).await.unwrap()
}
