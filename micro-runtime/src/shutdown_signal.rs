//! `shutdown_signal`: the signals by which a program is asked to end.

use std::sync::mpsc;
use std::time::Duration;
use std::{io, process, thread};

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Time within which a further signal counts as the first: Ctrl-C reaches all processes of a terminal, and a program
/// that has started others passes it on to them as well.
const SAME_SIGNAL_INTERVAL: Duration = Duration::from_millis(200);

/// Returns a future that completes on the first SIGINT (Ctrl-C) or SIGTERM; on Windows on Ctrl-C.
///
/// The signals are registered by this call, and not by the first poll of the future. Make it when the bus is connected,
/// and before the server starts: until then a signal ends the program at once, without a drain, also one that waits for
/// NATS. What waits behind this call must be given up by a `select!` with the future. It may be awaited at any time
/// later: a signal that has come meanwhile counts.
///
/// A second signal, 0.2 s after the first or later, ends the program at once, with the exit code 130 for SIGINT and 143
/// for SIGTERM: whoever presses Ctrl-C again does not want to wait for the drain any longer. That works also when the
/// tokio runtime hangs or shuts down. A program that wants something else uses `tokio::signal`.
///
/// # Errors
///
/// The error of the operating system if it refuses to register a signal, or to start a thread.
///
/// # Examples
///
/// ```no_run
/// use std::error::Error;
///
/// use micro_runtime::{Bus, Server, Service, shutdown_signal};
///
/// // `service` is a generated server, as `GreeterServer::new(handler)`.
/// async fn serve(bus: &Bus, service: impl Service) -> Result<(), Box<dyn Error>> {
///     let shutdown = shutdown_signal()?;
///     let server = Server::new(bus).add(service).start().await?;
///     shutdown.await;
///     Ok(server.shutdown().await?)
/// }
/// ```
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (first, received) = oneshot::channel();
    let (registering, registered) = mpsc::channel();
    thread::Builder::new()
        .name("shutdown-signal".to_owned())
        .spawn(move || watch(first, &registering))?;
    registered.recv().map_err(io::Error::other)??;
    Ok(async move {
        if received.await.is_err() {
            // Its thread has panicked. Without a signal the program goes on.
            std::future::pending::<()>().await;
        }
    })
}

/// Waits for signals on this thread, with a runtime of its own: that of the program may have no thread left, or may be
/// about to end, when the second signal comes. Reports whether the signals are registered.
fn watch(first: oneshot::Sender<()>, registering: &mpsc::Sender<io::Result<()>>) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(registering.send(Err(error))),
    };
    runtime.block_on(async {
        let mut signals = match EndSignals::register() {
            Ok(signals) => signals,
            Err(error) => return drop(registering.send(Err(error))),
        };
        let _ = registering.send(Ok(()));
        signals.next().await;
        let first_at = Instant::now();
        let _ = first.send(());
        loop {
            let exit_code = signals.next().await;
            if first_at.elapsed() >= SAME_SIGNAL_INTERVAL {
                tracing::warn!("a second signal: the program ends at once");
                process::exit(exit_code);
            }
        }
    });
}

/// The signals that are registered.
#[cfg(unix)]
struct EndSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl EndSignals {
    fn register() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal, and returns the exit code of a program that it ends.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}

/// The signal that is registered.
#[cfg(windows)]
struct EndSignals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl EndSignals {
    fn register() -> io::Result<Self> {
        Ok(Self(tokio::signal::windows::ctrl_c()?))
    }

    /// Waits for the next signal, and returns the exit code of a program that it ends.
    async fn next(&mut self) -> i32 {
        self.0.recv().await;
        130
    }
}
