//! The handler of `StreamingDemo`: one method per streaming kind.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use micro_runtime::{Context, ReplyStream, Status, Streaming, service};
use sha2::{Digest as _, Sha256};

use crate::api::{Chunk, CountRequest, Line, StreamingDemo, Tick, UploadReceipt};
use crate::hex::hex;

/// Maximum of [`CountRequest::to`].
const MAX_COUNT: u32 = 100_000;

pub(crate) struct DemoHandler;

#[service]
impl StreamingDemo for DemoHandler {
    async fn upload(
        &self,
        _ctx: Context,
        mut chunks: Streaming<Chunk>,
    ) -> Result<UploadReceipt, Status> {
        let mut hash = Sha256::new();
        let mut bytes = 0;
        while let Some(chunk) = chunks.message().await? {
            bytes += chunk.data.len() as u64;
            hash.update(&chunk.data);
        }
        Ok(UploadReceipt {
            bytes,
            sha256: hex(&hash.finalize()),
        })
    }

    async fn count(
        &self,
        ctx: Context,
        request: CountRequest,
    ) -> Result<impl ReplyStream<Tick>, Status> {
        if request.to > MAX_COUNT {
            let text = format!("`to` is at most {MAX_COUNT}");
            return Err(Status::invalid_argument(text));
        }
        // Headers reach the client before the first message.
        ctx.set_header("first", "1")?;
        let interval = Duration::from_millis(request.interval_ms.into());
        Ok(stream::iter(1..=request.to).then(move |number| async move {
            tokio::time::sleep(interval).await;
            Ok(Tick { number })
        }))
    }

    async fn reverse_lines(
        &self,
        _ctx: Context,
        lines: Streaming<Line>,
    ) -> Result<impl ReplyStream<Line>, Status> {
        Ok(lines.map(|line| {
            let text = line?.text;
            if text.is_empty() {
                return Err(Status::invalid_argument("the line is empty"));
            }
            Ok(Line {
                text: text.chars().rev().collect(),
            })
        }))
    }
}
