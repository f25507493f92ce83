//! The parsed impl: signatures are parsed, and bodies are tokens, so that an incomplete body expands.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{
    Attribute, Error, FnArg, ItemImpl, PatType, Path, Result, Signature, Token, Type, Visibility,
    token,
};

use crate::args::RpcArgs;
use crate::errors::Errors;

/// The block `impl Trait for Type { … }`.
pub(crate) struct ServiceImpl {
    /// The impl without its members.
    pub(crate) header: ItemImpl,
    pub(crate) service: Path,
    pub(crate) members: Vec<Member>,
    /// The span of the braces, so that errors of rustc point at the impl.
    block: Span,
}

/// One item of the impl.
pub(crate) enum Member {
    Handler(Box<Handler>),
    Const(Ident, TokenStream),
    Type(Ident, TokenStream),
    MacroCall(Path, TokenStream),
    /// Tokens that cannot be parsed, which are emitted for rustc to report.
    Verbatim(TokenStream),
}

/// A function of the impl.
#[derive(Clone)]
pub(crate) struct Handler {
    /// All attributes except `#[rpc(…)]`.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) rpc: RpcArgs,
    /// The visibility, which rustc rejects.
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// The block, or a semicolon if there is none.
    pub(crate) body: TokenStream,
}

impl ServiceImpl {
    /// Parses an impl of a trait. Invalid options of `#[rpc(…)]` are added to `errors` and left out.
    pub(crate) fn from_tokens(item: TokenStream, errors: &mut Errors) -> Result<Self> {
        let (mut header, body) = header(item)?;
        let Some((None, service, _)) = header.trait_.clone() else {
            return Err(Error::new_spanned(
                &header.self_ty,
                "expected the impl of a trait",
            ));
        };
        let (inner, mut members) = members.parse2(body.stream())?;
        header.attrs.extend(inner);
        for member in &mut members {
            if let Member::Handler(handler) = member {
                handler.take_rpc_args(errors);
            }
        }
        Ok(Self {
            header,
            service,
            members,
            block: body.span(),
        })
    }

    /// Returns the last segment of the trait's path.
    pub(crate) fn name(&self) -> String {
        let last = self.service.segments.last();
        last.map_or_else(String::new, |last| last.ident.to_string())
    }

    pub(crate) fn handlers(&self) -> impl Iterator<Item = &Handler> {
        self.members.iter().filter_map(|member| match member {
            Member::Handler(handler) => Some(&**handler),
            _ => None,
        })
    }

    /// Returns the impl with `members` in its block.
    pub(crate) fn with(&self, members: TokenStream) -> TokenStream {
        let mut block = Group::new(Delimiter::Brace, members);
        block.set_span(self.block);
        let ItemImpl {
            attrs,
            unsafety,
            impl_token,
            generics,
            self_ty,
            ..
        } = &self.header;
        let (service, where_clause) = (&self.service, &generics.where_clause);
        quote! {
            #[allow(refining_impl_trait, reason = "a handler's reply type may be more specific than the trait's")]
            #(#attrs)* #unsafety #impl_token #generics #service for #self_ty #where_clause #block
        }
    }

    /// Returns whether some items cannot be parsed, so that a method cannot be reported as missing.
    pub(crate) fn is_partly_hidden(&self) -> bool {
        self.members
            .iter()
            .any(|member| matches!(member, Member::MacroCall(..) | Member::Verbatim(_)))
    }
}

impl Handler {
    pub(crate) fn name(&self) -> &Ident {
        &self.signature.ident
    }

    /// Returns the `#[cfg(…)]` attributes of the handler.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident("cfg"))
    }

    /// Returns the arguments without the receiver.
    pub(crate) fn arguments(&self) -> Vec<&PatType> {
        let inputs = self.signature.inputs.iter();
        inputs
            .filter_map(|input| match input {
                FnArg::Typed(argument) => Some(argument),
                FnArg::Receiver(_) => None,
            })
            .collect()
    }

    /// Returns the return type, if there is one.
    pub(crate) fn output(&self) -> Option<&Type> {
        match &self.signature.output {
            syn::ReturnType::Type(_, output) => Some(output),
            syn::ReturnType::Default => None,
        }
    }

    fn take_rpc_args(&mut self, errors: &mut Errors) {
        let (options, others) = self.attributes.drain(..).partition::<Vec<_>, _>(is_rpc);
        self.attributes = others;
        for attribute in &options {
            self.rpc.read(attribute, errors);
        }
    }
}

/// Splits `impl … { … }` into its header and block, so that the block need not be valid.
pub(crate) fn header(item: TokenStream) -> Result<(ItemImpl, Group)> {
    let mut tokens: Vec<TokenTree> = item.into_iter().collect();
    let body = match tokens.pop() {
        Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => body,
        last => return Err(Error::new_spanned(last, "expected a block")),
    };
    tokens.push(Group::new(Delimiter::Brace, TokenStream::new()).into());
    Ok((syn::parse2(tokens.into_iter().collect())?, body))
}

/// Returns whether the attribute is `#[rpc(…)]` or `#[micro_runtime::rpc(…)]`.
fn is_rpc(attribute: &Attribute) -> bool {
    let path = attribute.path();
    path.segments.last().is_some_and(|last| last.ident == "rpc") && path.segments.len() <= 2
}

fn members(input: ParseStream<'_>) -> Result<(Vec<Attribute>, Vec<Member>)> {
    let inner = input.call(Attribute::parse_inner)?;
    let mut members = Vec::new();
    while !input.is_empty() {
        members.push(input.parse()?);
    }
    Ok((inner, members))
}

impl Parse for Member {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let ahead = input.fork();
        if let Ok(handler) = ahead.parse() {
            input.advance_to(&ahead);
            return Ok(Self::Handler(Box::new(handler)));
        }
        let start = input.fork();
        let tokens = until_end(input)?;
        Ok(other_member(&start, &tokens).unwrap_or(Self::Verbatim(tokens)))
    }
}

impl Parse for Handler {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Ok(Self {
            attributes: input.call(Attribute::parse_outer)?,
            rpc: RpcArgs::default(),
            visibility: input.parse()?,
            signature: input.parse()?,
            body: match input.peek(token::Brace) {
                true => input.parse::<Group>()?.to_token_stream(),
                false => input.parse::<Token![;]>()?.to_token_stream(),
            },
        })
    }
}

/// Parses an item that is not a function; `tokens` are all of its tokens.
fn other_member(start: ParseStream<'_>, tokens: &TokenStream) -> Result<Member> {
    start.call(Attribute::parse_outer)?;
    start.parse::<Visibility>()?;
    if start.parse::<Option<Token![const]>>()?.is_some() {
        return Ok(Member::Const(start.call(Ident::parse_any)?, tokens.clone()));
    }
    if start.parse::<Option<Token![type]>>()?.is_some() {
        return Ok(Member::Type(start.call(Ident::parse_any)?, tokens.clone()));
    }
    let path = start.call(Path::parse_mod_style)?;
    start.parse::<Token![!]>()?;
    Ok(Member::MacroCall(path, tokens.clone()))
}

/// Consumes the tokens up to and including a semicolon or a block.
fn until_end(input: ParseStream<'_>) -> Result<TokenStream> {
    let mut tokens = TokenStream::new();
    while !input.is_empty() {
        let ends = input.peek(Token![;]) || input.peek(token::Brace);
        tokens.extend([input.parse::<TokenTree>()?]);
        if ends {
            break;
        }
    }
    Ok(tokens)
}

impl ToTokens for Member {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Handler(handler) => handler.to_tokens(tokens),
            Self::Const(_, raw)
            | Self::Type(_, raw)
            | Self::MacroCall(_, raw)
            | Self::Verbatim(raw) => {
                raw.to_tokens(tokens);
            }
        }
    }
}

impl ToTokens for Handler {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self {
            attributes,
            visibility,
            signature,
            body,
            ..
        } = self;
        tokens.extend(quote! { #(#attributes)* #visibility #signature #body });
    }
}
