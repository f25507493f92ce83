//! Converted comments, verified with a Markdown parser.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag};

use super::to_docs;

fn check(comment: &str, docs: &str) {
    let lines: Vec<&str> = comment.lines().collect();
    let found = to_docs(&lines);
    assert_eq!(found.join("\n"), docs, "{comment}");
    assert_eq!(to_docs(&found), found, "a second time: {comment}");
    assert_safe(&found);
}

/// Asserts that rustdoc would find no code to test, no link to resolve and no HTML.
fn assert_safe(docs: &[String]) {
    let markdown: Vec<&str> = docs
        .iter()
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let markdown = markdown.join("\n");
    let mut references = Vec::new();
    let mut events = Vec::new();
    let parser = Parser::new_with_broken_link_callback(
        &markdown,
        Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_SMART_PUNCTUATION,
        Some(|link: pulldown_cmark::BrokenLink<'_>| {
            references.push(link.reference.to_string());
            None
        }),
    );
    events.extend(parser);
    assert!(references.is_empty(), "{references:?} in:\n{markdown}");
    for event in events {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                assert_eq!(&*info, "text", "in:\n{markdown}");
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => {
                panic!("indented code in:\n{markdown}");
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                assert!(dest_url.starts_with("http"), "{dest_url} in:\n{markdown}");
            }
            Event::Html(html) | Event::InlineHtml(html) => panic!("{html} in:\n{markdown}"),
            _ => {}
        }
    }
}

#[test]
fn plain_text_is_unchanged() {
    check(" Greets people.\n\n Twice.", " Greets people.\n\n Twice.");
    check("no space", " no space");
    check(" - one\n - two\n   more", " - one\n - two\n   more");
    check(" `Vec<T>` and `a[0]`", " `Vec<T>` and `a[0]`");
}

#[test]
fn fenced_code_is_never_rust() {
    check(" ```\n let x\n ```", " ```text\n let x\n ```");
    check(" ```rust,no_run\n let x\n ```", " ```text\n let x\n ```");
    check(" ~~~~\n ```\n ~~~~", " ~~~~text\n ```\n ~~~~");
    check(" ```c++\n never closed", " ```text\n never closed\n ```");
    check(
        " - item\n       ```\n   x\n       ```",
        " - item\n ```text\n   x\n ```",
    );
}

#[test]
fn indented_code_is_never_rust() {
    check(
        " Such as:\n\n     let x;\n\n     y\n\n Then.",
        " Such as:\n\n ```text\n let x;\n\n y\n ```\n\n Then.",
    );
    check("     all of it", " ```text\n all of it\n ```");
    check(" # Heading\n     code", " # Heading\n    code");
    check(" -      far away", " - far away");
    check(" >      quoted", " \\>      quoted");
    check(" text\n         goes on", " text\n    goes on");
    check("\t\tcode", " ```text\n \t\tcode\n ```");
}

#[test]
fn brackets_are_never_links() {
    check(
        " See [Foo] and [a][b] and [c](d).",
        " See \\[Foo\\] and \\[a\\]\\[b\\] and \\[c\\](d).",
    );
    check(" [Foo]: the foo", " \\[Foo\\]: the foo");
    check(" a `b [c", " a \\`b \\[c");
    check(" \\[done\\]", " \\[done\\]");
    check(" List<String> <b>", " List\\<String> \\<b>");
}

#[test]
fn addresses_stay_links() {
    check(" See https://nats.io/x.", " See <https://nats.io/x>.");
    check(" See <https://nats.io>.", " See <https://nats.io>.");
    check(" [NATS](https://nats.io)", " [NATS](https://nats.io)");
    check(" [NATS](<https://nats.io>)", " [NATS](<https://nats.io>)");
    check(" `https://nats.io`", " `https://nats.io`");
}

#[test]
fn characters_not_allowed_in_rust_source_are_removed() {
    check(" a\rb\u{202e}c\u{0}", " a bc");
}

proptest::proptest! {
    #[test]
    fn any_comment_becomes_safe_and_is_not_changed_again(comment in "([ \t>`~\\[\\]<!*#a-c().:\\\\|_-]|https://x|```|    |\n|- |1[.] ){0,40}") {
        let lines: Vec<&str> = comment.lines().collect();
        let docs = to_docs(&lines);
        assert_safe(&docs);
        proptest::prop_assert_eq!(to_docs(&docs), docs);
    }
}
