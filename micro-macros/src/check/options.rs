//! Rules for the options of `#[rpc(…)]`, which depend on the kind of the method.

use syn::{Error, Result};

use crate::args::Setting;
use crate::model::Handler;
use crate::table::Rpc;

/// Rejects `blocking` for a reply stream, which is polled after the handler has returned and not on the
/// handler's thread.
pub(super) fn blocks_for_one_reply(handler: &Handler, rpc: &Rpc) -> Result<()> {
    needs_one_reply(handler, rpc, &Setting::Blocking)
}

/// Rejects `detached` for a reply stream, which has no reader once the caller is gone.
pub(super) fn detaches_for_one_reply(handler: &Handler, rpc: &Rpc) -> Result<()> {
    needs_one_reply(handler, rpc, &Setting::Detached)
}

/// Rejects options for the handler of an event, whose options are set at the subscription.
pub(super) fn is_for_calls(handler: &Handler, rpc: &Rpc) -> Result<()> {
    match handler.rpc.options.first() {
        Some(option) if rpc.event.is_some() => Err(Error::new_spanned(
            &option.name,
            format!(
                "`{}` is for calls; how events are handled is said at `Server::subscribe`, as in \
                 `Subscription::queue(\"…\").max_concurrent(8)`",
                option.name
            ),
        )),
        _ => Ok(()),
    }
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
