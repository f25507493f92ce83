//! Names of a service and its methods, parsed as Rust, with the text of their documentation.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use crate::comments::to_docs;
use crate::error::{Error, ErrorKind};
use crate::messages::{MethodTypes, ServiceTypes};
use crate::model::{Kind, Method, Service};
use crate::naming;
use crate::settings::Settings;

/// One service with all names parsed.
pub(super) struct ServiceScope<'a> {
    pub(super) service: &'a Service,
    pub(super) settings: &'a Settings,
    /// The path of `micro_runtime`.
    pub(super) rt: &'a syn::Path,
    pub(super) trait_: Ident,
    /// The hidden supertrait with the message types.
    pub(super) messages: Ident,
    pub(super) client: Ident,
    pub(super) server: Ident,
    /// The type parameter of the server.
    pub(super) handler: Ident,
    pub(super) descriptor: Ident,
    pub(super) descriptors: Ident,
    pub(super) methods: Vec<MethodScope<'a>>,
}

/// One method with all names parsed.
pub(super) struct MethodScope<'a> {
    pub(super) method: &'a Method,
    pub(super) name: Ident,
    /// The hidden method that takes the handler in an `Arc`.
    pub(super) shared: Ident,
    pub(super) request_name: Ident,
    pub(super) reply_name: Ident,
    pub(super) index: proc_macro2::Literal,
    pub(super) request: syn::Type,
    pub(super) reply: syn::Type,
    pub(super) types: &'a MethodTypes,
}

impl<'a> ServiceScope<'a> {
    pub(super) fn new(
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
    pub(super) fn contract(&self) -> String {
        format!("`service {}` in {}", self.service.name, self.service.at)
    }

    pub(super) fn service_docs(&self) -> TokenStream {
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

    pub(super) fn deprecated(&self) -> Option<TokenStream> {
        self.service.deprecated.then(|| quote!(#[deprecated]))
    }
}

impl MethodScope<'_> {
    pub(super) fn docs(&self, scope: &ServiceScope<'_>) -> TokenStream {
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
    pub(super) fn kind(&self) -> Ident {
        let kind = match self.method.kind {
            Kind::Unary => "unary",
            Kind::ServerStreaming => "server_streaming",
            Kind::ClientStreaming => "client_streaming",
            Kind::Bidirectional => "bidirectional",
        };
        Ident::new(kind, proc_macro2::Span::call_site())
    }
}

pub(super) fn parse<T: syn::parse::Parse>(text: &str) -> Result<T, Error> {
    syn::parse_str(text).map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            format!("`{text}` cannot stand in Rust code: {error}"),
        )
    })
}
