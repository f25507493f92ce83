//! Every Rust name that generated code uses, and how it follows from the protobuf name.
//!
//! Types and methods are named as prost and tonic name them, so that code can move over.

use heck::{ToSnakeCase, ToUpperCamelCase};

/// The Rust name of a message, an enum or the variant for a field of a oneof.
pub(crate) fn type_name(proto: &str) -> String {
    escape(&proto.to_upper_camel_case())
}

/// The variant for a value of an enum, whose name prost cuts off in front if it is repeated there.
pub(crate) fn variant(enumeration: &str, value: &str) -> String {
    let (prefix, value) = (type_name(enumeration), type_name(value));
    let rest = value.strip_prefix(prefix.as_str());
    let rest = rest.filter(|rest| rest.starts_with(char::is_uppercase));
    escape(rest.unwrap_or(&value))
}

/// The name of a service, of which its trait, client and server are made.
pub(crate) fn service(proto: &str) -> String {
    proto.to_upper_camel_case()
}

/// The trait of the service with this Rust name.
pub(crate) fn trait_(service: &str) -> String {
    escape(service)
}

/// The client of the service with this Rust name: `GreeterClient`.
pub(crate) fn client(service: &str) -> String {
    escape(&format!("{service}Client"))
}

/// The server of the service with this Rust name: `GreeterServer`.
pub(crate) fn server(service: &str) -> String {
    escape(&format!("{service}Server"))
}

/// The handler's type in the server. A service or message called `T` would be hidden by it.
pub(crate) fn type_parameter<'a>(
    service: &str,
    mut types: impl Iterator<Item = &'a str>,
) -> &'static str {
    let is_taken = service == "T" || types.any(|name| name.split("::").next() == Some("T"));
    if is_taken { "T_" } else { "T" }
}

/// The Rust name of a method. `into` and `try_into` get an underscore: a handler or client that has
/// such a method of its own is ambiguous with the blanket impls of the standard library.
pub(crate) fn method(proto: &str) -> String {
    match proto.to_snake_case().as_str() {
        name @ ("into" | "try_into") => format!("{name}_"),
        name => escape(name),
    }
}

/// The hidden method that takes the handler in an `Arc`; the server calls it.
pub(crate) fn shared(method: &str) -> String {
    format!("__shared_{}", method.trim_start_matches("r#"))
}

/// The hidden supertrait that names the messages of a service's methods.
pub(crate) fn messages(service: &str) -> String {
    format!("__{service}Messages")
}

/// What the hidden supertrait calls a method's request.
pub(crate) fn request(method: &str) -> String {
    format!("__{}_request", method.trim_start_matches("r#"))
}

/// What the hidden supertrait calls a method's reply.
pub(crate) fn reply(method: &str) -> String {
    format!("__{}_reply", method.trim_start_matches("r#"))
}

/// The Rust name of a field, and of a module for a part of a package or the inside of a message.
pub(crate) fn module(proto: &str) -> String {
    escape(&proto.to_snake_case())
}

/// The filter of an event, by the names of the messages around it and its own: `TradeFilter`.
pub(crate) fn filter(messages: &[&str]) -> String {
    let name: String = messages
        .iter()
        .map(|name| name.to_upper_camel_case())
        .collect();
    escape(&format!("{name}Filter"))
}

/// What sets a field of a filter. `new` is the filter's own, and the others are ambiguous as they are
/// for methods.
pub(crate) fn setter(field: &str) -> String {
    match field.to_snake_case().as_str() {
        name @ ("new" | "into" | "try_into") => format!("{name}_"),
        name => escape(name),
    }
}

/// The static with the descriptor of a service.
pub(crate) fn descriptor(service: &str) -> String {
    format!("__MICRO_{service}")
}

/// The static with the descriptors of a service's methods.
pub(crate) fn methods(service: &str) -> String {
    format!("__MICRO_METHODS_{service}")
}

/// The companion table. Exported macros share one name space in a crate, so the package is part of
/// the name; an underscore in it is doubled, so that `a.b_c` and `a.b.c` stay apart.
pub(crate) fn table(package: &str, service: &str) -> String {
    match package {
        "" => format!("__micro_{service}"),
        package => format!(
            "__micro_{}_{service}",
            package.replace('_', "__").replace('.', "_")
        ),
    }
}

/// The file for a package, without its ending.
pub(crate) fn file_stem(package: &str) -> &str {
    if package.is_empty() { "_" } else { package }
}

/// Whether a `.proto` could hold `name`. Descriptors that no compiler has seen hold any text.
pub(crate) fn is_protobuf(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_letter)
        && name
            .bytes()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit())
        && name.bytes().any(|byte| byte != b'_')
}

/// Makes a word usable as an identifier, in every edition.
fn escape(word: &str) -> String {
    match word {
        "" | "_" | "self" | "Self" | "super" | "crate" | "extern" => format!("{word}_"),
        "gen" => format!("r#{word}"),
        _ if word.starts_with(char::is_numeric) => format!("_{word}"),
        _ if syn::parse_str::<syn::Ident>(word).is_err() => format!("r#{word}"),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{filter, method, setter, table, type_name};

    #[test]
    fn methods_are_snake_case() {
        for (proto, rust) in [
            ("SayHello", "say_hello"),
            ("XMLHttpRequest", "xml_http_request"),
            ("Move", "r#move"),
            ("Gen", "r#gen"),
            ("Async", "r#async"),
            ("Self", "self_"),
            ("Extern", "extern_"),
            ("Into", "into_"),
            ("TryInto", "try_into_"),
            ("From", "from"),
        ] {
            assert_eq!(method(proto), rust, "{proto}");
        }
    }

    #[test]
    fn types_are_camel_case() {
        for (proto, rust) in [
            ("greeter", "Greeter"),
            ("GREETER", "Greeter"),
            ("Self", "Self_"),
        ] {
            assert_eq!(type_name(proto), rust, "{proto}");
        }
    }

    #[test]
    fn filters_are_named_after_their_event() {
        assert_eq!(filter(&["Trade"]), "TradeFilter");
        assert_eq!(filter(&["market_data", "trade"]), "MarketDataTradeFilter");
        assert_eq!(setter("new"), "new_");
        assert_eq!(setter("type"), "r#type");
    }

    #[test]
    fn tables_of_different_packages_never_meet() {
        assert_eq!(table("greeter.v1", "Greeter"), "__micro_greeter_v1_Greeter");
        assert_ne!(table("a.b_c", "X"), table("a.b.c", "X"));
        assert_eq!(table("", "Greeter"), "__micro_Greeter");
    }
}
