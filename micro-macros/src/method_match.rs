//! Matches handlers to the methods of the `.proto`.

use syn::ext::IdentExt;

use crate::model::{Handler, ServiceImpl};
use crate::suggestions::closest;
use crate::table::{Rpc, Table};

/// Returns the RPC that a handler implements.
///
/// It is the RPC of the handler's name, or else the one with the closest name among those without a
/// handler.
pub(crate) fn resolve<'t>(
    handler: &Handler,
    service: &ServiceImpl,
    table: &'t Table,
) -> Option<&'t Rpc> {
    table.rpc(handler.name()).or_else(|| {
        let unmatched: Vec<_> = table
            .rpcs
            .iter()
            .filter(|rpc| !has_handler(rpc, service))
            .collect();
        let names: Vec<_> = unmatched
            .iter()
            .map(|rpc| rpc.method.unraw().to_string())
            .collect();
        let name = handler.name().unraw().to_string();
        let closest = closest(&name, names.iter().map(String::as_str))?;
        unmatched
            .into_iter()
            .find(|rpc| rpc.method.unraw() == closest)
    })
}

/// Returns the RPCs that no handler implements, not even under a misspelled name.
pub(crate) fn missing<'t>(service: &ServiceImpl, table: &'t Table) -> Vec<&'t Rpc> {
    if service.is_partly_hidden() {
        return vec![];
    }
    let matched = service
        .handlers()
        .filter_map(|handler| resolve(handler, service, table));
    let matched: Vec<_> = matched.map(|rpc| &rpc.method).collect();
    table
        .rpcs
        .iter()
        .filter(|rpc| !matched.contains(&&rpc.method))
        .collect()
}

fn has_handler(rpc: &Rpc, service: &ServiceImpl) -> bool {
    service
        .handlers()
        .any(|handler| handler.name().unraw() == rpc.method.unraw())
}
