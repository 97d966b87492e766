//! As little of an HTTP client as can tell right answers from wrong ones: it runs on the same cores as the server, and
//! what it costs the server lacks.

use crate::market::Promise;
use farthing::core::wire::Challenge;
use memchr::{memchr_iter, memmem};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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
        let head = self.kept.as_ref()?.get(..self.head_length)?;
        let value = lines(head).find_map(|line| field(line, name.as_bytes()))?;
        String::from_utf8(value.to_vec()).ok()
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
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let malformed = |what| io::Error::new(ErrorKind::InvalidData, what);
        let status = bytes.get(9..12).and_then(number).ok_or_else(|| malformed("no status"))?;
        let (mut body_length, mut has_receipt) = (None, false);
        for line in lines(&bytes[..end]).skip(1) {
            match line.first() {
                Some(b'c' | b'C') => body_length = field(line, b"content-length").map(number).or(body_length),
                Some(b'p' | b'P') => has_receipt |= field(line, b"payment-receipt").is_some(),
                _ => {}
            }
        }
        let body_length = body_length.flatten().ok_or_else(|| malformed("no content-length"))?;
        Ok(Some(Self { status: status as u16, length: end + 4, body_length, has_receipt }))
    }
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr_iter(b'\n', head).chain([head.len()]);
    ends.scan(0, |begin, end| Some(&head[std::mem::replace(begin, end + 1)..end]))
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The value of a line, if that is its name.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
