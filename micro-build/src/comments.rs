//! Converts comments of `.proto` files to Markdown that is safe in Rust documentation.
//!
//! Such comments contain code of other languages, generics in angle brackets and lists in square
//! brackets. None of it may become a failing doctest or a broken link. Safe text is not changed, so
//! that converting a comment twice has the same result as converting it once.

mod inline;
#[cfg(test)]
mod tests;

use syn::{Attribute, Expr, ExprLit, Lit, Meta, parse_quote};

use inline::escape;

/// Indentation, in columns, from which Markdown treats a line as code.
const CODE_INDENT: usize = 4;

/// Returns the lines of `comment` as Markdown without doctests and intra-doc links.
///
/// Each line begins with the space that follows the slashes of a doc comment.
pub(crate) fn to_docs<L: AsRef<str>>(comment: &[L]) -> Vec<String> {
    let mut writer = MarkdownWriter::default();
    for line in comment {
        let line = printable(line.as_ref());
        writer.line(line.strip_prefix(' ').unwrap_or(&line));
    }
    writer.finish()
}

/// Converts the documentation among `attributes` with [`to_docs`].
pub(crate) fn make_safe(attributes: &mut Vec<Attribute>) {
    let Some(first) = attributes
        .iter()
        .position(|attribute| doc(attribute).is_some())
    else {
        return;
    };
    let lines: Vec<String> = attributes.iter().filter_map(doc).collect();
    let docs = to_docs(&lines);
    if docs != lines {
        attributes.retain(|attribute| doc(attribute).is_none());
        let docs = docs.iter().map(|line| parse_quote!(#[doc = #line]));
        attributes.splice(first..first, docs);
    }
}

/// Returns `comment` without characters that are not allowed in Rust source.
///
/// Bidirectional control characters are removed, and other control characters become spaces.
pub(crate) fn printable(comment: &str) -> String {
    let is_bidirectional =
        |found: char| matches!(found, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    comment
        .chars()
        .filter(|found| !is_bidirectional(*found))
        .map(|found| {
            if found.is_control() && found != '\n' && found != '\t' {
                ' '
            } else {
                found
            }
        })
        .collect()
}

/// Returns the text of a `#[doc = "…"]` attribute.
fn doc(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else {
        return None;
    };
    let Expr::Lit(ExprLit {
        lit: Lit::Str(text),
        ..
    }) = &meta.value
    else {
        return None;
    };
    meta.path.is_ident("doc").then(|| text.value())
}

/// Converts lines one by one, with the state that the next line depends on.
#[derive(Default)]
struct MarkdownWriter {
    docs: Vec<String>,
    block: Option<Block>,
    /// Whether the last text belongs to a list item, in which indented lines are not code.
    in_list: bool,
    /// Whether the last line is text, which an indented line would continue.
    after_text: bool,
}

/// Code block that is not closed yet.
enum Block {
    /// A block that ends at this fence.
    Fenced(Fence),
    /// The lines of an indented block, which ends at a line with less indentation. It is written as a
    /// fenced block.
    Indented(Vec<String>),
}

impl MarkdownWriter {
    fn line(&mut self, line: &str) {
        let (text, indent) = (line.trim(), indent_of(line));
        match self.block.take() {
            Some(Block::Fenced(fence)) if fence.is_closed_by(text) => {
                self.push(&fence.marker());
            }
            Some(Block::Fenced(fence)) => {
                self.push(line.trim_end());
                self.block = Some(Block::Fenced(fence));
            }
            Some(Block::Indented(mut lines)) if text.is_empty() || indent >= CODE_INDENT => {
                lines.push(line.trim_end().to_owned());
                self.block = Some(Block::Indented(lines));
            }
            Some(Block::Indented(lines)) => {
                self.push_indented(&lines);
                self.text(line, text, indent);
            }
            None => self.text(line, text, indent),
        }
    }

    /// Writes a line outside of a code block, or the first line of one.
    fn text(&mut self, line: &str, text: &str, indent: usize) {
        if text.is_empty() {
            self.after_text = false;
            return self.push("");
        }
        if let Some(fence) = Fence::opened_by(text) {
            // Not indented, since in a list item the block would end with the item.
            self.push(&format!("{}text", fence.marker()));
            self.block = Some(Block::Fenced(fence));
            (self.in_list, self.after_text) = (false, false);
            return;
        }
        if indent >= CODE_INDENT && !self.after_text && !self.in_list {
            self.block = Some(Block::Indented(vec![line.trim_end().to_owned()]));
            return;
        }
        let (markers, text) = list_markers(text);
        self.in_list = !markers.is_empty() || (self.in_list && (indent > 0 || self.after_text));
        self.after_text = true;
        let indent = " ".repeat(indent.min(CODE_INDENT - 1));
        self.push(&format!("{indent}{markers}{}", escape(text)));
    }

    fn push(&mut self, line: &str) {
        let space = if line.is_empty() { "" } else { " " };
        self.docs.push(format!("{space}{line}"));
    }

    fn push_indented(&mut self, lines: &[String]) {
        let fence = Fence::around(lines);
        let code = lines
            .iter()
            .rposition(|line| !line.is_empty())
            .map_or(0, |last| last + 1);
        self.push(&format!("{}text", fence.marker()));
        for line in &lines[..code] {
            self.push(line.strip_prefix("    ").unwrap_or(line));
        }
        self.push(&fence.marker());
        lines[code..].iter().for_each(|_| self.push(""));
        self.after_text = false;
    }

    fn finish(mut self) -> Vec<String> {
        match self.block.take() {
            Some(Block::Fenced(fence)) => self.push(&fence.marker()),
            Some(Block::Indented(lines)) => self.push_indented(&lines),
            None => {}
        }
        let end = self
            .docs
            .iter()
            .rposition(|line| !line.is_empty())
            .map_or(0, |last| last + 1);
        self.docs.truncate(end);
        self.docs
    }
}

/// Code fence: at least three backticks or tildes.
struct Fence {
    with: char,
    length: usize,
}

impl Fence {
    fn opened_by(text: &str) -> Option<Self> {
        let with = text
            .chars()
            .next()
            .filter(|with| matches!(with, '`' | '~'))?;
        let length = text.chars().take_while(|found| *found == with).count();
        let info = &text[length..];
        (length >= 3 && !(with == '`' && info.contains('`'))).then_some(Self { with, length })
    }

    /// Returns a fence that is longer than every run of backticks at the start of a line of `code`.
    fn around(code: &[String]) -> Self {
        let runs = code
            .iter()
            .map(|line| line.trim().chars().take_while(|with| *with == '`').count());
        Self {
            with: '`',
            length: runs.max().map_or(3, |longest| 3.max(longest + 1)),
        }
    }

    fn is_closed_by(&self, text: &str) -> bool {
        text.len() >= self.length && text.chars().all(|found| found == self.with)
    }

    fn marker(&self) -> String {
        self.with.to_string().repeat(self.length)
    }
}

/// Returns the indentation of `line` in columns, with tab stops of 4 columns.
fn indent_of(line: &str) -> usize {
    line.chars()
        .take_while(|found| found.is_whitespace())
        .fold(0, |indent, found| {
            if found == '\t' {
                (indent / 4 + 1) * 4
            } else {
                indent + 1
            }
        })
}

/// Splits `text` into its leading list markers, each followed by one space, and the rest.
///
/// More spaces after a marker could turn the rest into code.
fn list_markers(text: &str) -> (String, &str) {
    let mut markers = String::new();
    let mut rest = text;
    while let Some((marker, after)) = rest.split_once([' ', '\t']) {
        let number = marker.strip_suffix(['.', ')']);
        let is_number = number
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|d| d.is_ascii_digit()));
        if !is_number && !matches!(marker, "-" | "*" | "+") {
            break;
        }
        markers.push_str(&format!("{marker} "));
        rest = after.trim_start();
    }
    (markers, rest)
}
