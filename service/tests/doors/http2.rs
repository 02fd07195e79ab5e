//! HTTP/2 frame by frame, for callers that no client library would be.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::server::PATIENCE;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One connection.
pub(crate) struct Raw {
    stream: TcpStream,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: Vec<u8>) -> Self {
        Self { kind, flags, stream, payload }
    }

    /// The head of a native check; the body follows.
    pub(crate) fn check_head(stream: u32, authority: &str) -> Self {
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/sluicegate.v1.Sluicegate/Check"),
            (":authority", authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        let mut block = Vec::new();
        for (name, value) in fields {
            // A literal that is not indexed, without Huffman.
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).unwrap());
                block.extend(text.as_bytes());
            }
        }
        Self::new(HEADERS, END_HEADERS, stream, block)
    }

    /// The body of a check that says nothing.
    pub(crate) fn empty_message(stream: u32) -> Self {
        Self::new(DATA, END_STREAM, stream, vec![0; 5])
    }

    pub(crate) fn reset(stream: u32) -> Self {
        let cancel = 8_u32;
        Self::new(RST_STREAM, 0, stream, cancel.to_be_bytes().to_vec())
    }

    /// The four bytes of an error, from `at`.
    pub(crate) fn code(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    fn write(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        out.extend(&length[1..]);
        out.extend([self.kind, self.flags]);
        out.extend(self.stream.to_be_bytes());
        out.extend(&self.payload);
    }
}

impl Raw {
    /// Connects and greets.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut greeting = PREFACE.to_vec();
        Frame::new(SETTINGS, 0, 0, Vec::new()).write(&mut greeting);
        stream.write_all(&greeting).await.unwrap();
        Self { stream }
    }

    /// Sends frames at once. A server that has closed already is found out by reading.
    pub(crate) async fn send(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let mut bytes = Vec::new();
        frames.into_iter().for_each(|frame| frame.write(&mut bytes));
        let _ = self.stream.write_all(&bytes).await;
    }

    /// The next frame; `None` when the server has closed. Settings and pings are acknowledged.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let frame = timeout(PATIENCE, self.read()).await.expect("the server says something")?;
        let acknowledged = matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0;
        if acknowledged {
            let payload = if frame.kind == PING { frame.payload.clone() } else { Vec::new() };
            self.send([Frame::new(frame.kind, ACK, 0, payload)]).await;
        }
        Some(frame)
    }

    /// Skips frames until one fits.
    pub(crate) async fn until(&mut self, fits: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next().await.expect("the frame comes before the end");
            if fits(&frame) {
                return frame;
            }
        }
    }

    /// Returns when the server has handled all that was sent before.
    pub(crate) async fn settle(&mut self) {
        self.send([Frame::new(PING, 0, 0, b"settled?".to_vec())]).await;
        self.until(|frame| frame.kind == PING && frame.flags & ACK != 0).await;
    }

    /// Returns when the server has closed.
    pub(crate) async fn closed(&mut self) {
        while self.next().await.is_some() {}
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}
