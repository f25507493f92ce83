//! Start and end of a part: its announcement, its connection, and its shutdown signals.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use micro_runtime::jetstream::EventStream;
use micro_runtime::{Bus, Error, shutdown_signal};
use tokio::sync::oneshot;

use crate::Result;

/// Line that a part prints once other parts can rely on it.
pub const READY: &str = "ready";

/// Limit for the stream's declaration: a new cluster needs time to elect a leader.
const DECLARE_TIMEOUT: Duration = Duration::from_secs(20);
/// Delay before a failed declaration is repeated.
const DECLARE_RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Writes a line to standard output, and ignores a reader that has closed it.
pub fn print_line(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Returns a future that completes on a shutdown signal and, with `exit_on_stdin_eof`, when standard
/// input ends, which also happens when the process that started this one is killed.
///
/// # Errors
///
/// As [`shutdown_signal`].
pub fn shutdown_request(exit_on_stdin_eof: bool) -> io::Result<impl Future<Output = ()>> {
    let signal = shutdown_signal()?;
    let stdin = exit_on_stdin_eof.then(stdin_eof);
    Ok(async move {
        match stdin {
            Some(eof) => tokio::select! {
                () = signal => {}
                _ = eof => {}
            },
            None => signal.await,
        }
    })
}

/// Reads standard input to its end, on a thread: a runtime that shuts down would wait for a read that
/// is in progress on its own threads.
fn stdin_eof() -> oneshot::Receiver<()> {
    let (sender, eof) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        drop(sender);
    });
    eof
}

/// Connects to the servers of `NATS_URL`, and declares the stream.
///
/// # Errors
///
/// If there is no nats-server with JetStream, or its stream differs from `stream`.
pub async fn connect(stream: &EventStream) -> Result<Bus> {
    let bus = Bus::from_env().await?;
    declare(&bus, stream).await?;
    Ok(bus)
}

/// Creates or checks the stream; repeats that while the cluster elects its leader.
///
/// # Errors
///
/// As [`Bus::declare`], after 20 s.
pub async fn declare(bus: &Bus, stream: &EventStream) -> std::result::Result<(), Error> {
    let declared = async {
        loop {
            match bus.declare(stream).await {
                Err(error) if is_transient(&error) => {
                    tokio::time::sleep(DECLARE_RETRY_INTERVAL).await;
                }
                result => return result,
            }
        }
    };
    match tokio::time::timeout(DECLARE_TIMEOUT, declared).await {
        Ok(result) => result,
        Err(_) => bus.declare(stream).await,
    }
}

/// Returns whether a retry can succeed. A stream that differs stays different.
fn is_transient(error: &Error) -> bool {
    !error.to_string().contains("is not as declared")
}
