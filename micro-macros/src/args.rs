//! Parses the arguments of `#[service(…)]` and `#[rpc(…)]`, and checks each value.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Lit, Meta, Path, Result, Token};

use crate::errors::Errors;
use crate::suggestions::suggestion;

/// Arguments of `#[service(…)]`.
#[derive(Default)]
pub(crate) struct ServiceArgs {
    /// The path of the runtime; `None` for the path in the companion table.
    pub(crate) runtime: Option<Path>,
}

/// Arguments of all `#[rpc(…)]` attributes of one method.
#[derive(Clone, Default)]
pub(crate) struct RpcArgs {
    pub(crate) options: Vec<RpcOption>,
}

/// One option of `#[rpc(…)]`; the name is kept for its span.
#[derive(Clone)]
pub(crate) struct RpcOption {
    pub(crate) name: Ident,
    pub(crate) setting: Setting,
}

/// Value of one option of `#[rpc(…)]`.
#[derive(Clone, PartialEq)]
pub(crate) enum Setting {
    TimeoutMs(u64),
    MaxConcurrent(u32),
    Queue(String),
    Blocking,
    Detached,
}

/// Names of the options of `#[rpc(…)]`.
const RPC_OPTIONS: [&str; 5] = ["timeout", "max_concurrent", "queue", "blocking", "detached"];

/// One `name` or `name = value`, not yet interpreted.
struct Arg {
    name: Ident,
    value: Option<TokenStream>,
}

impl ServiceArgs {
    /// Parses the arguments; invalid ones are added to `errors` and left out.
    pub(crate) fn from_tokens(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        for arg in parse_args(tokens, errors) {
            if errors.keep(is_service_argument(&arg)).is_none() {
                continue;
            }
            if args.runtime.is_some() {
                errors.push(set_twice(&arg.name));
            }
            args.runtime = errors.keep(crate_path(&arg)).or(args.runtime);
        }
        args
    }
}

impl RpcArgs {
    /// Adds the options of one `#[rpc(…)]`; invalid ones are added to `errors` and left out.
    pub(crate) fn read(&mut self, attribute: &Attribute, errors: &mut Errors) {
        let tokens = match &attribute.meta {
            Meta::List(list) => list.tokens.clone(),
            Meta::Path(_) | Meta::NameValue(_) => {
                let message = "`#[rpc]` takes options, as in `#[rpc(timeout = \"5s\")]`";
                return errors.push(Error::new_spanned(attribute, message));
            }
        };
        for arg in parse_args(tokens, errors) {
            let Some(setting) = errors.keep(setting(&arg)) else {
                continue;
            };
            if self.options.iter().any(|option| option.name == arg.name) {
                errors.push(set_twice(&arg.name));
            }
            self.options.push(RpcOption {
                name: arg.name,
                setting,
            });
        }
    }
}

impl Parse for Arg {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.call(Ident::parse_any)?;
        if input.is_empty() || input.peek(Token![,]) {
            return Ok(Self { name, value: None });
        }
        if input.parse::<Token![=]>().is_err() {
            return Err(input.error(format!("expected `{name} = …`")));
        }
        let mut value = TokenStream::new();
        while !input.is_empty() && !input.peek(Token![,]) {
            value.extend([input.parse::<TokenTree>()?]);
        }
        Ok(Self {
            name,
            value: Some(value),
        })
    }
}

fn parse_args(tokens: TokenStream, errors: &mut Errors) -> Vec<Arg> {
    let args = Punctuated::<Arg, Token![,]>::parse_terminated.parse2(tokens);
    errors.keep(args).into_iter().flatten().collect()
}

fn is_service_argument(arg: &Arg) -> Result<()> {
    let name = arg.name.to_string();
    let message = match name.as_str() {
        "crate" => return Ok(()),
        name if RPC_OPTIONS.contains(&name) => {
            format!(
                "unknown argument `{name}`; it belongs to a method: `#[rpc({name}{})]`",
                example(name)
            )
        }
        name => format!(
            "unknown argument `{name}`; `#[service]` knows only `crate = path::to::micro_runtime`"
        ),
    };
    Err(Error::new_spanned(&arg.name, message))
}

fn crate_path(arg: &Arg) -> Result<Path> {
    let path = arg
        .value
        .clone()
        .map(|value| Path::parse_mod_style.parse2(value));
    match path {
        Some(Ok(path)) => Ok(path),
        _ => Err(value_error(
            arg,
            "`crate` expects a path, as in `crate = ::my_micro`",
        )),
    }
}

fn setting(arg: &Arg) -> Result<Setting> {
    match arg.name.to_string().as_str() {
        "timeout" => timeout(arg).map(Setting::TimeoutMs),
        "max_concurrent" => max_concurrent(arg).map(Setting::MaxConcurrent),
        "queue" => queue(arg).map(Setting::Queue),
        "blocking" => flag(arg).map(|()| Setting::Blocking),
        "detached" => flag(arg).map(|()| Setting::Detached),
        name => {
            let message = format!("unknown option `{name}`{}", suggestion(name, &RPC_OPTIONS));
            Err(Error::new_spanned(&arg.name, message))
        }
    }
}

fn timeout(arg: &Arg) -> Result<u64> {
    let text = string(arg)?;
    let invalid = |why: &str| value_error(arg, &format!("invalid duration {text:?}: {why}"));
    match parse_duration(&text) {
        Some(0) => Err(invalid("a timeout is at least one millisecond")),
        Some(milliseconds) => Ok(milliseconds),
        None => Err(invalid(
            "write a whole number and a unit, as in \"250ms\", \"5s\" or \"1m\"",
        )),
    }
}

fn max_concurrent(arg: &Arg) -> Result<u32> {
    let number = match literal(arg) {
        Some(Lit::Int(number)) => number.base10_parse().ok(),
        _ => None,
    };
    match number {
        Some(0) => Err(value_error(
            arg,
            "`max_concurrent` is at least 1: with 0 no call would ever run",
        )),
        Some(number) => Ok(number),
        None => Err(value_error(
            arg,
            "`max_concurrent` expects a number, as in `max_concurrent = 64`",
        )),
    }
}

fn queue(arg: &Arg) -> Result<String> {
    let name = string(arg)?;
    match queue_flaw(&name) {
        Some(flaw) => Err(value_error(
            arg,
            &format!("invalid queue group {name:?}: {flaw}"),
        )),
        None => Ok(name),
    }
}

fn flag(arg: &Arg) -> Result<()> {
    match arg.value {
        Some(_) => Err(value_error(
            arg,
            &format!(
                "`{0}` takes no value: write `{0}` or leave it out",
                arg.name
            ),
        )),
        None => Ok(()),
    }
}

fn string(arg: &Arg) -> Result<String> {
    match literal(arg) {
        Some(Lit::Str(text)) => Ok(text.value()),
        _ => {
            let name = arg.name.to_string();
            let message = format!(
                "`{name}` expects a string, as in `{name}{}`",
                example(&name)
            );
            Err(value_error(arg, &message))
        }
    }
}

fn literal(arg: &Arg) -> Option<Lit> {
    arg.value.clone().and_then(|value| syn::parse2(value).ok())
}

/// Returns an example value for a message, with the equals sign.
fn example(option: &str) -> &'static str {
    match option {
        "timeout" => " = \"5s\"",
        "max_concurrent" => " = 64",
        "queue" => " = \"workers\"",
        _ => "",
    }
}

/// Parses a whole number and a unit to milliseconds; `None` if the text is invalid or overflows.
fn parse_duration(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let factor = match &text[unit..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    text[..unit].parse::<u64>().ok()?.checked_mul(factor)
}

/// Returns the reason why `name` is not a valid queue group, if it is not.
fn queue_flaw(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it is empty; `-` switches queueing off"),
        _ if name.contains(char::is_whitespace) => Some("whitespace is not allowed"),
        _ if name.contains(['*', '>']) => Some("wildcards are not allowed"),
        _ if name.split('.').any(str::is_empty) => Some("between dots there must be a name"),
        _ if !name.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Some("only printable ASCII is allowed")
        }
        _ => None,
    }
}

fn set_twice(name: &Ident) -> Error {
    Error::new_spanned(name, format!("`{name}` is set twice"))
}

/// Creates an error at the value, or at the name if there is no value.
fn value_error(arg: &Arg, message: &str) -> Error {
    match &arg.value {
        Some(value) if !value.is_empty() => Error::new_spanned(value, message),
        _ => Error::new_spanned(arg.name.to_token_stream(), message),
    }
}
