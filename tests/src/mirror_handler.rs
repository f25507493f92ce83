//! The handler behind `json.v1.Mirror`.

use futures_util::stream::{self, StreamExt as _};
use micro_runtime::codegen::prost_types::Any;
use micro_runtime::details::{BadRequest, FieldViolation};
use micro_runtime::{Code, Context, ReplyStream, Status, Streaming, service};

use crate::json::{Everything, Failure, Mirror, Size};

/// Handler that replies with its requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct MirrorHandler;

#[service]
impl Mirror for MirrorHandler {
    async fn show(&self, ctx: Context, request: Everything) -> Result<Everything, Status> {
        if let Some(value) = ctx.metadata().get("echo") {
            ctx.set_header("echo", value)?;
        }
        Ok(request)
    }

    async fn fail(&self, _: Context, request: Failure) -> Result<Everything, Status> {
        let code = Code::from_number(request.code).unwrap_or(Code::Unknown);
        let status = Status::new(code, request.text);
        if !request.has_details {
            return Err(status);
        }
        let bad = BadRequest {
            field_violations: vec![FieldViolation {
                field: "text".to_owned(),
                description: "too dull".to_owned(),
                ..FieldViolation::default()
            }],
        };
        let unknown = Any {
            type_url: "type.googleapis.com/nobody.knows.This".to_owned(),
            value: vec![1, 2, 3],
        };
        let own = Any::from_msg(&bad).map_err(|error| Status::internal(error.to_string()))?;
        Err(status.with_details(vec![own, unknown]))
    }

    async fn fill(&self, _: Context, request: Size) -> Result<Everything, Status> {
        Ok(message(0, request.letters))
    }

    async fn repeat(
        &self,
        ctx: Context,
        request: Size,
    ) -> Result<impl ReplyStream<Everything>, Status> {
        ctx.set_header("kind", "repeat")?;
        ctx.set_trailer("sent", request.messages.to_string())?;
        let messages = (0..request.messages).map(move |n| Ok(message(n, request.letters)));
        let end = request.fails.then(|| Err(Status::aborted("enough")));
        Ok(stream::iter(messages.chain(end)))
    }

    async fn join(
        &self,
        _: Context,
        mut parts: Streaming<Everything>,
    ) -> Result<Everything, Status> {
        let mut joined = Everything::default();
        while let Some(part) = parts.message().await? {
            joined.number += 1;
            joined.text += &part.text;
        }
        Ok(joined)
    }

    async fn chat(
        &self,
        _: Context,
        parts: Streaming<Everything>,
    ) -> Result<impl ReplyStream<Everything>, Status> {
        Ok(parts.map(|part| {
            part.map(|mut part| {
                part.number += 1;
                part
            })
        }))
    }
}

fn message(number: u32, letters: u32) -> Everything {
    Everything {
        number: i32::try_from(number).unwrap_or(i32::MAX),
        text: "x".repeat(letters as usize),
        ..Everything::default()
    }
}
