//! The handler behind `streams.v1.Streams`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use micro_runtime::{Context, ReplyStream, Status, Streaming, service};

use crate::streams::{CountRequest, Item, Streams, Summary};

/// Does what its messages say, and counts the handlers and streams that are alive.
#[derive(Clone, Debug, Default)]
pub struct Scripted(Arc<AtomicUsize>);

/// One handler, or the stream that it returned.
#[derive(Debug)]
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Scripted {
    /// How many calls have a handler or a stream that is alive.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits until every handler and every stream has ended.
    pub async fn idle(&self) {
        while self.alive() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await; // sleep: between two looks
        }
    }
}

#[service]
impl Streams for Scripted {
    async fn count(
        &self,
        ctx: Context,
        request: CountRequest,
    ) -> Result<impl ReplyStream<Item>, Status> {
        let alive = Alive::new(&self.0);
        ctx.set_header("kind", "count")?;
        ctx.set_trailer("sent", request.messages.to_string())?;
        match request.plan.as_str() {
            "refuse" => return Err(Status::failed_precondition("refused")),
            "never" => std::future::pending().await,
            _ => {}
        }
        Ok(items(request, alive))
    }

    async fn collect(&self, ctx: Context, mut items: Streaming<Item>) -> Result<Summary, Status> {
        let _alive = Alive::new(&self.0);
        ctx.set_header("kind", "collect")?;
        let mut summary = Summary {
            is_in_order: true,
            ..Summary::default()
        };
        while let Some(item) = items.message().await? {
            match item.plan.as_str() {
                "fail" => return Err(Status::aborted("asked to fail")),
                "panic" => panic!("asked to panic"),
                "end" => return Ok(summary),
                "wait" => std::future::pending().await,
                _ => {}
            }
            summary.is_in_order &= item.number == summary.messages;
            summary.messages += 1;
            summary.bytes += item.data.len() as u64;
        }
        Ok(summary)
    }

    async fn echo(
        &self,
        ctx: Context,
        items: Streaming<Item>,
    ) -> Result<impl ReplyStream<Item>, Status> {
        let alive = Alive::new(&self.0);
        ctx.set_header("kind", "echo")?;
        ctx.set_trailer("done", "yes")?;
        let state = Some((items, alive));
        Ok(stream::unfold(state, |state| async move {
            let (mut items, alive) = state?;
            let item = match items.message().await {
                Ok(item) => item?,
                Err(status) => return Some((Err(status), None)),
            };
            match item.plan.as_str() {
                "fail" => return Some((Err(Status::aborted("asked to fail")), None)),
                "panic" => panic!("asked to panic"),
                "end" => return None,
                "wait" => std::future::pending().await,
                _ => {}
            }
            Some((Ok(item), Some((items, alive))))
        }))
    }

    async fn repeat(&self, _ctx: Context, request: Item) -> Result<Item, Status> {
        let times = usize::try_from(request.number).unwrap_or(0);
        Ok(Item {
            data: request.data.repeat(times),
            ..request
        })
    }
}

fn items(request: CountRequest, alive: Alive) -> impl Stream<Item = Result<Item, Status>> {
    let CountRequest {
        messages,
        size,
        plan,
        pause_us,
        ..
    } = request;
    let data = vec![7; size as usize];
    let items = stream::iter(0..messages).map(move |number| {
        Ok(Item {
            number,
            data: data.clone(),
            ..Item::default()
        })
    });
    let paused = items.then(move |item| async move {
        if pause_us > 0 {
            let pause = Duration::from_micros(pause_us.into());
            tokio::time::sleep(pause).await; // sleep: the pause that was asked for
        }
        item
    });
    let end = stream::once(async move {
        match plan.as_str() {
            "fail" => Some(Err(Status::aborted("asked to fail"))),
            "panic" => panic!("asked to panic"),
            "wait" => std::future::pending().await,
            _ => None,
        }
    })
    .filter_map(std::future::ready);
    paused.chain(end).map(move |item| {
        let _alive = &alive;
        item
    })
}
