//! Naive models of the grammar of subjects, against which `subject` is checked.

use crate::subject;

/// Maximum number of tokens of patterns for which all subjects are tried.
const SHORT: usize = 3;
/// Token that stands for any text which no pattern names.
const OTHER: &str = "other";

/// Checks matching and overlap of two texts against the models.
pub(super) fn check(one: &str, other: &str) {
    let (left, right) = (tokens(one), tokens(other));
    assert_eq!(subject::matches(one, other), matches(&left, &right));
    let overlaps = subject::overlap(one, other);
    assert_eq!(overlaps, subject::overlap(other, one), "{one} {other}");
    let is_pattern = |text: &str| subject::syntax_flaw(text, true).is_none();
    if !is_pattern(one) || !is_pattern(other) {
        return;
    }
    if overlaps {
        let both = common_subject(&left, &right).join(".");
        assert_eq!(subject::syntax_flaw(&both, false), None, "{both}");
        assert!(subject::matches(one, &both), "{one} {both}");
        assert!(subject::matches(other, &both), "{other} {both}");
    } else if left.len().max(right.len()) <= SHORT {
        let found = subjects(&left, &right)
            .into_iter()
            .find(|subject| matches(&left, subject) && matches(&right, subject));
        assert_eq!(found, None, "{one} {other}");
    }
}

fn tokens(text: &str) -> Vec<&str> {
    text.split('.').collect()
}

/// Returns whether a pattern covers a subject, by the definition of NATS.
fn matches(pattern: &[&str], subject: &[&str]) -> bool {
    let end = pattern.iter().position(|token| *token == ">");
    let wanted = &pattern[..end.unwrap_or(pattern.len())];
    let has_length = match end {
        Some(end) => subject.len() > end,
        None => subject.len() == wanted.len(),
    };
    let covers = |(wanted, token): (&&str, &&str)| *wanted == "*" || wanted == token;
    has_length && wanted.iter().zip(subject).all(covers)
}

/// Returns a subject that both patterns cover, if any does: the literal token of either at each place.
fn common_subject<'a>(left: &[&'a str], right: &[&'a str]) -> Vec<&'a str> {
    let literal = |pattern: &[&'a str], at: usize| {
        let token = pattern.get(at).copied();
        token.filter(|token| !matches!(*token, "*" | ">"))
    };
    let token = |at| literal(left, at).or(literal(right, at)).unwrap_or(OTHER);
    (0..left.len().max(right.len())).map(token).collect()
}

/// Returns all subjects of the tokens of two patterns and one other, at most one token longer than they.
fn subjects<'a>(left: &[&'a str], right: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut alphabet = vec![OTHER];
    alphabet.extend(left.iter().chain(right));
    alphabet.retain(|token| !matches!(*token, "*" | ">"));
    let mut last = vec![vec![]];
    let mut all = vec![];
    for _ in 0..=left.len().max(right.len()) {
        let longer = last.iter().flat_map(|subject: &Vec<&'a str>| {
            let with = |token: &&'a str| [subject.as_slice(), &[*token]].concat();
            alphabet.iter().map(with).collect::<Vec<_>>()
        });
        last = longer.collect();
        all.extend_from_slice(&last);
    }
    all
}
