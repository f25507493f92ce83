//! Which options of `#[rpc(…)]` make sense for which kind of method.

use syn::{Error, Result};

use crate::args::Setting;
use crate::model::Handler;
use crate::table::Rpc;

/// A streamed reply is written long after the handler has returned, on no thread of its own.
pub(super) fn blocks_for_one_reply(handler: &Handler, rpc: &Rpc) -> Result<()> {
    needs_one_reply(handler, rpc, &Setting::Blocking)
}

/// Nobody is left to read the rest of a stream.
pub(super) fn detaches_for_one_reply(handler: &Handler, rpc: &Rpc) -> Result<()> {
    needs_one_reply(handler, rpc, &Setting::Detached)
}

fn needs_one_reply(handler: &Handler, rpc: &Rpc, setting: &Setting) -> Result<()> {
    let mut options = handler.rpc.options.iter();
    match options.find(|option| option.setting == *setting && rpc.kind.streams_replies()) {
        Some(option) => Err(Error::new_spanned(
            &option.name,
            format!(
                "`{}` is for methods with a single reply; `{}` returns a stream ({})",
                option.name, rpc.name, rpc.place
            ),
        )),
        None => Ok(()),
    }
}
