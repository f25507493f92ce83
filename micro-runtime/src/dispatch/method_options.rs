//! `MethodOptions`: the options of one served method, once the strongest source of each is known.

use std::time::Duration;

use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::dispatch::queue_group::{declared_queue_group, first_queue_group};
use crate::dispatch::rpc_options::RpcOptions;
use crate::dispatch::service_options::ServiceOptions;
use crate::execute::DeadlinePolicy;
use crate::wire;

/// Options of one served method. Discovery shows them in INFO.
#[derive(Clone, Debug)]
pub(crate) struct MethodOptions {
    /// Timeout of calls that bring none; streams have none then.
    pub(crate) timeout: Duration,
    /// Maximum number of calls that run at a time; unlimited if `None`.
    pub(crate) max_concurrent: Option<u32>,
    /// Queue group of the subscription; `None` if every instance gets each call.
    pub(crate) queue_group: Option<String>,
    /// Whether the handler runs on a thread that it may block.
    pub(crate) is_blocking: bool,
    /// Whether the handler goes on after its deadline, and after the end of its stream.
    pub(crate) is_detached: bool,
}

/// Sources of the options of one method, the strongest first.
pub(crate) struct OptionSources<'a> {
    /// Options at [`Server::add_with`](crate::Server::add_with): the program that deploys a service
    /// overrides its author.
    pub(crate) service_options: &'a ServiceOptions,
    /// `#[rpc(…)]` on the handler.
    pub(crate) rpc: &'a RpcOptions,
    /// Method options of the .proto.
    pub(crate) method: &'static MethodDescriptor,
    /// Service options of the .proto.
    pub(crate) service: &'static ServiceDescriptor,
    /// Queue group of the server, for services that set none.
    pub(crate) server_queue_group: Option<&'a str>,
    /// Timeout of the server, for methods that set none.
    pub(crate) default_timeout: Duration,
}

impl MethodOptions {
    /// Returns what happens to a handler of the method that outlives its deadline.
    pub(super) fn deadline_policy(&self) -> DeadlinePolicy {
        match self.is_detached {
            true => DeadlinePolicy::Detach,
            false => DeadlinePolicy::Drop,
        }
    }

    /// Takes each option from the strongest source that sets it. `blocking` and `detached` describe the
    /// handler's code, so that only its author sets them.
    pub(crate) fn resolve(sources: &OptionSources<'_>) -> Self {
        let OptionSources {
            service_options,
            rpc,
            method,
            service,
            server_queue_group,
            default_timeout,
        } = *sources;
        let queue_groups = [
            service_options.queue_group_of(method.name),
            service_options.queue_group.as_deref(),
            rpc.queue_group,
            declared_queue_group(service),
            server_queue_group,
        ];
        Self {
            // A caller that sends no timeout waits for the protocol's.
            timeout: service_options
                .timeout
                .or(rpc.timeout)
                .or(method.timeout)
                .unwrap_or(default_timeout)
                .min(wire::DEFAULT_TIMEOUT),
            // Zero lifts the limit of a weaker source.
            max_concurrent: service_options
                .max_concurrent_of(method.name)
                .or(rpc.max_concurrent)
                .or(method.max_concurrent)
                .filter(|calls| *calls > 0),
            queue_group: first_queue_group(queue_groups),
            is_blocking: rpc.is_blocking,
            is_detached: rpc.is_detached,
        }
    }
}
