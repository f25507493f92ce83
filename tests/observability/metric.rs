//! Values of metrics in a snapshot of the recorder.

use metrics_util::CompositeKey;
use metrics_util::debugging::DebugValue;

/// Returns the value of a metric that has `label` among the values of its labels.
pub(crate) fn metric<U, D>(
    snapshot: &[(CompositeKey, U, D, DebugValue)],
    name: &str,
    label: &str,
) -> Option<String> {
    snapshot.iter().find_map(|(key, _, _, value)| {
        let key = key.key();
        let has_label = key.labels().any(|found| found.value() == label);
        (key.name() == name && has_label).then(|| format!("{value:?}"))
    })
}

/// Value of a counter as [`metric`] returns it.
pub(crate) fn counter(number: u64) -> Option<String> {
    Some(format!("{:?}", DebugValue::Counter(number)))
}
