//! Which method of the .proto each handler serves.

use crate::model::{Handler, ServiceImpl};
use crate::nearest::nearest;
use crate::table::{Rpc, Table};

/// The RPC that a handler serves: the one of its name, or the missing one whose name is nearest.
pub(crate) fn meant<'t>(
    handler: &Handler,
    service: &ServiceImpl,
    table: &'t Table,
) -> Option<&'t Rpc> {
    table.rpc(handler.name()).or_else(|| {
        let is_free = |rpc: &&Rpc| {
            service.handlers().all(|other| {
                table
                    .rpc(other.name())
                    .is_none_or(|taken| taken.method != rpc.method)
            })
        };
        let free = table.rpcs.iter().filter(is_free);
        let names: Vec<String> = free.map(|rpc| rpc.method.to_string()).collect();
        let name = handler.name().to_string();
        nearest(&name, names.iter().map(String::as_str)).and_then(|name| table.named(name))
    })
}

/// The RPCs that no handler serves.
pub(crate) fn missing<'t>(service: &ServiceImpl, table: &'t Table) -> Vec<&'t Rpc> {
    let served: Vec<_> = service
        .handlers()
        .filter_map(|handler| meant(handler, service, table))
        .collect();
    let is_missing = |rpc: &&Rpc| {
        !service.is_partly_hidden() && served.iter().all(|served| served.method != rpc.method)
    };
    table.rpcs.iter().filter(is_missing).collect()
}
