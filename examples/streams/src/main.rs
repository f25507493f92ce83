//! Run with `cargo run -p streams`: an upload with a progress bar, a live counter, a conversation.
#![expect(clippy::print_stdout, reason = "an example talks")]

mod studio;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use micro_runtime::{Bus, Server};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::api::{Chunk, CountRequest, Line, StudioClient, StudioServer};
use crate::studio::Workshop;

mod api {
    micro_runtime::include_proto!("studio.v1");
}

/// How much of a file goes in one message.
const CHUNK: usize = 64 * 1024;

/// Uploads a file, counts, and talks: one streaming call of each kind.
///
/// With NATS_URL set, service and client talk over that server; without it, inside this process.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The file that is uploaded; one is made up if none is named
    file: Option<PathBuf>,
    /// How many MiB are made up
    #[arg(long, default_value_t = 128)]
    mebibytes: u64,
    /// How far the counter counts
    #[arg(long, default_value_t = 100)]
    count: u32,
    /// Milliseconds between two ticks of the counter
    #[arg(long, default_value_t = 20)]
    interval: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let bus = match std::env::var("NATS_URL") {
        Ok(url) if !url.is_empty() => Bus::from_env().await?,
        _ => Bus::in_process(),
    };
    println!(
        "bus: {}",
        match bus.is_in_process() {
            true => "inside this process (set NATS_URL to use a nats-server)",
            false => "NATS at NATS_URL",
        }
    );
    let server = Server::new(&bus)
        .add(StudioServer::new(Workshop))
        .start()
        .await?;
    let studio: StudioClient = bus.client();
    match &arguments.file {
        Some(path) => {
            let name = path.display();
            let file = tokio::fs::File::open(path).await;
            let file = file.map_err(|error| format!("cannot open {name}: {error}"))?;
            let length = file.metadata().await?.len();
            upload(&studio, file, length).await?;
        }
        None => {
            let length = arguments.mebibytes * 1024 * 1024;
            upload(&studio, tokio::io::repeat(7).take(length), length).await?;
        }
    }
    count(&studio, arguments.count, arguments.interval).await?;
    converse(&studio).await?;
    server.shutdown().await?;
    Ok(())
}

/// Many messages out, one reply back. The bar is as far as the server has taken the file: a server
/// that reads slowly holds the sender back.
async fn upload(
    studio: &StudioClient,
    mut file: impl AsyncRead + Unpin,
    length: u64,
) -> Result<(), Box<dyn Error>> {
    let bar = bar(
        length,
        "upload {bar:32} {bytes}/{total_bytes} {binary_bytes_per_sec}",
    );
    let started = Instant::now();
    let mut sent = Sha256::new();
    let mut upload = studio.upload().open().await?;
    loop {
        let mut data = Vec::with_capacity(CHUNK);
        while data.len() < CHUNK
            && (&mut file)
                .take((CHUNK - data.len()) as u64)
                .read_buf(&mut data)
                .await?
                > 0
        {}
        if data.is_empty() {
            break;
        }
        sent.update(&data);
        let bytes = data.len() as u64;
        upload.send(Chunk { data }).await?;
        bar.inc(bytes);
    }
    let receipt = upload.finish().await?;
    bar.finish_and_clear();
    if receipt.sha256 != hex(&sent.finalize()) {
        return Err("the server received something else than was sent".into());
    }
    let seconds = started.elapsed().as_secs_f64();
    let mebibytes = receipt.bytes as f64 / 1024.0 / 1024.0;
    println!(
        "Upload   {mebibytes:.1} MiB in {seconds:.2} s, {:.0} MiB/s, sha256 {}… agrees",
        mebibytes / seconds,
        &receipt.sha256[..12],
    );
    Ok(())
}

/// One request, many replies.
async fn count(studio: &StudioClient, to: u32, interval_ms: u32) -> Result<(), Box<dyn Error>> {
    let bar = bar(to.into(), "count  {bar:32} {pos}/{len}");
    let mut ticks = studio.count(CountRequest { to, interval_ms }).await?;
    let mut last = 0;
    while let Some(tick) = ticks.message().await? {
        last = tick.number;
        bar.set_position(last.into());
    }
    bar.finish_and_clear();
    println!("Count    to {last}, one tick every {interval_ms} ms");
    Ok(())
}

/// Many both ways.
async fn converse(studio: &StudioClient) -> Result<(), Box<dyn Error>> {
    let (mut sender, mut replies) = studio.converse().open().await?;
    for text in ["stressed", "drawer", "live"] {
        let text = text.to_owned();
        sender.send(Line { text: text.clone() }).await?;
        match replies.message().await? {
            Some(reply) => println!("Converse {text:?} -> {:?}", reply.text),
            None => return Err("the service hung up".into()),
        }
    }
    sender.finish().await?;
    match replies.message().await? {
        None => Ok(()),
        Some(_) => Err("the service has the last word".into()),
    }
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
