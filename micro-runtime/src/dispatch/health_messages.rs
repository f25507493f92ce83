//! Messages of `grpc.health.v1`, which `_health` takes and replies with (docs/PROTOCOL.md, "Health").
//!
//! They are written out here, with the tags of the .proto of gRPC: the runtime generates no code, and
//! probes for gRPC read the reply as it is.

use crate::dispatch::health::HealthReport;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

impl HealthCheckRequest {
    /// Returns the reply of an instance of the service `full_name`: readiness for the service's name or
    /// none, liveness on request; `None` for any other name, for which gRPC has `NOT_FOUND`.
    pub(super) fn respond(
        &self,
        full_name: &str,
        report: &HealthReport,
    ) -> Option<HealthCheckResponse> {
        let is_serving = match self.service.as_str() {
            "" | "readiness" => report.is_ready,
            "liveness" => report.is_live,
            name if name == full_name => report.is_ready,
            _ => return None,
        };
        Some(HealthCheckResponse::new(is_serving))
    }
}

impl HealthCheckResponse {
    const SERVING: i32 = 1;
    const NOT_SERVING: i32 = 2;

    fn new(is_serving: bool) -> Self {
        Self {
            status: if is_serving {
                Self::SERVING
            } else {
                Self::NOT_SERVING
            },
        }
    }
}
