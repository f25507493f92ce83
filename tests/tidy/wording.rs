//! Wording of comments: limits for phrases that hide what the code does, and a minimum of documentation.

use regex::Regex;

use crate::source::{Source, sample};

/// Wording to avoid in comments.
struct Wording {
    advice: &'static str,
    /// Matches a line of a comment.
    pattern: &'static str,
    /// Maximum number of lines that match, per 1,000 lines of comments in a package.
    limit: usize,
}

const WORDINGS: &[Wording] = &[
    Wording {
        advice: "begin with a noun phrase or a verb",
        pattern: r"^(?:What|Who|Whoever|Whatever|Where|So many|So long|So much)\b(?:.*[^?])?$",
        limit: 5,
    },
    Wording {
        advice: "name the part of the system",
        pattern: r"\b(?:[Nn]obody|[Ss]omebody|[Ee]verybody|[Aa]nybody|[Ww]hom|[Ww]hoever|his|him)\b",
        limit: 2,
    },
    Wording {
        advice: "write what it returns, sends, or states",
        pattern: r"\b(?:[Ss]ays?|[Tt]ells?|told|said)\b",
        limit: 8,
    },
    Wording {
        advice: "write what happens, without `is to` or `to be`",
        pattern: r"\b(?:is|are) to (?:be )?\w+|\b[Tt]o be \w+ed\b",
        limit: 12,
    },
];

/// Minimum share of documentation in percent of a package's lines, without tests.
const MIN_DOCUMENTATION: &[(&str, usize)] = &[("micro-runtime", 20)];

/// Returns every place of each wording that exceeds its limit. `sources` belong to one package.
pub(crate) fn comments_are_plain(sources: &[&Source]) -> Vec<String> {
    let comments: Vec<_> = sources
        .iter()
        .flat_map(|source| {
            comment_lines(&source.text).map(move |(line, text)| (source, line, text))
        })
        .collect();
    let mut violations = vec![];
    for wording in WORDINGS {
        let pattern = Regex::new(wording.pattern).expect("a pattern of this file");
        let found = comments
            .iter()
            .filter(|(_, _, text)| pattern.is_match(text));
        let places: Vec<String> = found
            .map(|(source, line, text)| source.at(*line, &format!("{}: {text}", wording.advice)))
            .collect();
        if places.len() * 1000 > wording.limit * comments.len() {
            violations.extend(places);
        }
    }
    violations
}

/// Lines of comments with their numbers, without comment markers and code blocks.
fn comment_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    (1..).zip(text.lines()).filter_map(move |(number, line)| {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            is_code = false;
            return None;
        };
        let comment = comment.strip_prefix(['/', '!']).unwrap_or(comment).trim();
        let is_fence = comment.starts_with("```");
        is_code ^= is_fence;
        (!is_fence && !is_code && !comment.is_empty()).then_some((number, comment))
    })
}

/// `sources` belong to one package.
pub(crate) fn documentation_suffices(sources: &[&Source]) -> Vec<String> {
    let is_test = |source: &Source| source.path.contains("tests") || source.path.contains("/fuzz");
    let lines = || {
        let sources = sources.iter().filter(|source| !is_test(source));
        sources.flat_map(|source| source.text.lines())
    };
    let package = sources.first().map_or("", |source| &source.package);
    let minimum = MIN_DOCUMENTATION.iter().find(|(name, _)| *name == package);
    let minimum = minimum.map_or(0, |(_, percent)| *percent);
    let is_documentation =
        |line: &&str| line.trim_start().starts_with("///") || line.trim_start().starts_with("//!");
    let documentation = lines().filter(is_documentation).count();
    let all = lines().count().max(1);
    if documentation * 100 >= minimum * all {
        return vec![];
    }
    let share = documentation * 100 / all;
    vec![format!(
        "{package}: {share} % of the lines are documentation, the minimum is {minimum} %"
    )]
}

#[test]
fn unusual_wording_is_caught() {
    let check = |comment: &str, expected: &str| {
        let sources = sample(&[("src/lib.rs", &format!("{comment}\nstruct X;"))]);
        let sources: Vec<&Source> = sources.iter().collect();
        let found = comments_are_plain(&sources).join("\n");
        let expected = match expected {
            "" => String::new(),
            advice => format!("micro-sample/src/lib.rs:1: {advice}: "),
        };
        assert!(
            found.starts_with(&expected) && found.is_empty() == expected.is_empty(),
            "{comment}\n{found}"
        );
    };
    check(
        "/// What became of a message.",
        "begin with a noun phrase or a verb",
    );
    check("// So many may wait.", "begin with a noun phrase or a verb");
    check("//! Whatever comes", "begin with a noun phrase or a verb");
    check("/// What becomes of a message?", "");
    check("/// Whatsoever, and so many.", "");
    check(
        "    // It is sent to nobody.",
        "name the part of the system",
    );
    check("/// A history of this.", "");
    check(
        "/// What the server says.",
        "begin with a noun phrase or a verb",
    );
    check(
        "/// The server says no.",
        "write what it returns, sends, or states",
    );
    check("/// An essay.", "");
    check(
        "/// The task is to stop.",
        "write what happens, without `is to` or `to be`",
    );
    check(
        "/// A message to be delivered.",
        "write what happens, without `is to` or `to be`",
    );
    check("/// Outcome of delivering a message to a reply slot.", "");
    check("// ```\n// nobody says\n// ```", "");
    check("let text = \"nobody says\";", "");
}

#[test]
fn wording_has_limits() {
    let check = |lines: usize, expected: usize| {
        let text = format!("/// What it is.\n{}", "/// Plain.\n".repeat(lines - 1));
        let sources = sample(&[("src/lib.rs", &text)]);
        let sources: Vec<&Source> = sources.iter().collect();
        assert_eq!(comments_are_plain(&sources).len(), expected, "{lines}");
    };
    check(200, 0);
    check(199, 1);
}

#[test]
fn missing_documentation_is_caught() {
    let check = |package: &str, text: &str, is_enough: bool| {
        let source = Source::new(package, &format!("{package}/src/lib.rs"), text);
        assert_eq!(
            documentation_suffices(&[&source]).is_empty(),
            is_enough,
            "{package} {text}"
        );
    };
    check("micro-runtime", "/// One.\n\nfn f() {\n}\n\n", true);
    check("micro-runtime", "// One.\n\nfn f() {\n}\n\n", false);
    check("micro-sample", "fn f() {}", true);
}
