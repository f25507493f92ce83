//! Which method of the .proto each handler serves.

use syn::ext::IdentExt;

use crate::model::{Handler, ServiceImpl};
use crate::suggestions::closest;
use crate::table::{Rpc, Table};

/// The RPC that a handler serves: the one of its name, or the free one whose name is nearest.
pub(crate) fn resolve<'t>(
    handler: &Handler,
    service: &ServiceImpl,
    table: &'t Table,
) -> Option<&'t Rpc> {
    table.rpc(handler.name()).or_else(|| {
        let free: Vec<_> = table
            .rpcs
            .iter()
            .filter(|rpc| !has_handler(rpc, service))
            .collect();
        let names: Vec<_> = free
            .iter()
            .map(|rpc| rpc.method.unraw().to_string())
            .collect();
        let name = handler.name().unraw().to_string();
        let closest = closest(&name, names.iter().map(String::as_str))?;
        free.into_iter().find(|rpc| rpc.method.unraw() == closest)
    })
}

/// The RPCs that no handler serves, not even under a misspelt name.
pub(crate) fn missing<'t>(service: &ServiceImpl, table: &'t Table) -> Vec<&'t Rpc> {
    if service.is_partly_hidden() {
        return vec![];
    }
    let served = service
        .handlers()
        .filter_map(|handler| resolve(handler, service, table));
    let served: Vec<_> = served.map(|rpc| &rpc.method).collect();
    table
        .rpcs
        .iter()
        .filter(|rpc| !served.contains(&&rpc.method))
        .collect()
}

fn has_handler(rpc: &Rpc, service: &ServiceImpl) -> bool {
    service
        .handlers()
        .any(|handler| handler.name().unraw() == rpc.method.unraw())
}
