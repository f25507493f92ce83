//! Derives every Rust name of generated code from a protobuf name.
//!
//! Types and methods have the same names as in code of prost and tonic, to ease migration.

use heck::{ToSnakeCase, ToUpperCamelCase};

/// Returns the Rust name of a message, an enum, or the variant for a field of a oneof.
pub(crate) fn type_name(proto: &str) -> String {
    escape(&proto.to_upper_camel_case())
}

/// Returns the variant for the value of an enum, without a prefix that repeats the enum's name.
///
/// prost removes the same prefix.
pub(crate) fn variant(enumeration: &str, value: &str) -> String {
    let (prefix, value) = (type_name(enumeration), type_name(value));
    let rest = value.strip_prefix(prefix.as_str());
    let rest = rest.filter(|rest| rest.starts_with(char::is_uppercase));
    escape(rest.unwrap_or(&value))
}

/// Returns the Rust name of a service, from which those of trait, client and server are derived.
pub(crate) fn service(proto: &str) -> String {
    proto.to_upper_camel_case()
}

/// Returns the trait of the service with this Rust name: `Greeter`.
pub(crate) fn trait_(service: &str) -> String {
    escape(service)
}

/// Returns the client of the service with this Rust name: `GreeterClient`.
pub(crate) fn client(service: &str) -> String {
    escape(&format!("{service}Client"))
}

/// Returns the server of the service with this Rust name: `GreeterServer`.
pub(crate) fn server(service: &str) -> String {
    escape(&format!("{service}Server"))
}

/// Returns the type parameter for the handler in a server: `T`.
///
/// It is `T_` if the service or one of its messages is called `T`, which `T` would shadow.
pub(crate) fn type_parameter<'a>(
    service: &str,
    mut types: impl Iterator<Item = &'a str>,
) -> &'static str {
    let is_taken = service == "T" || types.any(|name| name.split("::").next() == Some("T"));
    if is_taken { "T_" } else { "T" }
}

/// Returns the Rust name of a method.
///
/// `into` and `try_into` get an underscore, since calls of them would be ambiguous with the blanket
/// impls of `Into` and `TryInto`.
pub(crate) fn method(proto: &str) -> String {
    match proto.to_snake_case().as_str() {
        name @ ("into" | "try_into") => format!("{name}_"),
        name => escape(name),
    }
}

/// Returns the hidden method that takes the handler in an `Arc`, which the server calls.
pub(crate) fn shared(method: &str) -> String {
    format!("__shared_{}", method.trim_start_matches("r#"))
}

/// Returns the hidden supertrait with the message types of a service's methods.
pub(crate) fn messages(service: &str) -> String {
    format!("__{service}Messages")
}

/// Returns the associated type of the hidden supertrait for a method's request.
pub(crate) fn request(method: &str) -> String {
    format!("__{}_request", method.trim_start_matches("r#"))
}

/// Returns the associated type of the hidden supertrait for a method's reply.
pub(crate) fn reply(method: &str) -> String {
    format!("__{}_reply", method.trim_start_matches("r#"))
}

/// Returns the Rust name of a field, or of the module for a package part or for nested messages.
pub(crate) fn module(proto: &str) -> String {
    escape(&proto.to_snake_case())
}

/// Returns the filter of an event: `TradeFilter`.
///
/// `messages` are the names of the enclosing messages, from the outside in, then that of the event.
pub(crate) fn filter(messages: &[&str]) -> String {
    let name: String = messages
        .iter()
        .map(|name| name.to_upper_camel_case())
        .collect();
    escape(&format!("{name}Filter"))
}

/// Returns the setter for a field of a filter.
///
/// `new` gets an underscore since it is the filter's constructor; `into` and `try_into` as in
/// [`method`].
pub(crate) fn setter(field: &str) -> String {
    match field.to_snake_case().as_str() {
        name @ ("new" | "into" | "try_into") => format!("{name}_"),
        name => escape(name),
    }
}

/// Returns the static with the descriptor of a service.
pub(crate) fn descriptor(service: &str) -> String {
    format!("__MICRO_{service}")
}

/// Returns the static with the descriptors of a service's methods.
pub(crate) fn methods(service: &str) -> String {
    format!("__MICRO_METHODS_{service}")
}

/// Returns the macro that is a service's companion table.
///
/// Exported macros share one namespace per crate, so the package is part of the name. Underscores of
/// the package are doubled, so that `a.b_c` and `a.b.c` yield different names.
pub(crate) fn table(package: &str, service: &str) -> String {
    match package {
        "" => format!("__micro_{service}"),
        package => format!(
            "__micro_{}_{service}",
            package.replace('_', "__").replace('.', "_")
        ),
    }
}

/// Returns the name of a package's output file without its extension.
pub(crate) fn file_stem(package: &str) -> &str {
    if package.is_empty() { "_" } else { package }
}

/// Returns whether `name` is a valid protobuf identifier with at least one letter or digit.
///
/// Compilers ensure the former, but a descriptor set can contain any text.
pub(crate) fn is_protobuf(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_letter)
        && name
            .bytes()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit())
        && name.bytes().any(|byte| byte != b'_')
}

/// Turns a word into an identifier that is valid in every edition.
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
    fn tables_of_different_packages_have_different_names() {
        assert_eq!(table("greeter.v1", "Greeter"), "__micro_greeter_v1_Greeter");
        assert_ne!(table("a.b_c", "X"), table("a.b.c", "X"));
        assert_eq!(table("", "Greeter"), "__micro_Greeter");
    }
}
