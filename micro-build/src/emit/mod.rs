//! Emits the Rust items of services: one small function per item, absolute paths, and no `use`.

mod client;
mod descriptor;
pub(crate) mod event;
pub(crate) mod include;
mod messages;
mod server;
mod table;
mod trait_;

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Attribute, parse_quote};

use crate::comments::to_docs;
use crate::error::{Error, ErrorKind};
use crate::messages::{MethodTypes, ServiceTypes};
use crate::model::{Kind, Method, Service};
use crate::naming;
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

/// Returns the attribute that allows lints on a generated item.
///
/// It is written on every item, since an `include!`d file cannot have inner attributes. `warnings`
/// covers all lints of level `warn`; the others are the ones that users often deny by name.
pub(crate) fn allow() -> Attribute {
    parse_quote!(#[allow(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)])
}

/// Text of the attribute that [`allow`] returns.
const ALLOW: &str =
    "#[allow(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]";

/// One service with all names parsed.
struct ServiceScope<'a> {
    service: &'a Service,
    settings: &'a Settings,
    /// The path of `micro_runtime`.
    rt: &'a syn::Path,
    trait_: Ident,
    /// The hidden supertrait with the message types.
    messages: Ident,
    client: Ident,
    server: Ident,
    /// The type parameter of the server.
    handler: Ident,
    descriptor: Ident,
    descriptors: Ident,
    methods: Vec<MethodScope<'a>>,
}

/// One method with all names parsed.
struct MethodScope<'a> {
    method: &'a Method,
    name: Ident,
    /// The hidden method that takes the handler in an `Arc`.
    shared: Ident,
    request_name: Ident,
    reply_name: Ident,
    index: proc_macro2::Literal,
    request: syn::Type,
    reply: syn::Type,
    types: &'a MethodTypes,
}

impl<'a> ServiceScope<'a> {
    fn new(
        service: &'a Service,
        types: &'a ServiceTypes,
        settings: &'a Settings,
    ) -> Result<Self, Error> {
        let types = types.of(&service.full_name);
        if types.len() != service.methods.len() {
            let message = format!("prost did not name the types of `{}`", service.full_name);
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let names = types
            .iter()
            .flat_map(|types| [&types.request, &types.reply]);
        let handler = naming::type_parameter(&service.rust_name, names.map(String::as_str));
        let methods =
            service
                .methods
                .iter()
                .zip(types)
                .enumerate()
                .map(|(index, (method, types))| {
                    Ok(MethodScope {
                        method,
                        name: parse(&method.rust_name)?,
                        shared: parse(&naming::shared(&method.rust_name))?,
                        request_name: parse(&naming::request(&method.rust_name))?,
                        reply_name: parse(&naming::reply(&method.rust_name))?,
                        index: proc_macro2::Literal::usize_unsuffixed(index),
                        request: parse(&types.request)?,
                        reply: parse(&types.reply)?,
                        types,
                    })
                });
        Ok(Self {
            service,
            settings,
            rt: &settings.runtime,
            trait_: parse(&naming::trait_(&service.rust_name))?,
            messages: parse(&naming::messages(&service.rust_name))?,
            client: parse(&naming::client(&service.rust_name))?,
            server: parse(&naming::server(&service.rust_name))?,
            handler: parse(handler)?,
            descriptor: parse(&naming::descriptor(&service.rust_name))?,
            descriptors: parse(&naming::methods(&service.rust_name))?,
            methods: methods.collect::<Result<_, Error>>()?,
        })
    }

    /// Returns `service Greeter` and its position, for error messages.
    fn contract(&self) -> String {
        format!("`service {}` in {}", self.service.name, self.service.at)
    }

    fn service_docs(&self) -> TokenStream {
        let lines = match self.settings.comments(&self.service.full_name) {
            true => to_docs(&self.service.comment),
            false => Vec::new(),
        };
        let origin = format!(
            " Generated from `service {}` in `{}`.",
            self.service.name, self.service.at.file
        );
        let gap = (!lines.is_empty()).then(|| quote!(#[doc = ""]));
        quote!(#(#[doc = #lines])* #gap #[doc = #origin])
    }

    fn deprecated(&self) -> Option<TokenStream> {
        self.service.deprecated.then(|| quote!(#[deprecated]))
    }
}

impl MethodScope<'_> {
    fn docs(&self, scope: &ServiceScope<'_>) -> TokenStream {
        let mut lines = Vec::new();
        if scope.settings.comments(&self.method.full_name) {
            lines = to_docs(&self.method.comment);
        }
        if lines.iter().all(String::is_empty) {
            lines = vec![format!(
                " `rpc {}` of `service {}`.",
                self.method.name, scope.service.name
            )];
        }
        let deprecated = self.method.deprecated.then(|| quote!(#[deprecated]));
        quote!(#(#[doc = #lines])* #deprecated)
    }

    /// Returns the name of the kind in the runtime's constructors and in the companion table.
    fn kind(&self) -> Ident {
        let kind = match self.method.kind {
            Kind::Unary => "unary",
            Kind::ServerStreaming => "server_streaming",
            Kind::ClientStreaming => "client_streaming",
            Kind::Bidirectional => "bidirectional",
        };
        Ident::new(kind, proc_macro2::Span::call_site())
    }
}

fn parse<T: syn::parse::Parse>(text: &str) -> Result<T, Error> {
    syn::parse_str(text).map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            format!("`{text}` cannot stand in Rust code: {error}"),
        )
    })
}
