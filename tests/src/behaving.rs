//! The handler behind `behavior.v1.Behavior`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use micro_runtime::{Bus, Code, Context, Status, service};

use crate::behavior::{
    Behavior, BehaviorClient, Blob, Empty, Failure, Flake, Nap, Pair, Seen, Size,
};

/// Does what its requests say, and counts.
#[derive(Clone, Debug, Default)]
pub struct Behaving {
    bus: Option<Bus>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    started: AtomicUsize,
    running: AtomicUsize,
    dropped: AtomicUsize,
    flakes: Mutex<HashMap<String, u32>>,
    abandoned: Mutex<Vec<Status>>,
}

/// Counts a nap while it goes on, and one that is dropped before it ends.
struct Guard<'a> {
    counts: &'a Counts,
    is_over: bool,
}

impl<'a> Guard<'a> {
    fn new(counts: &'a Counts) -> Self {
        counts.running.fetch_add(1, Ordering::SeqCst);
        counts.started.fetch_add(1, Ordering::SeqCst);
        Self {
            counts,
            is_over: false,
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.counts.dropped.fetch_add(1, Ordering::SeqCst);
        }
        self.counts.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Behaving {
    /// Makes a handler whose `Relay` calls over this bus.
    #[must_use]
    pub fn on(bus: &Bus) -> Self {
        Self {
            bus: Some(bus.clone()),
            counts: Arc::default(),
        }
    }

    /// How many naps have begun.
    #[must_use]
    pub fn started(&self) -> usize {
        self.counts.started.load(Ordering::SeqCst)
    }

    /// How many naps have begun and not ended, one way or the other.
    #[must_use]
    pub fn running(&self) -> usize {
        self.counts.running.load(Ordering::SeqCst)
    }

    /// How many naps were ended by somebody else.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.counts.dropped.load(Ordering::SeqCst)
    }

    /// How the calls ended that were left behind.
    #[must_use]
    pub fn abandoned(&self) -> Vec<Status> {
        let abandoned = self.counts.abandoned.lock();
        abandoned.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often `Flaky` or `Careful` was called with this key.
    #[must_use]
    pub fn flakes(&self, key: &str) -> u32 {
        let flakes = self.counts.flakes.lock();
        let flakes = flakes.unwrap_or_else(PoisonError::into_inner);
        flakes.get(key).copied().unwrap_or_default()
    }

    fn flake(&self, request: &Flake) -> Result<Blob, Status> {
        let flakes = self.counts.flakes.lock();
        let mut flakes = flakes.unwrap_or_else(PoisonError::into_inner);
        let calls = flakes.entry(request.key.clone()).or_default();
        *calls += 1;
        if *calls <= request.failures {
            let code = Code::from_number(request.code).unwrap_or(Code::Unknown);
            return Err(Status::new(code, "not yet"));
        }
        Ok(Blob {
            data: calls.to_string().into(),
        })
    }

    fn client(&self) -> Result<BehaviorClient, Status> {
        let bus = self.bus.as_ref();
        bus.map(Bus::client)
            .ok_or_else(|| Status::failed_precondition("this handler has no bus"))
    }

    async fn nap(&self, nap: Nap) -> Blob {
        let mut guard = Guard::new(&self.counts);
        // sleep: the caller asks for it.
        tokio::time::sleep(Duration::from_millis(nap.milliseconds.into())).await;
        guard.is_over = true;
        Blob::default()
    }
}

#[service]
impl Behavior for Behaving {
    async fn echo(&self, _ctx: Context, request: Blob) -> Result<Blob, Status> {
        Ok(request)
    }

    async fn fail(&self, ctx: Context, request: Failure) -> Result<Blob, Status> {
        ctx.set_header("failed-by", "behaving")?;
        let code = Code::from_number(request.code)
            .ok_or_else(|| Status::invalid_argument("this is no code"))?;
        Err(Status::new(code, request.text))
    }

    async fn rest(&self, _ctx: Context, request: Nap) -> Result<Blob, Status> {
        Ok(self.nap(request).await)
    }

    async fn burn(&self, _ctx: Context, request: Nap) -> Result<Blob, Status> {
        let end = Instant::now() + Duration::from_millis(request.milliseconds.into());
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        Ok(Blob::default())
    }

    async fn panic(&self, _ctx: Context, request: Blob) -> Result<Blob, Status> {
        panic!("{}", String::from_utf8_lossy(&request.data));
    }

    async fn describe(&self, ctx: Context, _request: Blob) -> Result<Seen, Status> {
        let metadata = ctx
            .metadata()
            .iter()
            .map(|(name, value)| format!("{name}={}", value.escape_ascii()))
            .collect();
        ctx.set_header("served-by", "behaving")?;
        ctx.set_header("blob-bin", [0, 255])?;
        let remaining = ctx.remaining().unwrap_or_default();
        Ok(Seen {
            remaining_ms: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
            metadata,
            method: ctx.method().map_or("", |method| method.full_name).into(),
        })
    }

    async fn fill(&self, _ctx: Context, request: Size) -> Result<Blob, Status> {
        Ok(Blob {
            data: vec![b'x'; request.bytes as usize],
        })
    }

    async fn hurry(&self, _ctx: Context, request: Nap) -> Result<Blob, Status> {
        Ok(self.nap(request).await)
    }

    async fn solo(&self, _ctx: Context, request: Nap) -> Result<Blob, Status> {
        Ok(self.nap(request).await)
    }

    async fn relay(&self, ctx: Context, request: Nap) -> Result<Blob, Status> {
        self.client()?
            .rest(request)
            .timeout(Duration::from_secs(60))
            .within(&ctx)
            .await
    }

    async fn flaky(&self, _ctx: Context, request: Flake) -> Result<Blob, Status> {
        self.flake(&request)
    }

    async fn careful(&self, _ctx: Context, request: Flake) -> Result<Blob, Status> {
        self.flake(&request)
    }

    async fn abandon(&self, ctx: Context, request: Nap) -> Result<Blob, Status> {
        let call = self.client()?.rest(request);
        let call = call.timeout(Duration::from_secs(60)).within(&ctx);
        let counts = Arc::clone(&self.counts);
        tokio::spawn(async move {
            if let Err(status) = call.await {
                let abandoned = counts.abandoned.lock();
                abandoned
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(status);
            }
        });
        Ok(Blob::default())
    }

    async fn swap(&self, _ctx: Context, request: Pair) -> Result<Pair, Status> {
        Ok(Pair {
            left: request.right,
            right: request.left,
        })
    }

    async fn yield_and_swap(&self, ctx: Context, request: Pair) -> Result<Pair, Status> {
        tokio::task::yield_now().await;
        self.swap(ctx, request).await
    }

    async fn nothing(&self, _ctx: Context, _request: Empty) -> Result<Empty, Status> {
        Ok(Empty {})
    }
}
