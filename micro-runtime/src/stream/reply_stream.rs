//! `ReplyStream`: the trait of the streams that handlers of streaming methods return.

use futures_util::stream::Stream;

use crate::status::Status;

/// Return type of a handler of a streaming method: any [`Stream`] of `Result<M, Status>` that is `Send` and borrows
/// nothing.
///
/// It is implemented for every such stream, so `impl ReplyStream<Number>` accepts `futures_util::stream::iter`, a
/// channel's receiver, or a stream of your own. The first `Err` ends the call with that status; messages yielded
/// before it are delivered. The stream is polled only while the caller grants credit, and dropped when the call ends,
/// however it does.
///
/// # Examples
///
/// ```
/// use futures_util::{StreamExt as _, stream};
/// use micro_runtime::{ReplyStream, Status};
///
/// fn count(to: u32) -> impl ReplyStream<u32> {
///     stream::iter(1..=to).map(Ok)
/// }
///
/// fn count_at_most_ten(to: u32) -> impl ReplyStream<u32> {
///     stream::iter(1..=to).map(|number| match number {
///         0..=10 => Ok(number),
///         _ => Err(Status::invalid_argument("that is too far")),
///     })
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a reply stream of `{M}`",
    label = "expected a stream of `Result<{M}, Status>`",
    note = "this method is declared `returns (stream …)`: return something that implements `Stream<Item = Result<{M}, Status>> + Send + 'static`",
    note = "a stream of plain messages becomes one with `.map(Ok)`"
)]
pub trait ReplyStream<M>: Stream<Item = Result<M, Status>> + Send + 'static {}

impl<M, S: Stream<Item = Result<M, Status>> + Send + 'static> ReplyStream<M> for S {}
