//! What the two versions of the rolling service do alike: serve, or call without pause.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use micro_runtime::{Bus, Server, Service};
use tokio::signal::unix::{SignalKind, signal};

const AT_ONCE: usize = 8;

/// Reads the one argument: `serve` or `call`.
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

/// Calls until SIGTERM, then says how often, and what went wrong.
pub(crate) async fn load<F, Fut>(call: F) -> Result<(), Box<dyn Error>>
where
    F: Fn(i64) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<(), String>> + Send,
{
    let mut terminated = signal(SignalKind::terminate())?;
    let count = Arc::new(AtomicI64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let workers = (0..AT_ONCE).map(|_| {
        let (call, count, is_over) = (call.clone(), Arc::clone(&count), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut errors = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                let number = count.fetch_add(1, Ordering::SeqCst);
                errors.extend(call(number).await.err());
                if number == 500 {
                    println!("warm");
                }
            }
            errors
        })
    });
    let workers = workers.collect::<Vec<_>>();
    terminated.recv().await;
    is_over.store(true, Ordering::SeqCst);
    for worker in workers {
        for error in worker.await? {
            println!("error: {error}");
        }
    }
    println!("calls: {}", count.load(Ordering::SeqCst));
    Ok(())
}
