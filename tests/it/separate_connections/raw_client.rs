//! A client of NATS that sends what clients refuse to send: headers and subjects that async-nats cannot parse.

use micro_testkit::NatsServer;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Headers that cost async-nats its connection, and a reply subject that does.
pub(crate) const MALFORMED: [Malformed; 9] = [
    Malformed::Headers(b"NATS/1.0\r\nno colon\r\n\r\n"),
    Malformed::Headers(b"NATS/1.0\r\nkey: \xff\xfe\r\n\r\n"),
    Malformed::Headers(b"NATS/1.0\r\nwith space: x\r\n\r\n"),
    Malformed::Headers("NATS/1.0\r\nclé: x\r\n\r\n".as_bytes()),
    Malformed::Headers(b"NATS/1.0\r\nbell\x07: x\r\n\r\n"),
    Malformed::Headers(b"NATS/1.0\r\nkey: a\rb\r\n\r\n"),
    Malformed::Headers(b"HTTP/1.1 200\r\n\r\n"),
    Malformed::Headers(b"NATS/1.0 2x0\r\n\r\n"),
    Malformed::ReplySubject(b"_INBOX.\xc3\x28"),
];

/// Part of a message that async-nats cannot parse.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Malformed {
    Headers(&'static [u8]),
    ReplySubject(&'static [u8]),
}

pub(crate) struct RawConnection {
    stream: BufReader<TcpStream>,
}

impl RawConnection {
    pub(crate) async fn connect(nats: &NatsServer) -> Self {
        Self::login(nats, "").await
    }

    /// Connects as a user whose password is its name.
    pub(crate) async fn connect_as(nats: &NatsServer, user: &str) -> Self {
        Self::login(nats, &format!(r#","user":"{user}","pass":"{user}""#)).await
    }

    async fn login(nats: &NatsServer, login: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", nats.port())).await;
        let mut client = Self {
            stream: BufReader::new(stream.unwrap()),
        };
        assert!(client.line().await.starts_with("INFO "));
        let options = r#""verbose":false,"pedantic":false,"headers":true,"no_responders":true"#;
        client
            .send(format!("CONNECT {{{options}{login}}}\r\n"))
            .await;
        client.round_trip().await;
        client
    }

    /// Publishes a message with something malformed, and returns once the server has it.
    pub(crate) async fn publish(&mut self, subject: &str, malformed: Malformed) {
        self.send_malformed(subject, malformed).await;
        self.round_trip().await;
    }

    /// Publishes a message with these headers and this payload, and waits until NATS has it.
    pub(crate) async fn publish_with_headers(
        &mut self,
        subject: &str,
        headers: &[u8],
        payload: &[u8],
    ) {
        let (length, total) = (headers.len(), headers.len() + payload.len());
        let line = format!("HPUB {subject} {length} {total}\r\n");
        let message = [line.as_bytes(), headers, payload, b"\r\n"].concat();
        self.send(message).await;
        self.round_trip().await;
    }

    async fn send_malformed(&mut self, subject: &str, malformed: Malformed) {
        let message = match malformed {
            Malformed::Headers(headers) => {
                let (length, total) = (headers.len(), headers.len() + 1);
                let line = format!("HPUB {subject} {length} {total}\r\n");
                [line.as_bytes(), headers, b"x\r\n"].concat()
            }
            Malformed::ReplySubject(reply) => {
                let line = format!("PUB {subject} ");
                [line.as_bytes(), reply, b" 1\r\nx\r\n"].concat()
            }
        };
        self.send(message).await;
    }

    /// Subscribes, and returns once the server has the subscription.
    pub(crate) async fn subscribe(&mut self, subject: &str) {
        self.send(format!("SUB {subject} 1\r\n")).await;
        self.round_trip().await;
    }

    /// Replies to each request with something malformed, without an end.
    pub(crate) async fn respond(mut self) {
        for malformed in MALFORMED.into_iter().cycle() {
            let reply = loop {
                let line = self.line().await;
                let mut words = line.split_whitespace();
                let (Some("MSG" | "HMSG"), Some(_)) = (words.next(), words.next()) else {
                    self.respond_to_ping(&line).await;
                    continue;
                };
                let reply = words.nth(1).map(str::to_owned);
                let length = words.next_back().and_then(|length| length.parse().ok());
                let mut payload = vec![0; length.unwrap_or(0) + 2];
                self.stream.read_exact(&mut payload).await.unwrap();
                if let Some(reply) = reply {
                    break reply;
                }
            };
            self.send_malformed(&reply, malformed).await;
        }
    }

    /// Returns once the server has handled all that was sent.
    async fn round_trip(&mut self) {
        self.send("PING\r\n").await;
        loop {
            let line = self.line().await;
            if line.starts_with("PONG") {
                return;
            }
            self.respond_to_ping(&line).await;
        }
    }

    async fn respond_to_ping(&mut self, line: &str) {
        match line.starts_with("PING") {
            true => self.send("PONG\r\n").await,
            false => assert!(!line.starts_with("-ERR"), "{line}"),
        }
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await.unwrap();
        assert!(!line.is_empty(), "the connection is closed");
        String::from_utf8_lossy(&line).into_owned()
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .get_mut()
            .write_all(bytes.as_ref())
            .await
            .unwrap();
    }
}
