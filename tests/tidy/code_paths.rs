//! Paths in code. They are collected from tokens, because the arguments of macros have no syntax tree.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Ident, Spacing, TokenStream, TokenTree};
use syn::ItemUse;

/// Segments of a path, as in `["crate", "bus", "Bus"]`.
pub(crate) type Path = Vec<String>;

#[derive(Default)]
pub(crate) struct CodePaths {
    /// The path of a macro call without `::` ends with `!`.
    pub(crate) paths: BTreeSet<Path>,
    /// `use` statements in functions.
    pub(crate) imports: Vec<ItemUse>,
}

impl CodePaths {
    /// Collects the paths of an item, without parts that have `#[cfg(test)]`.
    pub(crate) fn of(code: TokenStream) -> Self {
        let mut found = Self::default();
        found.collect(code);
        found
    }

    fn collect(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = match &tokens[at..] {
                [TokenTree::Punct(hash), TokenTree::Group(attribute), ..]
                    if hash.as_char() == '#' && is_cfg_test(&attribute.stream()) =>
                {
                    item_end(&tokens, at + 2)
                }
                [TokenTree::Ident(word), rest @ ..] if word == "use" => {
                    let end = item_end(&tokens, at);
                    let statement = tokens[at..end].iter().cloned().collect();
                    match syn::parse2::<ItemUse>(statement) {
                        Ok(import) => {
                            self.imports.push(import);
                            end
                        }
                        // `+ use<'a>` is a bound.
                        Err(_) => at + 1 + rest.len().min(1),
                    }
                }
                [TokenTree::Ident(first), ..] => {
                    let (path, end) = path_from(first, &tokens, at);
                    if starts_path(&tokens, at) {
                        self.paths.insert(path);
                    }
                    end
                }
                [TokenTree::Group(group), ..] => {
                    self.collect(group.stream());
                    at + 1
                }
                _ => at + 1,
            };
        }
    }
}

/// `cfg(test)`, `cfg(all(test, …))`, `cfg(doctest)`.
pub(crate) fn is_cfg_test(attribute: &TokenStream) -> bool {
    let text = attribute.to_string().replace(' ', "");
    ["cfg(test)", "cfg(all(test,", "cfg(doctest)"]
        .iter()
        .any(|start| text.starts_with(start))
}

/// The index after the `;` or the braces that end the item or statement around `at`.
fn item_end(tokens: &[TokenTree], at: usize) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    let Some(end) = tokens[at..].iter().position(is_end) else {
        return tokens.len();
    };
    match tokens.get(at + end + 1) {
        // The braces of `use crate::{…};`.
        Some(TokenTree::Punct(punct)) if punct.as_char() == ';' => at + end + 2,
        _ => at + end + 1,
    }
}

/// The longest path that begins with `first` at `at`, and the index after it.
fn path_from(first: &Ident, tokens: &[TokenTree], at: usize) -> (Path, usize) {
    let mut path = vec![first.to_string()];
    let mut end = at + 1;
    while let [
        TokenTree::Punct(one),
        TokenTree::Punct(two),
        TokenTree::Ident(next),
        ..,
    ] = &tokens[end..]
        && one.as_char() == ':'
        && one.spacing() == Spacing::Joint
        && two.as_char() == ':'
    {
        path.push(next.to_string());
        end += 3;
    }
    if let [TokenTree::Punct(bang), TokenTree::Group(_), ..] = &tokens[end..]
        && bang.as_char() == '!'
        && path.len() == 1
    {
        path[0].push('!');
    }
    (path, end)
}

/// Whether the word at `at` begins a path. Fields, methods, lifetimes, and words after `$` or `::` do not.
fn starts_path(tokens: &[TokenTree], at: usize) -> bool {
    let before = |distance: usize| match tokens.get(at.wrapping_sub(distance)) {
        Some(TokenTree::Punct(punct)) => punct.as_char(),
        _ => ' ',
    };
    match (before(2), before(1)) {
        // A range.
        ('.', '.') => true,
        (':', ':') | (_, '.' | '\'' | '$') => false,
        _ => true,
    }
}
