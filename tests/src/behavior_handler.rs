//! The handler behind `behavior.v1.Behavior`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use micro_runtime::{Bus, Code, Context, Status, service};
use tokio::sync::Notify;

use crate::behavior::{
    Behavior, BehaviorClient, Blob, DescribeReply, EchoAfterRequest, Empty, FailRequest,
    FillRequest, FlakyRequest, Pair, WaitRequest,
};

/// Handler that waits, fails or panics as its requests ask for, and counts its calls.
#[derive(Clone, Debug, Default)]
pub struct BehaviorHandler {
    bus: Option<Bus>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    started: AtomicUsize,
    running: AtomicUsize,
    dropped: AtomicUsize,
    /// Ends the waits of [`BehaviorHandler::UNTIL_RELEASED`].
    released: Notify,
    /// Calls of `Flaky` and `FlakyNonIdempotent` by key.
    flaky: Mutex<HashMap<String, u32>>,
    spawned_failures: Mutex<Vec<Status>>,
}

/// Counts a running wait, and a wait that is dropped before its end.
struct WaitGuard<'a> {
    state: &'a State,
    is_finished: bool,
}

impl<'a> WaitGuard<'a> {
    fn new(state: &'a State) -> Self {
        state.running.fetch_add(1, Ordering::SeqCst);
        state.started.fetch_add(1, Ordering::SeqCst);
        Self {
            state,
            is_finished: false,
        }
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.state.dropped.fetch_add(1, Ordering::SeqCst);
        }
        self.state.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl BehaviorHandler {
    /// Request of a wait that lasts until [`release`](Self::release).
    pub const UNTIL_RELEASED: WaitRequest = WaitRequest {
        milliseconds: u32::MAX,
    };

    /// Makes a handler whose nested calls go over this bus.
    #[must_use]
    pub fn on(bus: &Bus) -> Self {
        Self {
            bus: Some(bus.clone()),
            state: Arc::default(),
        }
    }

    /// Number of waits that have started.
    #[must_use]
    pub fn started(&self) -> usize {
        self.state.started.load(Ordering::SeqCst)
    }

    /// Number of waits that have started and neither finished nor been dropped.
    #[must_use]
    pub fn running(&self) -> usize {
        self.state.running.load(Ordering::SeqCst)
    }

    /// Ends all waits of [`UNTIL_RELEASED`](Self::UNTIL_RELEASED) that are running.
    pub fn release(&self) {
        self.state.released.notify_waiters();
    }

    /// Number of waits that were dropped before their end.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.state.dropped.load(Ordering::SeqCst)
    }

    /// Statuses of the calls of `SpawnCall` that failed.
    #[must_use]
    pub fn spawned_failures(&self) -> Vec<Status> {
        let failures = self.state.spawned_failures.lock();
        failures.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number of calls of `Flaky` and `FlakyNonIdempotent` with this key.
    #[must_use]
    pub fn flaky_calls(&self, key: &str) -> u32 {
        let calls = self.state.flaky.lock();
        let calls = calls.unwrap_or_else(PoisonError::into_inner);
        calls.get(key).copied().unwrap_or_default()
    }

    fn fail_at_first(&self, request: &FlakyRequest) -> Result<Blob, Status> {
        let by_key = self.state.flaky.lock();
        let mut by_key = by_key.unwrap_or_else(PoisonError::into_inner);
        let calls = by_key.entry(request.key.clone()).or_default();
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

    async fn wait_for(&self, request: WaitRequest) -> Blob {
        // Before the wait counts as running: a release ends it from here on.
        let released = self.state.released.notified();
        let mut guard = WaitGuard::new(&self.state);
        match request == Self::UNTIL_RELEASED {
            true => released.await,
            // sleep: the caller asks for it.
            false => tokio::time::sleep(Duration::from_millis(request.milliseconds.into())).await,
        }
        guard.is_finished = true;
        Blob::default()
    }
}

#[service]
impl Behavior for BehaviorHandler {
    async fn echo(&self, _ctx: Context, request: Blob) -> Result<Blob, Status> {
        Ok(request)
    }

    async fn fail(&self, ctx: Context, request: FailRequest) -> Result<Blob, Status> {
        ctx.set_header("failed-by", "behaving")?;
        let code = Code::from_number(request.code)
            .ok_or_else(|| Status::invalid_argument("this is no code"))?;
        Err(Status::new(code, request.text))
    }

    async fn wait(&self, _ctx: Context, request: WaitRequest) -> Result<Blob, Status> {
        Ok(self.wait_for(request).await)
    }

    async fn echo_after(&self, _ctx: Context, request: EchoAfterRequest) -> Result<Blob, Status> {
        // sleep: the caller asks for it.
        tokio::time::sleep(Duration::from_micros(request.microseconds.into())).await;
        Ok(Blob { data: request.data })
    }

    async fn spin(&self, _ctx: Context, request: WaitRequest) -> Result<Blob, Status> {
        let end = Instant::now() + Duration::from_millis(request.milliseconds.into());
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        Ok(Blob::default())
    }

    async fn panic(&self, _ctx: Context, request: Blob) -> Result<Blob, Status> {
        panic!("{}", String::from_utf8_lossy(&request.data));
    }

    async fn describe(&self, ctx: Context, _request: Blob) -> Result<DescribeReply, Status> {
        let metadata = ctx
            .metadata()
            .iter()
            .map(|(name, value)| format!("{name}={}", value.escape_ascii()))
            .collect();
        ctx.set_header("served-by", "behaving")?;
        ctx.set_header("blob-bin", [0, 255])?;
        let remaining = ctx.remaining().unwrap_or_default();
        Ok(DescribeReply {
            remaining_ms: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
            metadata,
            method: ctx.method().map_or("", |method| method.full_name).into(),
            has_caller_timeout: ctx.has_caller_timeout(),
        })
    }

    async fn fill(&self, _ctx: Context, request: FillRequest) -> Result<Blob, Status> {
        Ok(Blob {
            data: vec![b'x'; request.bytes as usize],
        })
    }

    async fn wait_with_timeout(&self, _ctx: Context, request: WaitRequest) -> Result<Blob, Status> {
        Ok(self.wait_for(request).await)
    }

    async fn wait_serially(&self, _ctx: Context, request: WaitRequest) -> Result<Blob, Status> {
        Ok(self.wait_for(request).await)
    }

    async fn relay(&self, ctx: Context, request: WaitRequest) -> Result<Blob, Status> {
        self.client()?
            .wait(request)
            .timeout(Duration::from_secs(60))
            .within(&ctx)
            .await
    }

    async fn flaky(&self, _ctx: Context, request: FlakyRequest) -> Result<Blob, Status> {
        self.fail_at_first(&request)
    }

    async fn flaky_non_idempotent(
        &self,
        _ctx: Context,
        request: FlakyRequest,
    ) -> Result<Blob, Status> {
        self.fail_at_first(&request)
    }

    async fn spawn_call(&self, ctx: Context, request: WaitRequest) -> Result<Blob, Status> {
        let call = self.client()?.wait(request);
        let call = call.timeout(Duration::from_secs(60)).within(&ctx);
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            if let Err(status) = call.await {
                let failures = state.spawned_failures.lock();
                failures
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
