//! `Cases`: what a run of a fuzz target reached.

use std::collections::BTreeSet;

/// Cases that a run reached, as in "a call with a deadline".
pub(super) type Cases = BTreeSet<&'static str>;
