//! A TCP proxy that can lose one answer: it closes the connection after the server has executed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Forwards connections to one port until the test ends.
pub(crate) struct Proxy {
    port: u16,
    lose_next: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds a port");
        let port = listener.local_addr().expect("has an address").port();
        let lose_next = Arc::new(AtomicBool::new(false));
        let lose = Arc::clone(&lose_next);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                forward(client, server, &lose);
            }
        });
        Self { port, lose_next }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The next answer of the server is lost, and its connection with it.
    pub(crate) fn lose_next_answer(&self) {
        self.lose_next.store(true, SeqCst);
    }
}

fn forward(client: TcpStream, server: u16, lose: &Arc<AtomicBool>) {
    let server = TcpStream::connect(("127.0.0.1", server)).expect("reaches the server");
    let (to_server, to_client) = (clone(&server), clone(&client));
    let lose = Arc::clone(lose);
    std::thread::spawn(move || copy(&client, to_server, || false));
    std::thread::spawn(move || copy(&server, to_client, || lose.swap(false, SeqCst)));
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("clones a socket")
}

fn copy(mut from: &TcpStream, mut to: TcpStream, lose: impl Fn() -> bool) {
    let mut bytes = [0; 16_384];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if lose() || to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    // The other direction may have closed it already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
