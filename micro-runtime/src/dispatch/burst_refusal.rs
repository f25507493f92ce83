//! `BurstRefusals`: the refusals that a burst of requests to one method gets, encoded once.
//!
//! Encoding the headers and details of one costs more than running a short handler: a server that is to catch up by
//! refusing must do it cheaply.

use std::sync::OnceLock;

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::dispatch::call_limit::CallLimit;
use crate::memory_budget;
use crate::status::details::RetryInfo;
use crate::status::{Reason, Status};
use crate::wire;

/// Delay in milliseconds that a refused caller is advised to wait: long enough for a burst to pass, and
/// short beside the usual deadlines (docs/PROTOCOL.md, FAIL-11).
const RETRY_AFTER_MS: i32 = 100;

/// Why a request of a burst is refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum BurstRefusal {
    /// A limit of concurrent calls is reached.
    Limit(CallLimit),
    /// The backlog is full.
    Backlog,
    /// The memory budget of the server is used up.
    Memory,
    /// The time of its caller was over before its turn came.
    Expired,
}

/// The refusals of one method, in protobuf. Each is made when it is sent first: most methods send none.
#[derive(Default)]
pub(crate) struct BurstRefusals(OnceLock<Box<RefusalsByReason>>);

#[derive(Default)]
struct RefusalsByReason {
    /// In the order of [`CallLimit`].
    limits: [OnceLock<EncodedRefusal>; CallLimit::ALL.len()],
    backlog: OnceLock<EncodedRefusal>,
    memory: OnceLock<EncodedRefusal>,
    expired: OnceLock<EncodedRefusal>,
}

/// A refusal as it is counted, and as it is sent.
pub(super) struct EncodedRefusal {
    pub(super) status: Status,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

impl BurstRefusals {
    /// Returns the refusal of a call of this method; `max_concurrent` is the value of the limit that is reached.
    pub(super) fn get(
        &self,
        why: BurstRefusal,
        name: &str,
        max_concurrent: impl FnOnce(CallLimit) -> usize,
    ) -> &EncodedRefusal {
        let by_reason = self.0.get_or_init(Box::default);
        let refusal = match why {
            BurstRefusal::Limit(limit) => &by_reason.limits[limit as usize],
            BurstRefusal::Backlog => &by_reason.backlog,
            BurstRefusal::Memory => &by_reason.memory,
            BurstRefusal::Expired => &by_reason.expired,
        };
        refusal.get_or_init(|| {
            let status = match why {
                BurstRefusal::Limit(limit) => {
                    let (owner, max) = (limit.owner(name), max_concurrent(limit));
                    let option = limit.option();
                    let text = format!("{owner} runs {max} calls already, its limit (`{option}`)");
                    retry_after(Reason::Overloaded.status(text))
                }
                BurstRefusal::Backlog => retry_after(Reason::Overloaded.status(format!(
                    "{name} was not run: too many requests wait for it already"
                ))),
                BurstRefusal::Memory => retry_after(memory_budget::exceeded()),
                BurstRefusal::Expired => Reason::Deadline.status(format!(
                    "{name} was not run: the time of its caller was over before its turn came"
                )),
            };
            let (headers, payload) = wire::encode_status(&status);
            EncodedRefusal {
                status,
                headers,
                payload,
            }
        })
    }
}

/// Adds the delay that a refused caller is advised to wait.
pub(super) fn retry_after(status: Status) -> Status {
    status.with_detail(&RetryInfo {
        retry_delay: Some(prost_types::Duration {
            seconds: 0,
            nanos: RETRY_AFTER_MS * 1_000_000,
        }),
    })
}
