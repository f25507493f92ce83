//! The client process: reads what to do from standard input, a line each, and answers with figures.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::Result;
use crate::arguments::Place;
use crate::load::{Count, Window, keep_in_flight};
use crate::scenario::{Direction, Work};
use crate::stack::{Caller, Stack, hand, micro, tonic};

/// Figures by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// Works until standard input ends.
pub(crate) async fn work(place: &Place) -> Result<()> {
    match place.stack {
        Stack::Micro => answer(micro::connect(&place.url).await?).await,
        Stack::AsyncNats | Stack::AsyncNatsSpawned => {
            answer(hand::connect(&place.url).await?).await
        }
        Stack::Tonic => answer(tonic::connect(&place.url).await?).await,
    }
}

async fn answer(caller: impl Caller) -> Result<()> {
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let (millis, work) = line.split_once(' ').ok_or("expected `<ms> <work>`")?;
        let length = Duration::from_millis(millis.parse()?);
        let (caller, work) = (caller.clone(), work.parse()?);
        // Where a service calls another: on the runtime's own threads, and not on the main one.
        let measuring = async move { measure(&caller, work, Window::of(length)).await };
        let count = tokio::spawn(measuring).await??;
        println!("{}", serde_json::to_string(&figures(count))?);
    }
    Ok(())
}

async fn measure(caller: &impl Caller, work: Work, window: Window) -> Result<Count> {
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

fn figures(mut count: Count) -> Figures {
    let mut figures = Figures::from([
        ("rate".to_owned(), count.rate()),
        ("calls".to_owned(), count.all() as f64),
    ]);
    if let Some([p50, p99, p999]) = count.quantiles([0.5, 0.99, 0.999]) {
        figures.insert("p50".to_owned(), p50);
        figures.insert("p99".to_owned(), p99);
        figures.insert("p99.9".to_owned(), p999);
    }
    figures
}
