//! `SubjectClaims`: keeps JetStream streams and served calls of one connection on different subjects.
//!
//! A stream whose subjects cover a call subject stores every call and acknowledges it on its reply subject, mostly
//! before the service replies: a call fails wherever that comes first (docs/PROTOCOL.md, CALL-8). Found at the start of
//! a server or at the declaration of a stream, whichever comes second.

use std::sync::{Arc, Mutex, Weak};

use async_nats::Subject;

use crate::error::{Error, ErrorKind};
use crate::subject;
use crate::sync::lock;

/// Call subjects served over one connection, and subjects of the streams declared over it.
#[derive(Debug, Default)]
pub(crate) struct SubjectClaims(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Call subjects of each server; gone with it, as it holds the other reference.
    calls: Vec<Weak<[Subject]>>,
    /// Name and subjects of each stream. They outlive the server that declared them, as the stream does.
    streams: Vec<(String, Vec<String>)>,
}

impl SubjectClaims {
    /// Claims the call subjects of a server, for as long as the server keeps the `Arc`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] if a declared stream covers one of them.
    pub(crate) fn claim_calls(&self, calls: &Arc<[Subject]>) -> Result<(), Error> {
        let mut inner = lock(&self.0);
        for (stream, filters) in &inner.streams {
            check(stream, filters, calls)?;
        }
        inner.calls.retain(|calls| calls.strong_count() > 0);
        inner.calls.push(Arc::downgrade(calls));
        Ok(())
    }

    /// Claims the subjects of a stream, in place of those that a stream of this name had before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] if they cover the call subject of a running server.
    pub(crate) fn claim_stream(&self, stream: &str, filters: &[String]) -> Result<(), Error> {
        let mut inner = lock(&self.0);
        for calls in inner.calls.iter().filter_map(Weak::upgrade) {
            check(stream, filters, &calls)?;
        }
        inner.streams.retain(|(name, _)| name != stream);
        inner.streams.push((stream.to_owned(), filters.to_vec()));
        Ok(())
    }
}

/// Rejects a stream one of whose subjects covers a call subject.
fn check(stream: &str, filters: &[String], calls: &[Subject]) -> Result<(), Error> {
    for filter in filters {
        if let Some(call) = calls.iter().find(|call| subject::overlap(filter, call)) {
            return Err(Error::new(
                ErrorKind::JetStream,
                format!(
                    "stream `{stream}` would store calls, and reply to them: its subject `{filter}` covers `{call}`, which is served here; let events' subjects begin with `evt.`"
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_covers_a_call_is_rejected_in_either_order() {
        let calls: Arc<[Subject]> = Arc::from([Subject::from("a.v1.A.Go")]);
        let filters = ["evt.>".to_owned(), "a.>".to_owned()];
        let claims = SubjectClaims::default();
        claims.claim_calls(&calls).unwrap();
        let error = claims
            .claim_stream("ALL", &filters)
            .unwrap_err()
            .to_string();
        assert!(error.contains("`ALL`") && error.contains("`a.>` covers `a.v1.A.Go`"));
        claims.claim_stream("EVENTS", &filters[..1]).unwrap();
        drop(calls);
        claims.claim_stream("ALL", &filters).unwrap();
        let error = claims.claim_calls(&Arc::from([Subject::from("a.v1.A.Go")]));
        assert!(error.unwrap_err().to_string().contains("`ALL`"));
    }
}
