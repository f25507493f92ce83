//! `shutdown_signal`: the signals by which a program is asked to end.

use std::io;

/// Returns a future that completes on the first SIGINT (Ctrl-C) or SIGTERM; on Windows on Ctrl-C.
///
/// The signals are registered by this call, and not by the first poll of the future. Make it before the server starts:
/// until then a signal ends the program at once, without a drain. The future may be awaited at any time later: a signal
/// that has come meanwhile counts. A second signal does nothing by itself; make another future for it.
///
/// # Errors
///
/// The error of the operating system if it refuses to register a signal. Panics outside of a tokio runtime, as all of
/// tokio's signals do.
///
/// # Examples
///
/// ```no_run
/// # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter.inc")); }
/// # use greeter::{Greeter, GreeterServer};
/// # async fn run<T: Greeter>(bus: micro_runtime::Bus, handler: T) -> Result<(), Box<dyn std::error::Error>> {
/// use micro_runtime::{Server, shutdown_signal};
///
/// let shutdown = shutdown_signal()?;
/// let server = Server::new(&bus).add(GreeterServer::new(handler)).start().await?;
/// shutdown.await;
/// server.shutdown().await?;
/// # Ok(()) }
/// ```
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(windows)]
    {
        let mut interrupt = tokio::signal::windows::ctrl_c()?;
        Ok(async move {
            interrupt.recv().await;
        })
    }
}
