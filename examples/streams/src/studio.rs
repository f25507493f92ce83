//! The service: three handlers that read and write streams.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use micro_runtime::{Context, ReplyStream, Status, Streaming, service};
use sha2::{Digest as _, Sha256};

use crate::api::{Chunk, CountRequest, Line, Receipt, Studio, Tick};

pub(crate) struct Workshop;

#[service]
impl Studio for Workshop {
    async fn upload(&self, _ctx: Context, mut chunks: Streaming<Chunk>) -> Result<Receipt, Status> {
        let mut hash = Sha256::new();
        let mut bytes = 0;
        while let Some(chunk) = chunks.message().await? {
            bytes += chunk.data.len() as u64;
            hash.update(&chunk.data);
        }
        Ok(Receipt {
            bytes,
            sha256: crate::hex(&hash.finalize()),
        })
    }

    async fn count(
        &self,
        ctx: Context,
        request: CountRequest,
    ) -> Result<impl ReplyStream<Tick>, Status> {
        if request.to > 100_000 {
            return Err(Status::invalid_argument("`to` is at most 100000"));
        }
        ctx.set_header("from", "1")?;
        let pause = Duration::from_millis(request.interval_ms.into());
        Ok(stream::iter(1..=request.to).then(move |number| async move {
            tokio::time::sleep(pause).await;
            Ok(Tick { number })
        }))
    }

    async fn converse(
        &self,
        _ctx: Context,
        lines: Streaming<Line>,
    ) -> Result<impl ReplyStream<Line>, Status> {
        Ok(lines.map(|line| {
            let text = line?.text;
            if text.is_empty() {
                return Err(Status::invalid_argument("a line says something"));
            }
            Ok(Line {
                text: text.chars().rev().collect(),
            })
        }))
    }
}
