//! As little of an HTTP client as can tell right answers from wrong ones: it runs on the same cores as the server, and
//! what it costs the server lacks.

use crate::market::Promise;
use farthing::core::wire::Challenge;
use httparse::{EMPTY_HEADER, Header, Response, Status};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More headers than a gateway sends.
const FIELDS_MAX: usize = 32;

/// A request as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// Pays nothing.
    pub(crate) fn free(address: SocketAddr, path: &str) -> Self {
        Self(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes())
    }

    /// Pays by a voucher.
    pub(crate) fn paid(address: SocketAddr, path: &str, challenge: &Challenge, promise: &Promise) -> Self {
        let credential = promise.credential(challenge).to_header().expect("writes");
        Self(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: {credential}\r\n\r\n").into_bytes())
    }
}

/// What of an answer is looked at.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) has_receipt: bool,
    /// All of it, if it was to be kept.
    kept: Option<Vec<u8>>,
    head_length: usize,
}

impl Answer {
    /// A header of an answer that was kept.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut head = Response::new(&mut fields);
        head.parse(self.kept.as_ref()?).ok()?;
        field(head.headers, name).map(str::to_owned)
    }

    /// The body of an answer that was kept.
    pub(crate) fn body(&self) -> Option<&[u8]> {
        self.kept.as_ref()?.get(self.head_length..)
    }
}

/// A connection that is kept alive; one request at a time is on it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16_384) })
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn ask(&mut self, request: &Request, keep: bool) -> io::Result<Answer> {
        self.stream.write_all(&request.0).await?;
        self.buffer.clear();
        let head = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = Head::read(&self.buffer)? {
                break head;
            }
        };
        let length = head.length + head.body_length;
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        if self.buffer.len() > length {
            return Err(io::Error::new(ErrorKind::InvalidData, "an answer to nothing"));
        }
        let kept = keep.then(|| self.buffer.clone());
        Ok(Answer { status: head.status, has_receipt: head.has_receipt, kept, head_length: head.length })
    }
}

struct Head {
    status: u16,
    length: usize,
    body_length: usize,
    has_receipt: bool,
}

impl Head {
    /// The head of an answer, if it is there as a whole.
    fn read(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut head = Response::new(&mut fields);
        let malformed = |what| io::Error::new(ErrorKind::InvalidData, what);
        let parsed = head.parse(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let Status::Complete(length) = parsed else { return Ok(None) };
        let status = head.code.ok_or_else(|| malformed("no status"))?;
        let body_length = field(head.headers, "content-length").and_then(|digits| digits.parse().ok());
        let body_length = body_length.ok_or_else(|| malformed("no content-length"))?;
        Ok(Some(Self { status, length, body_length, has_receipt: field(head.headers, "payment-receipt").is_some() }))
    }
}

/// The value of a header, if it is there.
fn field<'a>(fields: &[Header<'a>], name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok()
}
