//! A durable consumer as a process, for tests that kill processes: it appends each event to the
//! file `RECORD`, and acknowledges the event after that. The event with the number `POISON` aborts the process.
#![expect(clippy::print_stdout, reason = "the test waits for the line")]

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use micro_runtime::jetstream::{BatchSubscriber, Durable, DurableEvent};
use micro_runtime::{Bus, Context, Server, Status};
use micro_tests::market::Trade;
use tokio::signal::unix::{SignalKind, signal};

struct FileRecorder {
    file: File,
    poison: Option<u64>,
}

impl BatchSubscriber<Trade> for FileRecorder {
    async fn on_batch(
        &self,
        _ctx: Context,
        trades: Vec<DurableEvent<Trade>>,
    ) -> Result<(), Status> {
        let mut lines = String::new();
        for trade in &trades {
            if Some(trade.number) == self.poison {
                // One write, as of lines.
                let line = format!("begun {}\n", trade.delivery.attempt());
                (&self.file).write_all(line.as_bytes())?;
                std::process::abort();
            }
            let _ = writeln!(lines, "{} {}", trade.delivery.sequence(), trade.number);
        }
        // One write per batch, so that a kill leaves at most one incomplete line.
        (&self.file).write_all(lines.as_bytes())?;
        Ok(())
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::var("RECORD")?;
    let poison = std::env::var("POISON").ok();
    let recorder = FileRecorder {
        file: File::options().create(true).append(true).open(path)?,
        poison: poison.map(|number| number.parse()).transpose()?,
    };
    let bus = Bus::from_env().await?;
    let mut terminated = signal(SignalKind::terminate())?;
    let durable = Durable::named("recorder")
        .batch(32)
        .ack_wait(Duration::from_secs(if recorder.poison.is_some() {
            1
        } else {
            2
        }));
    let server = Server::new(&bus)
        .subscribe_batch::<Trade>(recorder, durable)
        .start()
        .await?;
    println!("ready");
    terminated.recv().await;
    server.shutdown().await?;
    Ok(())
}
