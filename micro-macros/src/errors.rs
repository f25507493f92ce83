//! Collects mistakes, so that one compile shows all of them.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Error, Result};

/// The mistakes found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    /// Keeps the error of a rule, if it found one.
    pub(crate) fn check(&mut self, rule: Result<()>) {
        if let Err(error) = rule {
            self.push(error);
        }
    }

    /// Keeps the error of a part that could not be read, and leaves the part out.
    pub(crate) fn keep<T>(&mut self, part: Result<T>) -> Option<T> {
        part.map_err(|error| self.push(error)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// One `compile_error!` for each mistake, at its place.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0
            .map_or_else(TokenStream::new, Error::into_compile_error)
    }
}

/// Tokens as a person would write them.
pub(crate) fn shown(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (spaced, tight) in [
        (" :: ", "::"),
        (" < ", "<"),
        (" >", ">"),
        (" ,", ","),
        ("& ", "&"),
        (" : ", ": "),
    ] {
        text = text.replace(spaced, tight);
    }
    text.replace("< ", "<")
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::shown;

    #[test]
    fn tokens_are_shown_as_written() {
        assert_eq!(shown(&quote!(my::With<T, U>)), "my::With<T, U>");
        assert_eq!(shown(&quote!(<T: Clone>)), "<T: Clone>");
        assert_eq!(shown(&quote!(English)), "English");
    }
}
