//! The client process: reads the load from standard input, a line each, and prints its figures.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::arguments::Target;
use crate::contender::Stack;
use crate::failure::Result;
use crate::load::{LoadCounter, Window, keep_in_flight};
use crate::scenario::{Direction, Work};
use crate::stack::caller::Caller;
use crate::stack::{hand, micro, tonic};

/// Figures by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// Puts the requested loads on the stack until standard input ends.
pub(crate) async fn run(target: &Target) -> Result<()> {
    match target.stack {
        Stack::Micro => run_requests(micro::connect(&target.url).await?).await,
        Stack::AsyncNats | Stack::AsyncNatsSpawned => {
            run_requests(hand::connect(&target.url).await?).await
        }
        Stack::Tonic => run_requests(tonic::connect(&target.url).await?).await,
    }
}

async fn run_requests(caller: impl Caller) -> Result<()> {
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let (millis, work) = line.split_once(' ').ok_or("expected `<ms> <work>`")?;
        let length = Duration::from_millis(millis.parse()?);
        let (caller, work) = (caller.clone(), work.parse()?);
        // On the runtime's own threads, and not on the main one, like the calls of a service to another.
        let measuring = async move { measure(&caller, work, Window::of(length)).await };
        let counter = tokio::spawn(measuring).await??;
        println!("{}", serde_json::to_string(&figures(counter))?);
    }
    Ok(())
}

async fn measure(caller: &impl Caller, work: Work, window: Window) -> Result<LoadCounter> {
    let again = caller.clone();
    match work {
        Work::Unary { bytes, in_flight } => {
            let data = vec![7; bytes];
            let call = move || {
                let (caller, data) = (again.clone(), data.clone());
                async move { expect(caller.unary(data).await?, bytes) }
            };
            keep_in_flight(in_flight, window, call).await
        }
        Work::Nested { bytes, in_flight } => {
            let data = vec![7; bytes];
            let call = move || {
                let (caller, data) = (again.clone(), data.clone());
                async move { expect(caller.with_header(data).await?, bytes) }
            };
            keep_in_flight(in_flight, window, call).await
        }
        Work::Publish { bytes } => caller.publish(bytes, window).await,
        Work::Store { bytes } => caller.store(bytes, window).await,
        Work::Consume { bytes } => caller.consume(bytes, window).await,
        Work::Stream { bytes, direction } => match direction {
            Direction::Server => caller.download(bytes, window).await,
            Direction::Client => caller.upload(bytes, window).await,
            Direction::Both => caller.exchange(bytes, window).await,
            Direction::PingPong => caller.ping_pong(bytes, window).await,
        },
    }
}

fn expect(received: usize, sent: usize) -> Result<()> {
    match received == sent {
        true => Ok(()),
        false => Err(format!("sent {sent} bytes and received {received}").into()),
    }
}

fn figures(mut counter: LoadCounter) -> Figures {
    let mut figures = Figures::from([
        ("rate".to_owned(), counter.rate()),
        ("calls".to_owned(), counter.total() as f64),
    ]);
    if let Some([p50, p99, p999]) = counter.quantiles([0.5, 0.99, 0.999]) {
        figures.insert("p50".to_owned(), p50);
        figures.insert("p99".to_owned(), p99);
        figures.insert("p99.9".to_owned(), p999);
    }
    figures
}
