//! `Forgery`: the content of a message that a peer made up.

use async_nats::{HeaderMap, Message, StatusCode, Subject};
use bytes::Bytes;

/// The content of a forged message: headers, payload, reply subject, status of NATS; each is empty by default.
///
/// # Examples
///
/// ```
/// use micro_runtime::faults::Forgery;
///
/// let failure = Forgery::new().header("Micro-Status", "5").payload("no account 7");
/// let of_jetstream = Forgery::new().payload(r#"{"stream":"ORDERS","seq":1}"#);
/// let of_nats = Forgery::new().status(409, "Exceeded MaxWaiting");
/// # let _ = (failure, of_jetstream, of_nats);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Forgery {
    headers: Option<HeaderMap>,
    payload: Bytes,
    reply: Option<Subject>,
    status: Option<(StatusCode, String)>,
}

impl Forgery {
    /// Returns a message without headers, payload and reply subject.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a header.
    ///
    /// # Panics
    ///
    /// For a name or a value that NATS does not allow, such as one with a line break.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.get_or_insert_default().append(name, value);
        self
    }

    /// Sets the payload.
    pub fn payload(self, payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            ..self
        }
    }

    /// Sets the subject that a reply to this message goes to.
    pub fn reply_to(self, subject: &str) -> Self {
        Self {
            reply: Some(subject.into()),
            ..self
        }
    }

    /// Makes it a message of NATS itself, with a status of three digits, such as 503 for a request without
    /// responders, and a description.
    ///
    /// # Panics
    ///
    /// For a code outside of 100 to 999.
    pub fn status(self, code: u16, description: &str) -> Self {
        let Ok(code) = StatusCode::from_u16(code) else {
            panic!("{code} is no status of NATS: write one from 100 to 999");
        };
        Self {
            status: Some((code, description.to_owned())),
            ..self
        }
    }

    /// Returns the message that arrives under this subject.
    pub(super) fn message(&self, subject: Subject) -> Message {
        let (status, description) = self.status.clone().unzip();
        Message {
            subject,
            reply: self.reply.clone(),
            payload: self.payload.clone(),
            headers: self.headers.clone(),
            status,
            description,
            length: self.payload.len(),
        }
    }
}
