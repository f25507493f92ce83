//! Emits all items of one service, in the order of the generated file.

use proc_macro2::TokenStream;

use super::scope::ServiceScope;
use super::{client, descriptor, messages, server, table, trait_};
use crate::error::Error;
use crate::messages::ServiceTypes;
use crate::model::Service;
use crate::settings::Settings;

/// Rust code of one service.
pub(crate) struct ServiceCode {
    /// Items that are not formatted yet.
    pub(crate) items: TokenStream,
    /// The companion table as formatted text, since a formatter leaves macros as one long line.
    pub(crate) table: String,
}

/// Emits all items for one service.
///
/// # Errors
///
/// Fails if a name is not valid in Rust, which `check` should have rejected.
pub(crate) fn service(
    service: &Service,
    types: &ServiceTypes,
    settings: &Settings,
) -> Result<ServiceCode, Error> {
    let scope = ServiceScope::new(service, types, settings)?;
    let mut code = ServiceCode {
        items: TokenStream::new(),
        table: String::new(),
    };
    if settings.server {
        code.items.extend(trait_::emit(&scope));
        code.items.extend(messages::emit(&scope));
        code.table = table::emit(&scope);
    }
    if settings.client {
        code.items.extend(client::emit(&scope));
    }
    if settings.server {
        code.items.extend(server::emit(&scope));
    }
    if settings.client || settings.server {
        code.items.extend(descriptor::emit(&scope));
    }
    Ok(code)
}
