//! The annotated impl as the other stages see it: signatures are parsed, bodies stay raw tokens, so that
//! a half-typed body still expands.

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

/// `impl Trait for Type { … }`
pub(crate) struct ServiceImpl {
    /// The impl without its members.
    pub(crate) header: ItemImpl,
    pub(crate) service: Path,
    pub(crate) members: Vec<Member>,
    /// Where the block stands, so that rustc's own errors point at the impl.
    block: Span,
}

/// One item of the impl.
pub(crate) enum Member {
    Handler(Box<Handler>),
    Const(Ident, TokenStream),
    Type(Ident, TokenStream),
    MacroCall(Path, TokenStream),
    /// What cannot be parsed is left to rustc.
    Verbatim(TokenStream),
}

/// A function of the impl.
#[derive(Clone)]
pub(crate) struct Handler {
    /// All but `#[rpc(…)]`.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) rpc: RpcArgs,
    /// A `pub`, which rustc refuses.
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// The block, or a semicolon.
    pub(crate) body: TokenStream,
}

impl ServiceImpl {
    /// Reads an impl of a trait. Mistakes in `#[rpc(…)]` go to `errors` and are left out.
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

    /// The service as the user calls it.
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

    /// The impl with `members` in its block.
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
            #[allow(refining_impl_trait, reason = "a handler may say more of its reply than the trait does")]
            #(#attrs)* #unsafety #impl_token #generics #service for #self_ty #where_clause #block
        }
    }

    /// Whether parts of the impl are not known, so that nothing can be said to be missing.
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

    /// The `#[cfg(…)]` under which the handler exists.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident("cfg"))
    }

    /// The arguments after the receiver.
    pub(crate) fn arguments(&self) -> Vec<&PatType> {
        let inputs = self.signature.inputs.iter();
        inputs
            .filter_map(|input| match input {
                FnArg::Typed(argument) => Some(argument),
                FnArg::Receiver(_) => None,
            })
            .collect()
    }

    /// The type after the arrow.
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

/// Takes `impl … { … }` apart, so that the header is parsed even where the block cannot be.
pub(crate) fn header(item: TokenStream) -> Result<(ItemImpl, Group)> {
    let mut tokens: Vec<TokenTree> = item.into_iter().collect();
    let body = match tokens.pop() {
        Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => body,
        last => return Err(Error::new_spanned(last, "expected a block")),
    };
    tokens.push(Group::new(Delimiter::Brace, TokenStream::new()).into());
    Ok((syn::parse2(tokens.into_iter().collect())?, body))
}

/// `#[rpc(…)]`, or the same with the runtime's name before it.
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

/// Takes the tokens up to a semicolon or a block.
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
