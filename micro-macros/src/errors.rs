//! Collects errors, so that one compilation reports all of them.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Error, Result};

/// Errors found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    /// Adds the error of a rule, if there is one.
    pub(crate) fn check(&mut self, rule: Result<()>) {
        if let Err(error) = rule {
            self.push(error);
        }
    }

    /// Returns the part, or adds its error and returns `None`.
    pub(crate) fn keep<T>(&mut self, part: Result<T>) -> Option<T> {
        part.map_err(|error| self.push(error)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns one `compile_error!` per error, with the error's span.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0
            .map_or_else(TokenStream::new, Error::into_compile_error)
    }
}

/// Returns the source of tokens with the usual spacing, for messages.
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
    fn tokens_are_shown_with_the_usual_spacing() {
        assert_eq!(shown(&quote!(my::With<T, U>)), "my::With<T, U>");
        assert_eq!(shown(&quote!(<T: Clone>)), "<T: Clone>");
        assert_eq!(shown(&quote!(English)), "English");
    }
}
