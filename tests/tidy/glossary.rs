//! The glossary: one word for one thing, in code, comments, messages and documents.

use regex::Regex;

/// A word that the glossary of CONTRIBUTING.md replaces by another one.
struct Replaced {
    pattern: &'static str,
    advice: &'static str,
    /// Places that keep the word: beginning of the path, and a part of the line.
    exceptions: &'static [(&'static str, &'static str)],
}

const REPLACED: &[Replaced] = &[Replaced {
    pattern: "(?i)answer",
    advice: "a message of a call is a `reply`, and a service replies or responds",
    exceptions: &[
        // Name of a benchmark, by which `--against` finds its row in earlier revisions.
        ("bench/", "nanswered"),
        ("docs/PERFORMANCE.md", "| memory/unanswered |"),
        // Names that the interface had before.
        ("CHANGELOG.md", "  | `"),
        // The glossary itself, and this file.
        ("CONTRIBUTING.md", "| calls |"),
        ("tests/tidy/glossary.rs", ""),
    ],
}];

/// Returns every line of a text, a source or a document, that has a replaced word.
pub(crate) fn keeps_to_the_glossary(path: &str, text: &str) -> Vec<String> {
    let mut violations = vec![];
    for word in REPLACED {
        let pattern = Regex::new(word.pattern).expect("a pattern of this file");
        for (number, line) in (1..).zip(text.lines()) {
            let is_excepted =
                |(start, part): &(&str, &str)| path.starts_with(start) && line.contains(part);
            if pattern.is_match(line) && !word.exceptions.iter().any(is_excepted) {
                violations.push(format!("{path}:{number}: {}: {}", word.advice, line.trim()));
            }
        }
    }
    violations
}

#[test]
fn a_replaced_word_is_caught() {
    let check = |path: &str, line: &str, expected: usize| {
        let found = keeps_to_the_glossary(path, line);
        assert_eq!(found.len(), expected, "{path} {line}");
    };
    check("README.md", "The service answers.", 1);
    check("micro-runtime/src/lib.rs", "let is_answered = true;", 1);
    check("micro-runtime/src/lib.rs", "\"no answer\"", 1);
    check("micro-runtime/src/lib.rs", "\"no reply\"", 0);
    check("bench/src/suite.rs", "\"memory/unanswered\"", 0);
    check("bench/src/suite.rs", "\"an answer\"", 1);
    check("CHANGELOG.md", "- Calls that answer.", 1);
    check("CHANGELOG.md", "  | `answer` | `Reply` |", 0);
}
