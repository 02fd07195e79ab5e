//! HTTP/2 frame by frame, for callers that no client library would be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Nothing that is waited for takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest payload of a frame that everybody takes.
const MAX_PAYLOAD: usize = 16_384;
/// What makes of the first window of a connection the largest that there is.
const WINDOW: u32 = (1 << 31) - 1 - 65_535;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
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

    /// A whole request without a body.
    pub(crate) fn get(stream: u32, path: &str) -> Self {
        Self::new(HEADERS, END_HEADERS | END_STREAM, stream, block(&get(path)))
    }

    /// The same with more headers, of any bytes.
    pub(crate) fn get_with(stream: u32, path: &str, more: &[(Vec<u8>, Vec<u8>)]) -> Vec<Self> {
        let mut frames = Self::of_block(stream, &[block(&get(path)), block(more)].concat());
        frames.first_mut().unwrap().flags |= END_STREAM;
        frames
    }

    /// The head of a gRPC call; its body follows.
    pub(crate) fn head(stream: u32, path: &str) -> Self {
        Self::new(HEADERS, END_HEADERS, stream, call(path, &[]))
    }

    /// The same with more headers, in as many frames as it needs.
    pub(crate) fn heads(stream: u32, path: &str, more: &[(&str, &str)]) -> Vec<Self> {
        Self::of_block(stream, &call(path, more))
    }

    fn of_block(stream: u32, block: &[u8]) -> Vec<Self> {
        let mut frames: Vec<Self> = block
            .chunks(MAX_PAYLOAD)
            .map(|part| Self::new(CONTINUATION, 0, stream, part.to_vec()))
            .collect();
        frames.first_mut().unwrap().kind = HEADERS;
        frames.last_mut().unwrap().flags = END_HEADERS;
        frames
    }

    /// The head of a native check; the body follows.
    pub(crate) fn check_head(stream: u32) -> Self {
        Self::head(stream, "/sluicegate.v1.Sluicegate/Check")
    }

    /// The body of a check that says nothing.
    pub(crate) fn empty_message(stream: u32) -> Self {
        Self::new(DATA, END_STREAM, stream, vec![0; 5])
    }

    pub(crate) fn ping() -> Self {
        Self::new(PING, 0, 0, b"settled?".to_vec())
    }

    pub(crate) fn reset(stream: u32) -> Self {
        let cancel = 8_u32;
        Self::new(RST_STREAM, 0, stream, cancel.to_be_bytes().to_vec())
    }

    /// The four bytes of an error, from `at`.
    pub(crate) fn code(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    pub(crate) fn is_pong(&self) -> bool {
        self.kind == PING && self.flags & ACK != 0
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
        Self::connect_from(Ipv4Addr::LOCALHOST.into(), address).await
    }

    /// The same from another address of this machine.
    pub(crate) async fn connect_from(from: IpAddr, address: SocketAddr) -> Self {
        let mut stream = connect_from(from, address).await;
        let mut greeting = PREFACE.to_vec();
        Frame::new(SETTINGS, 0, 0, Vec::new()).write(&mut greeting);
        // Answers as long as there are any: flow control is not what is tested here.
        Frame::new(WINDOW_UPDATE, 0, 0, WINDOW.to_be_bytes().to_vec()).write(&mut greeting);
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

    /// The message of the answer to a call, or nothing where the call was reset.
    pub(crate) async fn message(&mut self, stream: u32) -> Option<Vec<u8>> {
        let ends = |frame: &Frame| matches!(frame.kind, DATA | RST_STREAM);
        let frame = self.until(|frame| frame.stream == stream && ends(frame)).await;
        (frame.kind == DATA).then(|| frame.payload[5..].to_vec())
    }

    /// Returns when the server has handled all that was sent before.
    pub(crate) async fn settle(&mut self) {
        self.send([Frame::ping()]).await;
        self.until(Frame::is_pong).await;
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

/// A connection from an address of this machine.
pub(crate) async fn connect_from(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "api.test")]
}

/// The header block of a gRPC call.
fn call(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let call = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    block(&[&call, more].concat())
}

/// A header block: literals that are not indexed, without Huffman.
fn block<T: AsRef<[u8]>>(fields: &[(T, T)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for bytes in [name.as_ref(), value.as_ref()] {
            length(bytes.len(), &mut block);
            block.extend(bytes);
        }
    }
    block
}

/// An integer with a prefix of 7 bits, as HPACK writes it.
fn length(number: usize, out: &mut Vec<u8>) {
    let Some(mut rest) = number.checked_sub(127) else {
        return out.push(u8::try_from(number).unwrap());
    };
    out.push(127);
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}
