//! Rules for the return type of a handler: a `Result` with the reply of the `.proto`.

use syn::{Error, Result};

use crate::model::Handler;
use crate::table::Rpc;
use crate::type_match::{lacks_result, unexpected_stream};

pub(super) fn has_output(handler: &Handler, rpc: &Rpc) -> Result<()> {
    match handler.output() {
        None => {
            let message = format!(
                "handler `{}` lacks its return type: write `-> {}`",
                handler.name(),
                rpc.output()
            );
            Err(Error::new_spanned(handler.name(), message))
        }
        Some(_) => Ok(()),
    }
}

pub(super) fn is_a_result(handler: &Handler, rpc: &Rpc) -> Result<()> {
    match handler.output() {
        Some(output) if lacks_result(output, rpc) => {
            let message = format!(
                "handlers return `{}`, so that a call can fail",
                rpc.output()
            );
            Err(Error::new_spanned(output, message))
        }
        _ => Ok(()),
    }
}

pub(super) fn is_one_message(handler: &Handler, rpc: &Rpc) -> Result<()> {
    match handler
        .output()
        .and_then(|output| unexpected_stream(output, rpc))
    {
        Some(stream) => Err(Error::new_spanned(
            stream,
            format!(
                "`{}` returns one `{}`, its reply is no `stream` ({}): return `{}`",
                rpc.name,
                rpc.reply.name(),
                rpc.place,
                rpc.output()
            ),
        )),
        None => Ok(()),
    }
}
