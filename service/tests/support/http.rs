//! One HTTP request, from any loopback address, over a connection of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};

/// What came back.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl HttpAnswer {
    /// A header as text; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Sends the request from the address `from`.
pub(crate) async fn send(
    from: IpAddr,
    to: SocketAddr,
    request: Request<Full<Bytes>>,
) -> io::Result<HttpAnswer> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    exchange(socket.connect(to).await?, request).await
}

/// Sends the request over a connection that stands.
pub(crate) async fn exchange(
    stream: TcpStream,
    request: Request<Full<Bytes>>,
) -> io::Result<HttpAnswer> {
    let other = io::Error::other::<hyper::Error>;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(other)?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(other)?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(other)?.to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(HttpAnswer { status: head.status, headers: head.headers, body })
}
