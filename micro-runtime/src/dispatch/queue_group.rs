//! Queue groups: which of several settings applies.

use crate::descriptor::ServiceDescriptor;

/// Setting that switches the queue group off, so that every instance replies.
const NO_QUEUE_GROUP: &str = "-";
/// Queue group where none is set: ADR-32's default, so that peers of other libraries share the calls.
const DEFAULT_QUEUE_GROUP: &str = "q";

/// Returns the first group that is set, or the default; `None` if that switches the group off.
pub(super) fn first_queue_group<const N: usize>(settings: [Option<&str>; N]) -> Option<String> {
    let group = settings.into_iter().flatten().next();
    let group = group.unwrap_or(DEFAULT_QUEUE_GROUP);
    (group != NO_QUEUE_GROUP).then(|| group.to_owned())
}

/// Returns the group that the .proto's service option sets.
pub(super) fn declared_queue_group(service: &ServiceDescriptor) -> Option<&'static str> {
    let group = service.queue_group;
    (!group.is_empty()).then_some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_group_that_is_set_applies() {
        let check = |settings: [Option<&str>; 2], expected: Option<&str>| {
            assert_eq!(first_queue_group(settings).as_deref(), expected);
        };
        check([None, None], Some("q"));
        check([None, Some("b")], Some("b"));
        check([Some("a"), Some("b")], Some("a"));
        check([Some("-"), Some("b")], None);
    }
}
