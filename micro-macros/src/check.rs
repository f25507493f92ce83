//! Checks an impl against the `.proto`.
//!
//! Each rule is one function with one case of the same name in `tests/ui/fail`. There is no rule for a
//! mistake that rustc reports better.

mod arguments;
mod members;
mod options;
mod output;
mod shape;

use syn::Result;

use crate::errors::Errors;
use crate::method_match::resolve;
use crate::model::{Handler, Member, ServiceImpl};
use crate::table::{Rpc, Table};

type Rule = fn(&Handler, &Rpc) -> Result<()>;

/// Rules that every handler must follow, in the order in which their errors are reported.
const HANDLER_RULES: &[Rule] = &[
    shape::is_async,
    shape::has_receiver,
    shape::shares_self,
    shape::borrows_self,
    shape::is_not_generic,
    shape::is_safe,
    shape::is_not_const,
    shape::is_not_extern,
    arguments::takes_context_and_request,
    arguments::in_order,
    arguments::takes_one_message,
    arguments::takes_a_stream,
    output::has_output,
    output::is_a_result,
    output::is_one_message,
    options::blocks_for_one_reply,
    options::detaches_for_one_reply,
    options::is_for_calls,
];

/// Adds every violation of the rules to `errors`.
pub(crate) fn check(service: &ServiceImpl, table: &Table, errors: &mut Errors) {
    errors.check(members::no_async_trait(service));
    for member in &service.members {
        match member {
            Member::Handler(handler) => check_handler(handler, service, table, errors),
            _ => errors.check(members::only_methods(member, service, table)),
        }
    }
    errors.check(members::is_complete(service, table));
}

fn check_handler(handler: &Handler, service: &ServiceImpl, table: &Table, errors: &mut Errors) {
    errors.check(members::is_known(handler, service, table));
    let Some(rpc) = resolve(handler, service, table) else {
        return;
    };
    for rule in HANDLER_RULES {
        errors.check(rule(handler, rpc));
    }
}
