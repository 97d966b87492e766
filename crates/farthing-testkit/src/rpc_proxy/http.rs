//! As much of HTTP/1.1 as a JSON-RPC client speaks, on a bare socket, so that it can break anywhere.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// A client's connection.
pub(super) struct Connection {
    stream: TcpStream,
    /// Read and not yet taken.
    ahead: Vec<u8>,
}

/// A request: its head as it came, and its body.
pub(super) struct Request {
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Whether the client wants a WebSocket.
    pub(super) fn is_upgrade(&self) -> bool {
        header(&self.head, "upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
    }
}

impl Connection {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    /// The client's next request; `None` when it has left.
    pub(super) async fn request(&mut self) -> Option<Request> {
        let head_end = loop {
            if let Some(position) = self.ahead.windows(HEAD_END.len()).position(|window| window == HEAD_END) {
                break position + HEAD_END.len();
            }
            self.read_more().await?;
        };
        let head: Vec<u8> = self.ahead.drain(..head_end).collect();
        let length = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or_default();
        while self.ahead.len() < length {
            self.read_more().await?;
        }
        let body = self.ahead.drain(..length).collect();
        Some(Request { head, body })
    }

    async fn read_more(&mut self) -> Option<()> {
        let length = self.stream.read_buf(&mut self.ahead).await.ok()?;
        (length > 0).then_some(())
    }

    pub(super) async fn respond(&mut self, status: &str, body: &[u8]) -> io::Result<()> {
        self.stream.write_all(&response(status, body)).await
    }

    /// The head, which promises all of the body, and half of it.
    pub(super) async fn respond_in_part(&mut self, body: &[u8]) {
        let mut response = response("200 OK", body);
        response.truncate(response.len() - body.len().div_ceil(2));
        let _ = self.stream.write_all(&response).await;
    }

    pub(super) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.ahead)
    }
}

fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let head = std::str::from_utf8(head).ok()?;
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
