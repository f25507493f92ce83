//! Who may have which subjects of one connection: calls are answered, and streams must not store them.

use std::sync::{Arc, Mutex, Weak};

use async_nats::Subject;

use crate::error::{Error, ErrorKind};
use crate::subject;
use crate::sync::lock;

/// The call subjects that are served over a connection, and the streams declared over it.
#[derive(Debug, Default)]
pub(crate) struct SubjectClaims(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<Weak<[Subject]>>,
    streams: Vec<(String, Vec<String>)>,
}

impl SubjectClaims {
    /// Takes note of a server's call subjects, for as long as the server keeps them.
    pub(crate) fn claim_calls(&self, calls: &Arc<[Subject]>) -> Result<(), Error> {
        let mut inner = lock(&self.0);
        for (stream, filters) in &inner.streams {
            check(stream, filters, calls)?;
        }
        inner.calls.retain(|calls| calls.strong_count() > 0);
        inner.calls.push(Arc::downgrade(calls));
        Ok(())
    }

    /// Takes note of what a stream stores.
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

fn check(stream: &str, filters: &[String], calls: &[Subject]) -> Result<(), Error> {
    for filter in filters {
        if let Some(call) = calls.iter().find(|call| subject::overlap(filter, call)) {
            return Err(Error::new(
                ErrorKind::JetStream,
                format!(
                    "stream `{stream}` would store calls, and answer them: its subject `{filter}` covers `{call}`, which is served here; let events' subjects begin with `evt.`"
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
    fn a_stream_that_covers_a_call_is_named_whoever_comes_first() {
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
