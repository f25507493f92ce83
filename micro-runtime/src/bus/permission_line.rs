//! The line of `nats-server.conf` that a refused subject needs, as docs/PROTOCOL.md has it in "Permissions". Pure.
//!
//! NATS names the subject alone, so the part that it plays is read from it: reserved first tokens, the token `evt` of
//! events, and services, whose names begin with a capital. Each line covers the subject, whatever it was read as.

/// A permission to add, and a remark on it.
struct PermissionLine {
    line: String,
    remark: &'static str,
}

const OF_SERVICE: &str = ", and the other lines of a service (docs/PROTOCOL.md, \"Permissions\")";
const OF_EVENT: &str = ", or a pattern that covers more events, as `evt.>` does";
const OF_ANNOUNCEMENT: &str = ", which a service may do without";
const OF_REPLIES: &str = " and `publish: \"_R_.>\"`, under which a service replies: `allow_responses` is not enough for streams";

/// Returns the permission for messages to this subject, as the end of a sentence.
pub(super) fn publish_advice(refused: &str) -> String {
    let PermissionLine { line, remark } = publish_line(refused);
    format!("allow `publish: \"{line}\"` in its permissions{remark}")
}

/// Returns the permission for a subscription to this subject, as the end of a sentence.
pub(super) fn subscribe_advice(refused: &str, queue: Option<&str>) -> String {
    let PermissionLine { line, remark } = subscribe_line(refused, queue);
    format!("allow `subscribe: \"{line}\"` in its permissions{remark}")
}

/// Returns the pattern that a user needs for the inbox of its connection, whose last token is random.
pub(super) fn inbox_line(inbox: &str) -> String {
    format!(
        "{}.>",
        inbox.rsplit_once('.').map_or(inbox, |(prefix, _)| prefix)
    )
}

/// Returns the error of a user that may subscribe to its inbox, and not publish to it.
pub(super) fn own_inbox_unpublishable(inbox: &str) -> String {
    format!(
        "NATS does not let this user publish to its own inbox `{inbox}.>`, by which it proves that it can be reached; allow \
         `publish: \"{}\"` in its permissions",
        inbox_line(inbox)
    )
}

fn publish_line(refused: &str) -> PermissionLine {
    let tokens = refused.split('.').collect::<Vec<_>>();
    match *tokens.as_slice() {
        ["$SRV", "_EVENT", name, _] => line(format!("$SRV._EVENT.{name}.*"), OF_ANNOUNCEMENT),
        ["$SRV", _, ..] => line("$SRV.>".to_owned(), ""),
        // With domain and account before the names from nats-server 2.14 on.
        ["$JS", "ACK", _, _, ..] if tokens.len() > 9 => line(under(&tokens[..6]), ""),
        ["$JS", "ACK", _, _, ..] => line(under(&tokens[..4]), ""),
        ["$JS", "API", "CONSUMER", ref names @ ..] => {
            // The name of a replay's consumer is random.
            let replay = names.iter().position(|name| name.starts_with("replay-"));
            match (replay, names) {
                (Some(at), _) => line(under(&tokens[..3 + at]), ""),
                (None, ["CREATE", _, _, _, ..]) => line(under(&tokens[..6]), ""),
                (None, _) => line(refused.to_owned(), ""),
            }
        }
        ["$JS", ..] => line(refused.to_owned(), ""),
        ["_INBOX" | "_R_", ..] => line("_INBOX.>".to_owned(), OF_REPLIES),
        // An inbox prefix of its own.
        [first, _, ..] if first.starts_with('_') => line(format!("{first}.>"), ""),
        // A record of attempts, of one event.
        [.., "attempts", _, _, event] if event.contains('-') => {
            let consumer = &tokens[..tokens.len() - 1];
            line(format!("{}.*", consumer.join(".")), "")
        }
        _ => match service_base(&tokens) {
            Some(base) => line(under(base), ""),
            None => literal(refused, &tokens),
        },
    }
}

fn subscribe_line(refused: &str, queue: Option<&str>) -> PermissionLine {
    let tokens = refused.split('.').collect::<Vec<_>>();
    match *tokens.as_slice() {
        ["$SRV", "_EVENT", ..] => line("$SRV._EVENT.>".to_owned(), ""),
        ["$SRV", _] => line("$SRV.*".to_owned(), OF_SERVICE),
        ["$SRV", _, name] => line(format!("$SRV.*.{name}"), OF_SERVICE),
        ["$SRV", _, name, _] => line(format!("$SRV.*.{name}.*"), OF_SERVICE),
        // An inbox: of the connection, whose random token precedes a wildcard, or of one use, which ends with it.
        [first, .., _, "*" | ">"] if first.starts_with('_') => {
            line(under(&tokens[..tokens.len() - 2]), "")
        }
        [first, .., _] if first.starts_with('_') => line(under(&tokens[..tokens.len() - 1]), ""),
        _ => match (service_base(&tokens), queue) {
            (Some(base), _) if base.len() + 1 < tokens.len() => {
                line(format!("{}._i.*.>", base.join(".")), OF_SERVICE)
            }
            (Some(base), Some(queue)) => line(format!("{}.* {queue}", base.join(".")), OF_SERVICE),
            (Some(base), None) => line(format!("{}.*", base.join(".")), OF_SERVICE),
            (None, _) => literal(refused, &tokens),
        },
    }
}

fn line(line: String, remark: &'static str) -> PermissionLine {
    PermissionLine { line, remark }
}

fn literal(refused: &str, tokens: &[&str]) -> PermissionLine {
    let remark = if tokens.contains(&"evt") {
        OF_EVENT
    } else {
        ""
    };
    line(refused.to_owned(), remark)
}

/// Returns the pattern of everything below these tokens.
fn under(tokens: &[&str]) -> String {
    format!("{}.>", tokens.join("."))
}

/// Returns the tokens before those of a method, or before `_i`; `None` for a subject that is none of a service.
fn service_base<'a>(tokens: &'a [&'a str]) -> Option<&'a [&'a str]> {
    if let Some(at) = tokens.iter().position(|token| *token == "_i") {
        return (at > 0).then(|| &tokens[..at]);
    }
    let (_, base) = tokens.split_last()?;
    let service = base.last()?;
    let is_service = service.starts_with(|first: char| first.is_ascii_uppercase());
    (is_service && !tokens.contains(&"evt") && !tokens.contains(&"dlq")).then_some(base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::matches;

    #[test]
    fn each_refused_publish_has_the_line_of_its_role() {
        let check = |refused: &str, expected: &str| {
            let found = publish_line(refused).line;
            assert_eq!(found, expected, "{refused}");
            assert!(matches(&found, refused), "{found} {refused}");
        };
        check("greeter.v1.Greeter.SayHello", "greeter.v1.Greeter.>");
        check("Greeter.SayHello", "Greeter.>");
        check(
            "acme.greeter.v1.Greeter._i.a1._up.x",
            "acme.greeter.v1.Greeter.>",
        );
        check(
            "greeter.v1.Greeter._i._all.SayHello",
            "greeter.v1.Greeter.>",
        );
        check("greeter.v1.Greeter._schema", "greeter.v1.Greeter.>");
        // Events, also behind the prefix of a bus; a field may begin with a capital.
        check("evt.market.trade.KRAKEN.BTC", "evt.market.trade.KRAKEN.BTC");
        check(
            "acme.evt.market.trade.KRAKEN.BTC",
            "acme.evt.market.trade.KRAKEN.BTC",
        );
        check("orders.placed", "orders.placed");
        check("x", "x");
        check("dlq.MARKET.books", "dlq.MARKET.books");
        check("a.attempts.MARKET.Books.7-12", "a.attempts.MARKET.Books.*");
        check("$SRV.PING", "$SRV.>");
        check("$SRV", "$SRV");
        check(
            "$SRV._EVENT.greeter-v1-Greeter.a1",
            "$SRV._EVENT.greeter-v1-Greeter.*",
        );
        check("_INBOX.client.a.b", "_INBOX.>");
        check("_INBOX_team.a.b", "_INBOX_team.>");
        check("$JS.API.STREAM.INFO.MARKET", "$JS.API.STREAM.INFO.MARKET");
        check("$JS.API.STREAM.NAMES", "$JS.API.STREAM.NAMES");
        check(
            "$JS.API.CONSUMER.INFO.MARKET.books",
            "$JS.API.CONSUMER.INFO.MARKET.books",
        );
        check(
            "$JS.API.CONSUMER.CREATE.MARKET.books.evt.market.>",
            "$JS.API.CONSUMER.CREATE.MARKET.books.>",
        );
        check(
            "$JS.API.CONSUMER.MSG.NEXT.MARKET.books",
            "$JS.API.CONSUMER.MSG.NEXT.MARKET.books",
        );
        check(
            "$JS.API.CONSUMER.MSG.NEXT.MARKET.replay-a",
            "$JS.API.CONSUMER.MSG.NEXT.MARKET.>",
        );
        check(
            "$JS.API.CONSUMER.CREATE.MARKET.replay-a.evt.>",
            "$JS.API.CONSUMER.CREATE.MARKET.>",
        );
        check("$JS.ACK.MARKET.books.1.2.3.4.5", "$JS.ACK.MARKET.books.>");
        check(
            "$JS.ACK.d.acc.MARKET.books.1.2.3.4.5.x",
            "$JS.ACK.d.acc.MARKET.books.>",
        );
    }

    #[test]
    fn each_refused_subscription_has_the_line_of_its_role() {
        let check = |refused: &str, queue: Option<&str>, expected: &str| {
            let found = subscribe_line(refused, queue).line;
            assert_eq!(found, expected, "{refused}");
            let (pattern, group) = found.split_once(' ').unwrap_or((&found, ""));
            assert!(matches(pattern, refused), "{found} {refused}");
            assert!(group.is_empty() || Some(group) == queue);
        };
        check(
            "greeter.v1.Greeter.SayHello",
            Some("q"),
            "greeter.v1.Greeter.* q",
        );
        check(
            "greeter.v1.Greeter._health",
            Some("canary"),
            "greeter.v1.Greeter.* canary",
        );
        check("greeter.v1.Greeter.SayHello", None, "greeter.v1.Greeter.*");
        check(
            "greeter.v1.Greeter._i.a1.>",
            None,
            "greeter.v1.Greeter._i.*.>",
        );
        check(
            "greeter.v1.Greeter._i._all.>",
            None,
            "greeter.v1.Greeter._i.*.>",
        );
        check("$SRV.PING", None, "$SRV.*");
        check(
            "$SRV.INFO.greeter-v1-Greeter",
            None,
            "$SRV.*.greeter-v1-Greeter",
        );
        check(
            "$SRV.INFO.greeter-v1-Greeter.a1",
            None,
            "$SRV.*.greeter-v1-Greeter.*",
        );
        check("$SRV._EVENT.>", None, "$SRV._EVENT.>");
        check("_INBOX.service.a.*", None, "_INBOX.service.>");
        check("_INBOX.a.*", None, "_INBOX.>");
        // Of a pull request, which must not open the inboxes of others.
        check("_INBOX.service.a", None, "_INBOX.service.>");
        check("_INBOX.a", None, "_INBOX.>");
        check("_INBOX_team.a", None, "_INBOX_team.>");
        check(
            "evt.market.trade.*.*",
            Some("recorder"),
            "evt.market.trade.*.*",
        );
        assert_eq!(inbox_line("_INBOX.service.a"), "_INBOX.service.>");
    }

    #[test]
    fn the_advice_is_a_line_to_copy() {
        assert_eq!(
            publish_advice("a.B.C"),
            "allow `publish: \"a.B.>\"` in its permissions"
        );
        let advice = publish_advice("_INBOX.client.a.b");
        assert!(advice.contains("`publish: \"_INBOX.>\"`") && advice.contains("allow_responses"));
        let advice = subscribe_advice("a.B.C", Some("q"));
        assert!(advice.contains("`subscribe: \"a.B.* q\"`"), "{advice}");
        assert!(publish_advice("acme.evt.x").contains("`evt.>`"));
    }
}
