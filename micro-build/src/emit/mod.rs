//! Writes the Rust items of services, one small function per item, in absolute paths and no `use`.

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
use crate::messages::{MethodTypes, Types};
use crate::model::{Kind, Method, Service};
use crate::naming;
use crate::settings::Settings;

/// The Rust code of one service.
pub(crate) struct Code {
    /// Items that are still to be formatted.
    pub(crate) items: TokenStream,
    /// The companion macro, which a formatter would leave as one long line.
    pub(crate) table: String,
}

/// Writes everything for one service.
///
/// # Errors
///
/// Fails if a name is not one that Rust can hold, which `check` should have refused.
pub(crate) fn service(
    service: &Service,
    types: &Types,
    settings: &Settings,
) -> Result<Code, Error> {
    let scope = Scope::new(service, types, settings)?;
    let mut code = Code {
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

/// The lints that generated items are spared: a user's levels cannot know about them, and an inner
/// attribute cannot stand inside of an `include!`. `warnings` is every lint at the level `warn`; the
/// others are those that people deny by name.
pub(crate) fn allow() -> Attribute {
    parse_quote!(#[allow(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)])
}

/// [`allow`] as text.
const ALLOW: &str =
    "#[allow(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]";

/// One service with every name resolved.
struct Scope<'a> {
    service: &'a Service,
    settings: &'a Settings,
    rt: &'a syn::Path,
    trait_: Ident,
    messages: Ident,
    client: Ident,
    server: Ident,
    /// The type parameter of the server.
    handler: Ident,
    descriptor: Ident,
    descriptors: Ident,
    methods: Vec<ScopedMethod<'a>>,
}

struct ScopedMethod<'a> {
    method: &'a Method,
    name: Ident,
    shared: Ident,
    request_name: Ident,
    reply_name: Ident,
    index: proc_macro2::Literal,
    request: syn::Type,
    reply: syn::Type,
    types: &'a MethodTypes,
}

impl<'a> Scope<'a> {
    fn new(service: &'a Service, types: &'a Types, settings: &'a Settings) -> Result<Self, Error> {
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
                    Ok(ScopedMethod {
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

    /// For messages: `service Greeter` and where to find it.
    fn contract(&self) -> String {
        format!("`service {}` in {}", self.service.name, self.service.at)
    }

    fn service_docs(&self) -> TokenStream {
        let lines = match self.settings.comments(&self.service.full_name) {
            true => to_docs(&self.service.comment),
            false => Vec::new(),
        };
        let origin = format!(
            " From `service {}` in `{}`.",
            self.service.name, self.service.at.file
        );
        let gap = (!lines.is_empty()).then(|| quote!(#[doc = ""]));
        quote!(#(#[doc = #lines])* #gap #[doc = #origin])
    }

    fn deprecated(&self) -> Option<TokenStream> {
        self.service.deprecated.then(|| quote!(#[deprecated]))
    }
}

impl ScopedMethod<'_> {
    fn docs(&self, scope: &Scope<'_>) -> TokenStream {
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

    /// What the constructors of endpoints and calls, and the table, call its kind.
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
