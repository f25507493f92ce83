//! What the house rules see of a source: its text, its code without comments and literals, and
//! the modules that its production code names.

use std::fs;
use std::path::Path;

/// For each crate, its modules in layers from the bottom up.
pub(crate) type Crates = &'static [(&'static str, Layers)];
pub(crate) type Layers = &'static [&'static [&'static str]];

pub(crate) struct Source {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments and literals blanked; lines stay where they are.
    pub(crate) code: String,
    crates: Crates,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str, crates: Crates) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: blank(text),
            crates,
        }
    }

    pub(crate) fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    /// The layers of its crate and its own path in it, if it is code of one of the crates.
    pub(crate) fn module(&self) -> Option<(Layers, String)> {
        let (name, path) = self.path.split_once("/src/")?;
        let module = path.strip_suffix(".rs")?.replace('/', "::");
        let module = module.strip_suffix("::mod").unwrap_or(&module);
        if !name.starts_with("micro-") || module.ends_with("tests") {
            return None;
        }
        let known = self.crates.iter().find(|(known, _)| *known == name);
        Some((known.map_or(&[], |(_, layers)| *layers), module.to_owned()))
    }

    /// Where its production code says `crate::…` or `super::…`: the line, and the path up to
    /// what is no module, as in `crate::bus::Bus` or `crate::` for `crate::{…}`.
    pub(crate) fn references(&self) -> Vec<(usize, String)> {
        let code = without_tests(&self.code);
        let mut found = vec![];
        for (number, line) in (1..).zip(code.lines()) {
            for start in ["crate::", "super::"] {
                for (at, _) in line.match_indices(start) {
                    // `$crate` is another crate's way in; `super::super::` is one path.
                    if !line[..at].ends_with(|c: char| is_word(c) || c == '$' || c == ':') {
                        let path: String = line[at..]
                            .chars()
                            .take_while(|&c| is_word(c) || c == ':')
                            .collect();
                        found.push((number, path));
                    }
                }
            }
        }
        found
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests is a folder of the workspace")
}

/// All sources of the crates and of `folders`, but not what machines write.
pub(crate) fn walk(crates: Crates, folders: &[&str]) -> Vec<Source> {
    let is_ours = |name: &str| name.starts_with("micro-") || folders.contains(&name);
    let mut paths: Vec<String> = entries(root())
        .into_iter()
        .filter(|name| is_ours(name))
        .collect();
    let mut sources = vec![];
    while let Some(path) = paths.pop() {
        let full = root().join(&path);
        if full.is_dir() {
            paths.extend(entries(&full).iter().map(|name| format!("{path}/{name}")));
        } else if path.ends_with(".rs") {
            let text = fs::read_to_string(full).expect("a source is UTF-8");
            if !text.starts_with("// @generated") {
                sources.push(Source::new(&path, &text, crates));
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

fn entries(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .expect("a folder can be read")
        .map(|entry| {
            entry
                .expect("a folder can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| !name.starts_with('.') && !matches!(&**name, "target" | "golden"))
        .collect()
}

/// The module in the table that a path belongs to, the longest that fits, and its layer.
pub(crate) fn layer_of(layers: Layers, path: &str) -> Option<(&'static str, usize)> {
    let holds = |module: &str| {
        path.strip_prefix(module)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let modules = (0..)
        .zip(layers)
        .flat_map(|(layer, row)| row.iter().map(move |name| (*name, layer)));
    modules
        .filter(|(name, _)| holds(name))
        .max_by_key(|(name, _)| name.len())
}

/// What a reference made in `module` means, from the root of the crate.
pub(crate) fn resolve(module: &str, reference: &str) -> String {
    if let Some(path) = reference.strip_prefix("crate::") {
        return path.to_owned();
    }
    let mut base: Vec<&str> = module.split("::").collect();
    let mut path = reference;
    while let Some(rest) = path.strip_prefix("super::") {
        base.pop();
        path = rest;
    }
    base.push(path);
    base.join("::")
}

// Just enough of Rust's grammar.

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_word))
}

/// Replaces comments, strings and characters by spaces.
fn blank(text: &str) -> String {
    let text: Vec<char> = text.chars().collect();
    let mut blanked = String::new();
    let mut at = 0;
    while at < text.len() {
        let end = opaque_end(&text, at);
        let hidden = text[at..end]
            .iter()
            .map(|&c| if c == '\n' { c } else { ' ' });
        blanked.extend(hidden);
        if end == at {
            blanked.push(text[at]);
        }
        at = end.max(at + 1);
    }
    blanked
}

/// Where the comment or literal that begins at `at` ends; `at` itself if none begins there.
fn opaque_end(text: &[char], at: usize) -> usize {
    let after = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        let found = (from..text.len()).find(|&at| text[at..].starts_with(&end));
        found.map_or(text.len(), |at| at + end.len())
    };
    match &text[at..] {
        ['/', '/', ..] => after(at, "\n") - 1,
        ['/', '*', ..] => after(at, "*/"),
        ['\'', '\\', ..] => after(at + 3, "'"),
        ['\'', _, '\'', ..] => at + 3,
        ['r', '"' | '#', ..] if !text[..at].ends_with(&['r']) => {
            let hashes: String = text[at + 1..].iter().take_while(|&&c| c == '#').collect();
            match text.get(at + 1 + hashes.len()) {
                Some('"') => after(at + 2 + hashes.len(), &format!("\"{hashes}")),
                _ => at,
            }
        }
        ['"', ..] => {
            let mut end = at + 1;
            while end < text.len() && text[end] != '"' {
                end += if text[end] == '\\' { 2 } else { 1 };
            }
            (end + 1).min(text.len())
        }
        _ => at,
    }
}

/// Blanks every item under `#[cfg(test)]`, to its `;` or its closing brace.
fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    while let Some(start) = code.find("#[cfg(test)]") {
        let (mut depth, mut end) = (0_usize, code.len());
        for (at, c) in code[start + "#[cfg(test)]".len()..].char_indices() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(c, ';' | '}') {
                end = start + "#[cfg(test)]".len() + at + 1;
                break;
            }
        }
        let blanks: String = code[start..end]
            .chars()
            .map(|c| if c == '\n' { c } else { ' ' })
            .collect();
        code.replace_range(start..end, &blanks);
    }
    code
}
