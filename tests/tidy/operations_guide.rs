//! The tables of `docs/guide/operations.md`: they name the metrics, the fields of STATS, the options, the variables,
//! the limits and the thinned log lines that the code has, and no others.
//!
//! The tables of options and limits are made from the code: `UPDATE_EXPECT=1 cargo test -p micro-tests --test tidy`
//! writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::LazyLock;

use regex::Regex;

use crate::documents::Document;
use crate::log_lines::limited_messages;
use crate::source::Source;
use crate::workspace::root;

/// The guide.
pub(crate) const OPERATIONS_GUIDE: &str = "docs/guide/operations.md";

/// Fields of ADR-32, whose names it has chosen, with their metrics.
const ADR_32_NAMES: [(&str, &str); 3] = [
    ("rpc.server.requests", "endpoints[].num_requests"),
    ("rpc.server.errors", "endpoints[].num_errors"),
    ("rpc.server.duration", "endpoints[].processing_time"),
];

/// The records of STATS by their structs.
const RECORDS: [(&str, &str); 6] = [
    ("Stats", ""),
    ("EndpointStats", "endpoints[]."),
    ("EndpointData", "endpoints[].data."),
    ("InstanceData", "data."),
    ("EventData", "data.events[]."),
    ("CheckOutcome", "data.checks[]."),
];

/// Names of constants that are limits, budgets and times.
static LIMIT_NAME: LazyLock<Regex> = LazyLock::new(|| {
    let endings = "TIMEOUT|INTERVAL|CAPACITY|PERIOD|TIME|AGE|WINDOW|BACKOFF|THRESHOLD|DELAY|BUDGET|EXPIRY|HEARTBEAT|\
                   OVERTIME";
    pattern(&format!("^(MAX|MIN|DEFAULT|INITIAL)_|_({endings})$"))
});
static LIMIT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(?:pub(?:\([^)]*\))? )?const (\w+): (?:usize|u\d+|i64|Duration) = (.*);")
});
static OPTION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^    pub (?:const )?fn (\w+)\((?:mut )?self, .*\b(?:Duration|usize|u32|u64)>?\) -> Self",
    )
});
static OWNER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^impl(?:<[^>]*(?:<[^>]*>)?[^>]*>)? (\w+)"));
static LINK: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\[(`[^`]+`)\](?:\([^)]*\))?|\[([^\]]+)\]\([^)]*\)"));
static TIME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^Duration::from_(secs|millis|micros)\((.*)\)$"));
/// Metrics of a caller, and those of events that have no subscription of a server.
static OF_CALLER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(rpc\.client\.[a-z_]+|event\.(published|errors))$"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of this file")
}

/// Returns the differences between the guide's lists of names and the code.
pub(crate) fn names_what_the_code_has(guide: &Document, sources: &[&Source]) -> Vec<String> {
    let code = |path: &str| {
        let source = sources.iter().find(|source| source.path == path);
        source.map_or("", |source| before_tests(&source.text))
    };
    let metrics = found(
        r#""((?:rpc|event|nats)\.[a-z_.]+)""#,
        code("micro-runtime/src/observe/metrics.rs"),
    );
    let records = ["records", "added_data"]
        .map(|name| code(&format!("micro-runtime/src/discovery/{name}.rs")));
    let fields = stats_fields(&records.concat());
    let mut variables = found(
        "\"((?:NATS|MICRO)_[A-Z_]+)\"",
        code("micro-runtime/src/bus/env.rs"),
    );
    variables.remove("NATS_CONTEXT");
    let lines = limited_messages(sources).into_iter().collect();
    let names = |fields: &BTreeMap<String, bool>| fields.keys().cloned().collect();
    let mut violations = vec![];
    for (heading, expected) in [
        ("Metrics", metrics.clone()),
        ("STATS", names(&fields)),
        ("Variables", variables),
        ("Log lines", lines),
    ] {
        let listed = first_cells(&guide.text, heading);
        let missing = expected
            .difference(&listed)
            .map(|name| format!("the table under `{heading}` lacks `{name}`"));
        let unknown = listed
            .difference(&expected)
            .map(|name| format!("there is no `{name}` (`{heading}`)"));
        violations.extend(missing.chain(unknown));
    }
    violations.extend(metrics_that_no_field_has(&guide.text, &fields));
    violations
        .into_iter()
        .map(|text| format!("{}: {text}", guide.path))
        .collect()
}

/// Checks that each count is both: a row of the metrics names its field, and each field that counts is named.
///
/// A metric ends with the name of its field, or with its words in the other order: `replies.unsent` is
/// `unsent_replies`. Those of a caller have no field (`–`), since STATS are of what an instance serves.
fn metrics_that_no_field_has(guide: &str, fields: &BTreeMap<String, bool>) -> Vec<String> {
    let mut violations = vec![];
    let mut named = BTreeSet::new();
    for row in rows(guide, "Metrics") {
        let [metric, .., cell] = &*row else { continue };
        if cell == "–" {
            if !OF_CALLER.is_match(metric) {
                violations.push(format!("`{metric}` has no field of STATS"));
            }
            continue;
        }
        for field in cell.split("`, `") {
            if !fields.contains_key(field) {
                violations.push(format!(
                    "`{metric}` names the field `{field}`, which there is not"
                ));
            }
            let parts: Vec<&str> = metric.rsplit('.').collect();
            let own = field.rsplit('.').next().unwrap_or_default();
            let reversed = format!("{}_{}", parts[0], parts.get(1).unwrap_or(&""));
            let is_of_adr = ADR_32_NAMES.contains(&(&**metric, field));
            if own != parts[0] && own != reversed && !is_of_adr {
                violations.push(format!(
                    "`{metric}` and its field `{field}` have names of two kinds"
                ));
            }
            named.insert(field.to_owned());
        }
    }
    let counts = fields.iter().filter(|(_, is_count)| **is_count);
    let alone = counts.filter(|(field, _)| !named.contains(*field));
    violations.extend(alone.map(|(field, _)| format!("no metric counts what `{field}` does")));
    violations
}

/// Writes or compares the tables that are made from the code.
pub(crate) fn has_the_tables(guide: &Document, sources: &[&Source]) -> Vec<String> {
    let sources: Vec<_> = sources.iter().filter(|source| has_limits(source)).collect();
    let mut violations = vec![];
    let options = sources
        .iter()
        .flat_map(|source| options(source, &mut violations))
        .collect::<Vec<_>>();
    let limits = sources
        .iter()
        .flat_map(|source| limits(source))
        .collect::<Vec<_>>();
    let mut text = guide.text.clone();
    for (name, header, mut made) in [
        (
            "options",
            "| option | what it bounds, and its default |\n|---|---|",
            options,
        ),
        (
            "limits",
            "| constant | value | of | what it bounds |\n|---|---|---|---|",
            limits,
        ),
    ] {
        made.sort();
        let (begin, end) = (
            format!("<!-- {name}: made from the code -->\n"),
            format!("<!-- end of {name} -->\n"),
        );
        let (Some(from), Some(to)) = (text.find(&begin), text.find(&end)) else {
            violations.push(format!("{}: lacks the marks of `{name}`", guide.path));
            continue;
        };
        let table = format!("{header}\n{}\n", made.join("\n"));
        text.replace_range(from + begin.len()..to, &table);
    }
    if text != guide.text {
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(root().join(&guide.path), text).expect("the guide can be written");
        } else {
            violations.push(format!(
                "{}: options or limits have changed: `UPDATE_EXPECT=1 cargo test -p micro-tests --test tidy` writes \
                 the tables anew",
                guide.path
            ));
        }
    }
    violations
}

/// Returns whether limits and options of a source are those of the runtime.
fn has_limits(source: &Source) -> bool {
    let path = &source.path;
    let is_left_out = [
        "_tests.rs",
        "fuzz.rs",
        "bench.rs",
        "rpc_options.rs",
        "descriptor/service.rs",
    ]
    .iter()
    .any(|end| path.ends_with(end))
        || path.contains("fault_injection");
    path.starts_with("micro-runtime/src/") && !is_left_out
}

/// Returns rows for the options of a source that are numbers or times.
fn options(source: &Source, violations: &mut Vec<String>) -> Vec<String> {
    let mut of = "";
    let mut rows = vec![];
    let lines: Vec<&str> = before_tests(&source.text).lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if let Some(found) = OWNER.captures(line) {
            of = found.get(1).map_or("", |name| name.as_str());
        }
        let Some(found) = OPTION.captures(line) else {
            continue;
        };
        let doc = documentation(&lines, index);
        let first = doc.split("\n\n").next().unwrap_or_default();
        let mut text = first.replace('\n', " ");
        if !text.contains("efault") {
            let rest = doc.replace('\n', " ");
            match rest
                .split(". ")
                .find(|sentence| sentence.contains("efault"))
            {
                Some(sentence) => {
                    text = format!("{text} {}.", sentence.trim().trim_end_matches('.'));
                }
                None => {
                    violations.push(source.at(index + 1, "state the default in the documentation"));
                }
            }
        }
        rows.push(format!("| `{of}::{}` | {} |", &found[1], plain(&text)));
    }
    rows
}

/// Returns rows for the limits of a source.
fn limits(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = before_tests(&source.text).lines().collect();
    let found = lines.iter().enumerate().filter_map(|(index, line)| {
        let found = LIMIT.captures(line)?;
        let name = found.get(1)?.as_str();
        let doc = documentation(&lines, index).replace('\n', " ");
        let doc = doc.split(". ").next().unwrap_or_default();
        let doc = plain(doc.trim().trim_end_matches('.'));
        let path = source.path.strip_prefix("micro-runtime/src/")?;
        LIMIT_NAME
            .is_match(name)
            .then(|| format!("| `{name}` | {} | `{path}` | {doc} |", value(&found[2])))
    });
    found.collect()
}

/// Returns the documentation of what stands in a line.
fn documentation(lines: &[&str], index: usize) -> String {
    let above = lines[..index].iter().rev().map(|line| line.trim());
    let above = above.skip_while(|line| line.starts_with("#["));
    let mut doc: Vec<&str> = above
        .map_while(|line| line.strip_prefix("///"))
        .map(str::trim)
        .collect();
    doc.reverse();
    doc.join("\n")
}

/// Returns documentation as a cell: without links and line breaks.
fn plain(text: &str) -> String {
    let text = LINK.replace_all(text, "$1$2");
    text.replace("Self::", "")
        .replace('|', "\\|")
        .trim()
        .to_owned()
}

/// Returns a value as a reader writes it.
fn value(code: &str) -> String {
    let (number, unit) = match TIME.captures(code) {
        Some(found) => {
            let unit = match &found[1] {
                "secs" => " s",
                "millis" => " ms",
                _ => " µs",
            };
            (found[2].to_owned(), unit)
        }
        None => (code.to_owned(), ""),
    };
    let factors = number
        .split(" * ")
        .map(|factor| factor.replace('_', "").parse::<u64>());
    match factors.collect::<Result<Vec<_>, _>>() {
        Ok(factors) => format!("{}{unit}", grouped(factors.iter().product())),
        Err(_) => format!("`{code}`"),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the fields of STATS by their paths, with whether each is a count.
fn stats_fields(code: &str) -> BTreeMap<String, bool> {
    let record = pattern(r"^pub struct (\w+)");
    let rename = pattern(r#"rename = "(\w+)""#);
    let field = pattern(r"^    pub (\w+): ([\w<>]+),");
    let mut fields = BTreeMap::new();
    let (mut prefix, mut renamed) = (None, None);
    for line in code.lines() {
        if let Some(found) = record.captures(line) {
            let known = RECORDS.iter().find(|(name, _)| *name == &found[1]);
            prefix = known.map(|(_, prefix)| *prefix);
        } else if let Some(found) = field.captures(line) {
            let name: String = renamed.take().unwrap_or_else(|| found[1].to_owned());
            if let Some(prefix) = prefix {
                fields.insert(format!("{prefix}{name}"), &found[2] == "u64");
            }
        } else if let Some(found) = rename.captures(line) {
            renamed = Some(found[1].to_owned());
        }
    }
    fields
}

fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    let names = self::pattern(pattern);
    names
        .captures_iter(text)
        .map(|found| found[1].to_owned())
        .collect()
}

fn first_cells(guide: &str, heading: &str) -> BTreeSet<String> {
    let rows = rows(guide, heading).into_iter();
    rows.flat_map(|row| row.first().cloned())
        .flat_map(|cell| cell.split("`, `").map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Returns the rows of the tables under a heading, without the marks of code around whole cells.
fn rows(guide: &str, heading: &str) -> Vec<Vec<String>> {
    let begin = format!("\n## {heading}\n");
    let section = guide.split(&begin).nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines: Vec<&str> = section.lines().collect();
    let is_header = |index: usize| {
        lines
            .get(index + 1)
            .is_some_and(|line| line.starts_with("|--"))
    };
    let rows = lines
        .iter()
        .enumerate()
        .filter(|(index, _)| !is_header(*index));
    let rows = rows.filter_map(|(_, line)| line.strip_prefix("| ")?.strip_suffix('|'));
    rows.map(|row| {
        row.split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    })
    .collect()
}
