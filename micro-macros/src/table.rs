//! Parses the companion table, the description of a service that micro-build emits beside its trait.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseBuffer, ParseStream};
use syn::{LitStr, Path, Result, Type, bracketed, parenthesized, parse_quote};

/// A service as declared by its `.proto`.
pub(crate) struct Table {
    pub(crate) runtime: Path,
    /// The trait's name in the generated code, which an import may rename.
    pub(crate) service: Ident,
    /// The position of the service, such as `greeter.proto:5`.
    pub(crate) place: String,
    pub(crate) rpcs: Vec<Rpc>,
    pub(crate) contract: Contract,
}

/// Source of the signatures that an impl is checked against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contract {
    /// A service of a `.proto`.
    Service,
    /// The runtime's trait for handlers of events.
    Subscriber,
}

/// A method as declared by its `.proto`.
pub(crate) struct Rpc {
    /// The trait's method: `say_hello`.
    pub(crate) method: Ident,
    /// The protobuf name: `SayHello`.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) place: String,
    pub(crate) request: Message,
    pub(crate) reply: Message,
    /// The event type of a subscriber, as written by the user.
    pub(crate) event: Option<Type>,
}

/// Kind of a method, by the directions that are streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Unary,
    ServerStreaming,
    ClientStreaming,
    Bidirectional,
}

/// A message type, by its path from the package's module.
pub(crate) struct Message {
    path: String,
}

impl Table {
    /// Returns the table of `Subscriber<event>`, the runtime's trait.
    pub(crate) fn of_subscriber(runtime: Path, event: Type) -> Self {
        let place = "trait `Subscriber`";
        let on_event = Rpc {
            method: format_ident!("on_event"),
            name: "on_event".to_owned(),
            kind: Kind::Unary,
            place: place.to_owned(),
            request: Message::of(&event),
            reply: Message::of(&quote! { () }),
            event: Some(event),
        };
        Self {
            runtime,
            service: format_ident!("Subscriber"),
            place: place.to_owned(),
            rpcs: vec![on_event],
            contract: Contract::Subscriber,
        }
    }

    /// Returns the noun for methods in messages.
    pub(crate) fn noun(&self) -> &'static str {
        match self.contract {
            Contract::Service => "RPC",
            Contract::Subscriber => "method",
        }
    }

    pub(crate) fn rpc(&self, method: &Ident) -> Option<&Rpc> {
        self.rpcs
            .iter()
            .find(|rpc| rpc.method.unraw() == method.unraw())
    }

    /// Returns the type of a method's request argument, for a repaired signature.
    pub(crate) fn request(&self, rpc: &Rpc) -> Type {
        let (runtime, message) = (&self.runtime, message(rpc, "request"));
        match rpc.kind.streams_requests() {
            true => parse_quote! { #runtime::Streaming<#message> },
            false => message,
        }
    }

    /// Returns the return type of a method, for a repaired signature.
    pub(crate) fn output(&self, rpc: &Rpc) -> Type {
        let (runtime, message) = (&self.runtime, message(rpc, "reply"));
        let reply: Type = match rpc.kind.streams_replies() {
            true => parse_quote! { #runtime::Streaming<#message> },
            false => message,
        };
        parse_quote! { ::core::result::Result<#reply, #runtime::Status> }
    }
}

/// Returns the message type of a method; `role` is `request` or `reply`.
///
/// It is an associated type of the trait's hidden supertrait, so that no import of the message is
/// needed.
fn message(rpc: &Rpc, role: &str) -> Type {
    if let Some(event) = &rpc.event {
        return match role {
            "request" => event.clone(),
            _ => parse_quote! { () },
        };
    }
    let name = format_ident!("__{}_{role}", rpc.method);
    parse_quote! { Self::#name }
}

impl Rpc {
    /// Returns `ctx: Context, request: HelloRequest`.
    pub(crate) fn arguments(&self) -> String {
        format!("ctx: Context, {}", self.request_argument())
    }

    /// Returns `request: HelloRequest`, or `requests: Streaming<HelloRequest>`.
    pub(crate) fn request_argument(&self) -> String {
        match self.kind.streams_requests() {
            true => format!("requests: Streaming<{}>", self.request.shown()),
            false if self.event.is_some() => format!("event: {}", self.request.shown()),
            false => format!("request: {}", self.request.shown()),
        }
    }

    /// Returns `Result<HelloReply, Status>`, or `Result<impl ReplyStream<HelloReply>, Status>`.
    pub(crate) fn output(&self) -> String {
        match self.kind.streams_replies() {
            true => format!("Result<impl ReplyStream<{}>, Status>", self.reply.shown()),
            false => format!("Result<{}, Status>", self.reply.shown()),
        }
    }

    /// Returns the whole signature, which a user can copy from a message.
    pub(crate) fn signature(&self) -> String {
        format!(
            "async fn {}(&self, {}) -> {}",
            self.method,
            self.arguments(),
            self.output()
        )
    }
}

impl Kind {
    pub(crate) fn streams_requests(self) -> bool {
        matches!(self, Self::ClientStreaming | Self::Bidirectional)
    }

    pub(crate) fn streams_replies(self) -> bool {
        matches!(self, Self::ServerStreaming | Self::Bidirectional)
    }
}

impl Message {
    fn of(tokens: &impl ToTokens) -> Self {
        let path = tokens.to_token_stream().to_string();
        Self {
            path: path.replace(' ', ""),
        }
    }

    /// Returns the last segment of the path, under which a user probably imports the message.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit("::").next().unwrap_or_default()
    }

    /// Returns the path for messages, without the leading `super::` that leave the package's module.
    pub(crate) fn shown(&self) -> &str {
        let mut path = self.path.as_str();
        while let Some(rest) = path.strip_prefix("super::") {
            path = rest;
        }
        path
    }
}

impl Parse for Table {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let runtime = section(input, "runtime")?.call(Path::parse_mod_style)?;
        let service = section(input, "service")?;
        let name = service.call(Ident::parse_any)?;
        let _full_name: LitStr = service.parse()?;
        let place = service.parse::<LitStr>()?.value();
        word(input, "messages")?;
        let mut rpcs = Vec::new();
        while peek_word(input, "rpc") {
            rpcs.push(section(input, "rpc")?.parse()?);
        }
        Ok(Self {
            runtime,
            service: name,
            place,
            rpcs,
            contract: Contract::Service,
        })
    }
}

impl Parse for Rpc {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Ok(Self {
            method: input.call(Ident::parse_any)?,
            name: input.parse::<LitStr>()?.value(),
            kind: input.parse()?,
            place: input.parse::<LitStr>()?.value(),
            request: input.parse()?,
            reply: input.parse()?,
            event: None,
        })
    }
}

impl Parse for Kind {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let kind: Ident = input.parse()?;
        match kind.to_string().as_str() {
            "unary" => Ok(Self::Unary),
            "server_streaming" => Ok(Self::ServerStreaming),
            "client_streaming" => Ok(Self::ClientStreaming),
            "bidirectional" => Ok(Self::Bidirectional),
            other => Err(input.error(format!("unknown kind `{other}`"))),
        }
    }
}

impl Parse for Message {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let content;
        bracketed!(content in input);
        Ok(Self::of(&content.parse::<TokenStream>()?))
    }
}

/// Parses `name(…)` and returns its content.
pub(crate) fn section<'a>(input: ParseStream<'a>, name: &str) -> Result<ParseBuffer<'a>> {
    word(input, name)?;
    let content;
    parenthesized!(content in input);
    Ok(content)
}

fn word(input: ParseStream<'_>, expected: &str) -> Result<()> {
    match peek_word(input, expected) {
        true => input.call(Ident::parse_any).map(|_| ()),
        false => Err(input.error(format!("expected `{expected}`"))),
    }
}

fn peek_word(input: ParseStream<'_>, word: &str) -> bool {
    input
        .fork()
        .call(Ident::parse_any)
        .is_ok_and(|found| found == word)
}
