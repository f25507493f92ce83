//! The two roles of a program of the rolling service: to serve, or to call without pause.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use micro_runtime::{Bus, Server, Service};
use tokio::signal::unix::{SignalKind, signal};

/// Number of concurrent callers.
const CALLERS: usize = 8;

/// Reads the role from the program's argument, `serve` or `call`.
pub(crate) fn is_server() -> Result<bool, Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => Ok(true),
        Some("call") => Ok(false),
        other => Err(format!("expected `serve` or `call`, found {other:?}").into()),
    }
}

/// Serves until SIGTERM, then drains.
pub(crate) async fn serve(bus: &Bus, service: impl Service) -> Result<(), Box<dyn Error>> {
    let mut terminated = signal(SignalKind::terminate())?;
    let server = Server::new(bus).add(service).start().await?;
    println!("ready");
    terminated.recv().await;
    server.shutdown().await?;
    Ok(())
}

/// Calls until SIGTERM, then prints each error and the number of calls.
pub(crate) async fn call_until_terminated<F, Fut>(call: F) -> Result<(), Box<dyn Error>>
where
    F: Fn(i64) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<(), String>> + Send,
{
    let mut terminated = signal(SignalKind::terminate())?;
    let count = Arc::new(AtomicI64::new(0));
    let is_stopping = Arc::new(AtomicBool::new(false));
    let callers = (0..CALLERS).map(|_| {
        let (call, count, is_stopping) =
            (call.clone(), Arc::clone(&count), Arc::clone(&is_stopping));
        tokio::spawn(async move {
            let mut errors = Vec::new();
            while !is_stopping.load(Ordering::SeqCst) {
                let number = count.fetch_add(1, Ordering::SeqCst);
                errors.extend(call(number).await.err());
                if number == 500 {
                    println!("warm");
                }
            }
            errors
        })
    });
    let callers = callers.collect::<Vec<_>>();
    terminated.recv().await;
    is_stopping.store(true, Ordering::SeqCst);
    for caller in callers {
        for error in caller.await? {
            println!("error: {error}");
        }
    }
    println!("calls: {}", count.load(Ordering::SeqCst));
    Ok(())
}
