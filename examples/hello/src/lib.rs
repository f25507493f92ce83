//! The service of the example: the generated code and one handler.

use std::error::Error;

use micro_runtime::{Context, Status, service};

/// What micro-build made of `proto/greeter.proto`.
pub mod greeter {
    micro_runtime::include_proto!("greeter.v1");
}

use greeter::{Greeter, HelloReply, HelloRequest};

/// Greets in English.
#[derive(Debug)]
pub struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _ctx: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        if request.name.is_empty() {
            return Err(Status::invalid_argument("the name is empty"));
        }
        Ok(HelloReply {
            message: format!("Hello, {}!", request.name),
        })
    }
}

/// Shows what the runtime logs; `RUST_LOG` says how much.
pub fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

/// Ready when somebody asks this process to end: Ctrl-C, or SIGTERM where there is one.
///
/// # Errors
///
/// When the signals cannot be listened to.
pub async fn asked_to_end() -> Result<(), Box<dyn Error>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}
