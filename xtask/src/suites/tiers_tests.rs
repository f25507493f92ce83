//! Unit tests of `tiers.rs`: no package, no slow suite and no ignored test is forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::cargo::cargo;

/// Returns the names of the packages whose identifiers are listed under `key`.
fn packages(key: &str) -> BTreeSet<String> {
    let output = cargo(&["metadata", "--no-deps", "--offline", "--format-version=1"])
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ids = metadata[key].as_array().unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let of_id = |id: &Value| packages.iter().find(|package| package["id"] == *id);
    ids.iter()
        .map(|id| of_id(id).unwrap()["name"].as_str().unwrap().to_owned())
        .collect()
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_package_of_the_workspace_is_tested_in_a_tier() {
    let mut tested = set(FIRST_TIER.iter().copied());
    assert_eq!(tested.len(), FIRST_TIER.len());
    for suite in SECOND_TIER.iter().chain(SLOW) {
        for step in suite.steps {
            if let Step::Tests(["--package", package]) = step {
                tested.insert((*package).to_owned());
            }
        }
    }
    assert_eq!(packages("workspace_members"), tested);
}

#[test]
fn the_first_tier_is_what_a_plain_cargo_test_tests() {
    let first = set(FIRST_TIER.iter().copied());
    assert_eq!(packages("workspace_default_members"), first);
}

#[test]
fn names_are_used_once() {
    let suites = || SECOND_TIER.iter().chain(SLOW);
    let names = set(suites().map(|suite| suite.name).chain([FIRST_TIER_NAME]));
    assert_eq!(names.len(), suites().count() + 1);
}

/// A test of the second tier and a slow one are ignored with a reason that names the suite, which names the test.
#[test]
fn every_ignored_test_is_in_its_slow_suite() {
    let mut found = BTreeSet::new();
    for path in sources(&micro_testkit::workspace_root()) {
        let text = fs::read_to_string(&path).unwrap();
        for (attribute, after) in attributes(&text) {
            if attribute.starts_with(BY_HAND) {
                continue;
            }
            let at = path.display();
            let (reason, suite) = REASONS
                .into_iter()
                .find_map(|reason| Some((reason, attribute.strip_prefix(reason)?)))
                .and_then(|(reason, rest)| Some((reason, rest.strip_suffix("\"]")?)))
                .unwrap_or_else(|| panic!("{at}: write `{REASONS:?}NAME\"]`, not `{attribute}`"));
            let (_, after) = after.split_once("fn ").unwrap();
            let (test, _) = after.split_once('(').unwrap();
            found.insert((reason, suite.to_owned(), test.to_owned()));
        }
    }
    let mut listed = BTreeSet::new();
    let [second_tier, slow] = REASONS;
    let second_tier = SECOND_TIER.iter().map(|suite| (second_tier, suite));
    for (reason, suite) in second_tier.chain(SLOW.iter().map(|suite| (slow, suite))) {
        for step in suite.steps {
            let Step::IgnoredTests(ignored) = step else {
                continue;
            };
            for test in ignored.tests {
                let name = test.rsplit("::").next().unwrap();
                listed.insert((reason, suite.name.to_owned(), name.to_owned()));
            }
        }
    }
    assert_eq!(found, listed);
}

/// The attributes of a test of the second tier and of a slow test, up to the name of the suite.
const REASONS: [&str; 2] = [
    "#[ignore = \"second tier: cargo xtask test --slow ",
    "#[ignore = \"slow: cargo xtask test --slow ",
];

/// The attribute of a test that no suite runs, since it writes files that are kept.
const BY_HAND: &str = "#[ignore = \"by hand: ";

/// Returns each line that is an `ignore` attribute, and the text behind it.
fn attributes(text: &str) -> Vec<(&str, &str)> {
    let mut rest = text;
    let mut found = Vec::new();
    while let Some((line, after)) = rest.split_once('\n') {
        if line.trim_start().starts_with("#[ignore") {
            found.push((line.trim(), after));
        }
        rest = after;
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
