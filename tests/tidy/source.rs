//! A source file as the rules see it: its text, and its code without comments and literals.

pub(crate) struct Source {
    /// Folder of its package from the root of the workspace, as in `examples/hello`.
    pub(crate) package: String,
    /// Path from the root of the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments and literals blanked. Lines keep their numbers.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(package: &str, path: &str, text: &str) -> Self {
        Self {
            package: package.to_owned(),
            path: path.to_owned(),
            text: text.to_owned(),
            code: blank(text),
        }
    }

    /// Path in its package.
    pub(crate) fn local_path(&self) -> &str {
        let path = self.path.strip_prefix(&self.package).unwrap_or(&self.path);
        path.trim_start_matches('/')
    }

    /// A violation in line `line`.
    pub(crate) fn at(&self, line: usize, message: &str) -> String {
        format!("{}:{line}: {message}", self.path)
    }

    /// The first line whose code has `text`, else the first that has the last word of it, else 1.
    pub(crate) fn line_of(&self, text: &str) -> usize {
        let text = text.trim_end_matches('!');
        let last = text.rsplit([':', ' ']).next().unwrap_or(text);
        [text, last]
            .iter()
            .find_map(|text| self.code.lines().position(|line| has_word(line, text)))
            .map_or(1, |index| index + 1)
    }
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_word))
}

/// Sources of a package `micro-sample`, given as paths in it and texts.
pub(crate) fn sample(files: &[(&str, &str)]) -> Vec<Source> {
    let source = |(path, text): &(&str, &str)| {
        let path = format!("micro-sample/{path}");
        Source::new("micro-sample", &path, text)
    };
    files.iter().map(source).collect()
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

/// Returns the end of the comment or literal that begins at `at`, or `at` if none begins there.
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
