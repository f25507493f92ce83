//! How a part lives: it says when it is ready, and ends in order when it is asked to.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use micro_runtime::{Bus, Error, EventStream};
use tokio::sync::oneshot;

use crate::Result;

/// The line of a part that others can rely on now.
pub const READY: &str = "ready";

/// A cluster that was just started needs a moment to elect who leads.
const PATIENCE: Duration = Duration::from_secs(20);
const REST: Duration = Duration::from_millis(250);

/// Writes a line to standard output. Whoever no longer reads it is no reason to fail.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Waits until this process is to end: Ctrl-C, SIGTERM, or, if it is `tied` to who started it, the
/// end of its standard input, which comes however that other process ends.
///
/// # Errors
///
/// If the operating system does not let a program wait for its signals.
pub async fn asked_to_end(tied: bool) -> Result<()> {
    let (sender, ended) = oneshot::channel::<()>();
    if tied {
        // A thread of its own, since a runtime that shuts down waits for its own reads.
        std::thread::spawn(move || {
            let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
            drop(sender);
        });
    } else {
        std::mem::forget(sender);
    }
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate())?.recv().await;
        Ok::<(), std::io::Error>(())
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<std::io::Result<()>>();
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        result = terminated => result?,
        _ = ended => {}
    }
    Ok(())
}

/// Connects as NATS_URL says, and sees to the stream.
///
/// # Errors
///
/// If there is no nats-server with JetStream, or its stream differs from `stream`.
pub async fn join(stream: &EventStream) -> Result<Bus> {
    let bus = Bus::from_env().await?;
    declare(&bus, stream).await?;
    Ok(bus)
}

/// Creates or checks the stream, as soon as the servers agree on who leads.
///
/// # Errors
///
/// As [`Bus::declare`], after 20 s.
pub async fn declare(bus: &Bus, stream: &EventStream) -> std::result::Result<(), Error> {
    let declared = async {
        loop {
            match bus.declare(stream).await {
                Err(error) if is_passing(&error) => tokio::time::sleep(REST).await,
                result => return result,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, declared).await {
        Ok(result) => result,
        Err(_) => bus.declare(stream).await,
    }
}

/// A stream that differs stays different.
fn is_passing(error: &Error) -> bool {
    !error.to_string().contains("is not as declared")
}
