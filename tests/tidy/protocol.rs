//! docs/PROTOCOL.md: its rules have numbers that are cited rightly, and its examples are those of docs/golden.json.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use crate::documents::Document;
use crate::source::Source;
use crate::workspace::root;

/// Path of the document.
pub(crate) const PROTOCOL: &str = "docs/PROTOCOL.md";

/// Begin of a rule: `- **CALL-3.** …`.
static RULE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^- \*\*([A-Z]+)-(\d+)\.\*\* "));
/// Number of a rule, where it is cited.
static CITATION: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b([A-Z]+)-(\d+)\b"));
/// Citation with the name of the document, of a rule or of a section. It may go on in the next line of a comment.
static NAMED_CITATION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"PROTOCOL\.md,(?:\s|//[/!]?)+(?:"((?:[^"\n]|\n\s*//)+)"|([A-Z]+-\d+)|(?:rule|first)\b)"#,
    )
});
/// Heading of a section.
static HEADING: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^#+ (.+)$"));
/// Quoted text, or two hexadecimal digits, in the form in which an example shows its payload.
static SHOWN: LazyLock<Regex> = LazyLock::new(|| pattern(r#""([^"]*)"|\b([0-9a-f]{2})\b"#));

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of this file")
}

/// The rules of the document: their numbers by section, and the headings.
pub(crate) struct Protocol {
    rules: BTreeMap<String, Vec<u32>>,
    headings: BTreeSet<String>,
}

impl Protocol {
    pub(crate) fn read(text: &str) -> Self {
        let mut rules = BTreeMap::<String, Vec<u32>>::new();
        for found in RULE.captures_iter(text) {
            let number = found[2].parse().expect("digits");
            rules.entry(found[1].to_owned()).or_default().push(number);
        }
        let headings = HEADING.captures_iter(text);
        Self {
            rules,
            headings: headings.map(|found| found[1].to_owned()).collect(),
        }
    }

    /// Returns every rule whose number is not above the one before it in its section: a number is never given again,
    /// and a section stands in one place.
    pub(crate) fn numbers_ascend(&self, text: &str) -> Vec<String> {
        let mut violations = vec![];
        for (section, numbers) in &self.rules {
            for pair in numbers.windows(2) {
                if pair[1] <= pair[0] {
                    violations.push(format!(
                        "{PROTOCOL}: {section}-{} follows {section}-{}",
                        pair[1], pair[0]
                    ));
                }
            }
        }
        let sections = RULE.captures_iter(text).map(|found| found[1].to_owned());
        let mut begun = vec![];
        for section in sections {
            if begun.last() != Some(&section) {
                if begun.contains(&section) {
                    violations.push(format!("{PROTOCOL}: {section} is in two places"));
                }
                begun.push(section);
            }
        }
        violations
    }

    /// Returns the citations in a text that lead to no rule and no section.
    pub(crate) fn has_what_is_cited(&self, path: &str, text: &str) -> Vec<String> {
        let mut violations = vec![];
        let mut violation = |at: usize, what: &str| {
            let line = 1 + text[..at].matches('\n').count();
            violations.push(format!("{path}:{line}: {PROTOCOL} has no {what}"));
        };
        for found in CITATION.captures_iter(text) {
            let number = found[2].parse().ok();
            let is_there = self
                .rules
                .get(&found[1])
                .is_none_or(|numbers| number.is_some_and(|number| numbers.contains(&number)));
            if !is_there {
                violation(start(&found), &found[0]);
            }
        }
        for found in NAMED_CITATION.captures_iter(text) {
            let at = start(&found);
            match (found.get(1), found.get(2)) {
                (Some(heading), _) => {
                    let heading = joined(heading.as_str());
                    if !self.headings.contains(&heading) {
                        violation(at, &format!("section \"{heading}\""));
                    }
                }
                (_, Some(rule)) => {
                    let (section, _) = rule.as_str().split_once('-').unwrap_or_default();
                    if !self.rules.contains_key(section) {
                        violation(at, rule.as_str());
                    }
                }
                _ => violation(
                    at,
                    "rule of that form; cite its number, or a heading in quotes",
                ),
            }
        }
        violations
    }
}

fn start(found: &Captures<'_>) -> usize {
    found.get(0).map_or(0, |whole| whole.start())
}

/// Returns the text of a citation that goes over lines of a comment as one line.
fn joined(text: &str) -> String {
    let words = text.split_whitespace();
    let words = words.filter(|word| !word.starts_with("//"));
    words.collect::<Vec<_>>().join(" ")
}

/// Returns the differences between docs/golden.json and the document, and examples that no test names.
pub(crate) fn examples_agree(protocol: &Document, sources: &[Source]) -> Vec<String> {
    let path = root().join("docs/golden.json");
    let golden = fs::read_to_string(path).expect("the file exists");
    let golden: Value = serde_json::from_str(&golden).expect("the file is JSON");
    let examples = golden["examples"].as_array().expect("a list");
    let rules = Protocol::read(&protocol.text);
    let mut violations = vec![];
    let mut names = BTreeSet::new();
    for example in examples {
        let name = text(&example["name"]);
        let mut violation =
            |what: &str| violations.push(format!("docs/golden.json: {name} {what}"));
        if !names.insert(name.clone()) {
            violation("is there twice");
        }
        if hexadecimal(&payload(&shown(example))) != text(&example["payload"]) {
            violation("shows another payload than it has");
        }
        let block = rendered(example);
        if !protocol.text.contains(&format!("\n{block}\n")) {
            violation(&format!("is not in {PROTOCOL} as\n{block}"));
        }
        let rule = text(&example["rule"]);
        violations.extend(rules.has_what_is_cited("docs/golden.json", &rule));
        let quoted = format!("\"{name}\"");
        let is_held = |source: &&Source| source.text.contains(&quoted);
        if sources.iter().find(is_held).is_none() {
            violations.push(format!("docs/golden.json: no test holds {name}"));
        }
    }
    violations
}

/// Returns an example as the document shows it.
fn rendered(example: &Value) -> String {
    let field = |name: &str| text(&example[name]);
    let mut lines = vec![
        format!(
            "{}: {} ({})",
            field("name"),
            field("direction"),
            field("rule")
        ),
        format!("subject {}", field("subject")),
    ];
    if let Some(reply) = example["reply"].as_str() {
        lines.push(format!("reply   {reply}"));
    }
    for header in example["headers"].as_array().into_iter().flatten() {
        lines.push(format!("{}: {}", text(&header[0]), text(&header[1])));
    }
    match shown(example) {
        shown if shown.is_empty() => lines.push("(no bytes)".to_owned()),
        shown => lines.extend(shown),
    }
    lines.join("\n")
}

fn shown(example: &Value) -> Vec<String> {
    let lines = example["shown"].as_array().expect("a list");
    lines.iter().map(text).collect()
}

/// Returns the bytes that an example shows: JSON as it is, or bytes in hexadecimal with text in quotes.
fn payload(shown: &[String]) -> Vec<u8> {
    if shown.first().is_some_and(|line| line.starts_with('{')) {
        return shown.concat().into_bytes();
    }
    let parts = shown.iter().flat_map(|line| SHOWN.captures_iter(line));
    let bytes = parts.flat_map(|part| match (part.get(1), part.get(2)) {
        (Some(text), _) => text.as_str().as_bytes().to_vec(),
        (_, Some(digits)) => vec![u8::from_str_radix(digits.as_str(), 16).expect("digits")],
        _ => vec![],
    });
    bytes.collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[test]
fn a_rule_number_that_is_given_twice_is_caught() {
    let check = |text: &str, expected: &[&str]| {
        let found = Protocol::read(text).numbers_ascend(text);
        let expected = expected.iter().map(|line| format!("{PROTOCOL}: {line}"));
        assert_eq!(found, expected.collect::<Vec<_>>(), "{text}");
    };
    let rules = |numbers: &[&str]| -> String {
        let rule = |number: &&str| format!("- **{number}.** A peer MUST.\n");
        numbers.iter().map(rule).collect()
    };
    check(&rules(&["CALL-1", "CALL-2", "CALL-5", "END-1"]), &[]);
    check(&rules(&["CALL-1", "CALL-1"]), &["CALL-1 follows CALL-1"]);
    check(&rules(&["CALL-2", "CALL-1"]), &["CALL-1 follows CALL-2"]);
    check(
        &rules(&["CALL-1", "END-1", "CALL-2"]),
        &["CALL is in two places"],
    );
}

#[test]
fn a_citation_that_leads_nowhere_is_caught() {
    let protocol = Protocol::read("## A unary call\n\n- **CALL-1.** A request is a message.\n");
    let check = |text: &str, expected: &[&str]| {
        let found = protocol.has_what_is_cited("a.rs", text);
        let expected = expected.iter().map(|line| format!("a.rs:{line}"));
        assert_eq!(found, expected.collect::<Vec<_>>(), "{text}");
    };
    check("see CALL-1, ADR-32 and UTF-8", &[]);
    check("see CALL-2", &["1: docs/PROTOCOL.md has no CALL-2"]);
    check("docs/PROTOCOL.md, CALL-1", &[]);
    check(
        "docs/PROTOCOL.md, CALLS-1",
        &["1: docs/PROTOCOL.md has no CALLS-1"],
    );
    check("docs/PROTOCOL.md, \"A unary call\"", &[]);
    check("//! (docs/PROTOCOL.md, \"A unary\n//! call\")", &[]);
    check("/// (docs/PROTOCOL.md,\n    /// CALL-1)", &[]);
    check(
        "\ndocs/PROTOCOL.md, \"Calls\"",
        &["2: docs/PROTOCOL.md has no section \"Calls\""],
    );
    check(
        "docs/PROTOCOL.md, rule 5",
        &["1: docs/PROTOCOL.md has no rule of that form; cite its number, or a heading in quotes"],
    );
}

#[test]
fn what_an_example_shows_is_read_as_bytes() {
    let check = |shown: &[&str], expected: &[u8]| {
        let shown: Vec<String> = shown.iter().map(|&line| line.to_owned()).collect();
        assert_eq!(payload(&shown), expected, "{shown:?}");
    };
    check(&[], b"");
    check(&["0a 02 \"hi\"", "ff"], b"\x0a\x02hi\xff");
    check(&["\"+ACK\""], b"+ACK");
    check(&["{\"a\":", "1}"], b"{\"a\":1}");
}
