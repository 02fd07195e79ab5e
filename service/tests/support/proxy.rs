//! A proxy that loses answers, keeps them for a while, or is slow: the caller does not know that
//! the server has executed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Forwards connections to one port until the test ends.
pub(crate) struct Proxy {
    port: u16,
    answers: Arc<Answers>,
}

/// What becomes of the answers of the server.
#[derive(Default)]
struct Answers {
    fate: Mutex<Fate>,
    changed: Condvar,
}

#[derive(Default)]
struct Fate {
    lose_next: bool,
    kept: bool,
    /// How long the server takes for each, as it seems.
    slow: Duration,
}

impl Proxy {
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds a port");
        let port = listener.local_addr().expect("has an address").port();
        let answers = Arc::<Answers>::default();
        let fates = Arc::clone(&answers);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                forward(client, server, &fates);
            }
        });
        Self { port, answers }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The next answer of the server is lost, and its connection with it.
    pub(crate) fn lose_next_answer(&self) {
        self.answers.change(|fate| fate.lose_next = true);
    }

    /// Keeps every answer from now on.
    pub(crate) fn keep_answers(&self) {
        self.answers.change(|fate| fate.kept = true);
    }

    /// Hands over what was kept, and keeps nothing more.
    pub(crate) fn let_answers_through(&self) {
        self.answers.change(|fate| fate.kept = false);
    }

    /// Every answer takes so long from now on.
    pub(crate) fn slow_down(&self, each: Duration) {
        self.answers.change(|fate| fate.slow = each);
    }
}

impl Answers {
    fn change(&self, change: impl FnOnce(&mut Fate)) {
        change(&mut self.fate.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until one more may go on; answers whether it is lost.
    fn next_is_lost(&self) -> bool {
        let fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.changed.wait_while(fate, |fate| fate.kept);
        let mut fate = kept.unwrap_or_else(PoisonError::into_inner);
        let (slow, lost) = (fate.slow, std::mem::take(&mut fate.lose_next));
        drop(fate);
        std::thread::sleep(slow);
        lost
    }
}

fn forward(client: TcpStream, server: u16, answers: &Arc<Answers>) {
    let server = TcpStream::connect(("127.0.0.1", server)).expect("reaches the server");
    let (to_server, to_client) = (clone(&server), clone(&client));
    let answers = Arc::clone(answers);
    std::thread::spawn(move || copy(&client, to_server, || false));
    std::thread::spawn(move || copy(&server, to_client, || answers.next_is_lost()));
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
