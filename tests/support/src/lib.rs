//! External programs for tests, examples, benchmarks and `xtask`: private nats-servers, pinned Python
//! packages, and child processes that never outlive the test.
//!
//! ```no_run
//! # async fn example() -> Result<(), micro_testkit::Error> {
//! use std::time::Duration;
//! use micro_testkit::{within, NatsServer};
//!
//! let mut server = NatsServer::start().await?; // a free port, killed on drop
//! let secured = NatsServer::builder()
//!     .config(r#"authorization { user: "ada", password: "secret" }"#)
//!     .start()
//!     .await?;
//! println!("{} {}", server.url(), secured.url_as("ada", "secret"));
//!
//! server.kill()?; // SIGKILL
//! within(Duration::from_secs(5), server.restart()).await?; // the same port
//! # Ok(())
//! # }
//! ```
//!
//! A missing program is never a reason to skip a test: it is an error that includes the remedy.

mod binary;
mod child;
mod cluster;
mod deadline;
mod error;
mod install;
mod process;
mod proxy;
mod python;
mod server;
mod setup;
mod valgrind;
mod wheel;

pub use crate::binary::{fetch_nats_server, fetch_nats_server_release, nats_server};
pub use crate::cluster::NatsCluster;
pub use crate::deadline::within;
pub use crate::error::Error;
pub use crate::install::workspace_root;
pub use crate::process::Process;
pub use crate::proxy::{Direction, Proxy};
pub use crate::python::{python, python_packages};
pub use crate::server::{NatsServer, NatsServerBuilder};
pub use crate::valgrind::valgrind;
