//! Messages of the service `streams.v1.Streams`, and reading a stream of them to its end.

use micro_runtime::{Status, Streaming};
use micro_tests::streams::{CountRequest, Item};

/// Request for `messages` items of 16 bytes, followed by `plan`.
pub(crate) fn count(messages: u64, plan: &str) -> CountRequest {
    CountRequest {
        messages,
        size: 16,
        plan: plan.to_owned(),
        ..CountRequest::default()
    }
}

/// Item without data.
pub(crate) fn item(number: u64) -> Item {
    Item {
        number,
        ..Item::default()
    }
}

/// Item that makes the handler follow `plan`.
pub(super) fn item_with_plan(plan: &str) -> Item {
    Item {
        plan: plan.to_owned(),
        ..Item::default()
    }
}

/// Item with `size` bytes of data.
pub(super) fn sized_item(number: u64, size: usize) -> Item {
    Item {
        number,
        data: vec![b'x'; size],
        ..Item::default()
    }
}

/// Reads a stream to its end; returns the number of items, and the error if it ended with one.
pub(super) async fn read_to_end(items: &mut Streaming<Item>) -> (u64, Option<Status>) {
    let mut messages = 0;
    loop {
        match items.message().await {
            Ok(Some(item)) => {
                assert_eq!(item.number, messages);
                messages += 1;
            }
            Ok(None) => return (messages, None),
            Err(status) => {
                // The error is returned again, and no clean end follows it.
                let again = items.message().await.unwrap_err();
                assert_eq!(again.to_string(), status.to_string());
                return (messages, Some(status));
            }
        }
    }
}

/// Reads a stream to its end, and checks that it has `messages` items and no error.
pub(super) async fn expect_items(items: &mut Streaming<Item>, messages: u64) {
    let (read, failure) = read_to_end(items).await;
    assert!(failure.is_none(), "{failure:?} after {read}");
    assert_eq!(read, messages);
}
