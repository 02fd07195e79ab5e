//! From "serving" to "gone": the phases of the process, and who is told.
//!
//! SIGTERM or SIGINT starts the drain; a second one shortens it. The doors follow
//! [`Lifecycle::subscribe`]; SIGHUP goes to whoever reloads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::settings::Drain;

/// How long doors may take to cut what is still open.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Where the process is. It only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Requests are answered.
    Serving,
    /// Requests are answered, but health says NOT_SERVING and `/readyz` 503, so that no new ones
    /// are sent here.
    Draining,
    /// No new connections; open ones get GOAWAY and finish what is in flight.
    Closing,
    /// What is still open is cut.
    Ending,
}

/// The phase of this process, shared by its parts.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: Arc<watch::Sender<Phase>>,
    hurry: Arc<Notify>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Serving)), hurry: Arc::default() }
    }
}

impl Lifecycle {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Follows the phases: `rx.wait_for(|p| *p >= Phase::Closing).await`.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Moves forward; a step back is ignored.
    pub fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let forward = to > *phase;
            *phase = to.max(*phase);
            forward
        });
    }

    /// Whoever is waiting inside [`Self::drain`] waits no longer.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Walks through the drain: says so, waits, closes, and ends. `closed` resolves when the doors
    /// have finished everything in flight.
    pub async fn drain(&self, times: Drain, closed: impl Future<Output = ()>) {
        self.advance(Phase::Draining);
        self.wait(times.delay).await;
        self.advance(Phase::Closing);
        let mut closed = std::pin::pin!(closed);
        tokio::select! {
            () = &mut closed => {}
            () = self.wait(times.timeout) => {
                self.advance(Phase::Ending);
                // A door that does not even cut its connections must not keep the process.
                let _ = tokio::time::timeout(LAST_WAIT, closed).await;
            }
        }
        self.advance(Phase::Ending);
    }

    async fn wait(&self, at_most: Duration) {
        tokio::select! {
            () = tokio::time::sleep(at_most) => {}
            () = self.hurry.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::from_secs(3_600);

    #[tokio::test(start_paused = true)]
    async fn the_drain_says_so_before_it_closes_and_ends_when_all_is_done() {
        let life = Lifecycle::default();
        let mut doors = life.subscribe();
        let times = Drain { delay: Duration::from_secs(5), timeout: Duration::from_secs(15) };
        let start = tokio::time::Instant::now();
        let told = async {
            doors.wait_for(|p| *p == Phase::Draining).await.unwrap();
            assert_eq!(start.elapsed(), Duration::ZERO);
            doors.wait_for(|p| *p >= Phase::Closing).await.unwrap();
            assert_eq!(start.elapsed(), Duration::from_secs(5));
        };
        tokio::join!(life.drain(times, std::future::ready(())), told);
        assert_eq!(life.phase(), Phase::Ending);
    }

    #[tokio::test]
    async fn a_second_signal_ends_each_wait() {
        let life = Lifecycle::default();
        let mut doors = life.subscribe();
        let times = Drain { delay: NEVER, timeout: NEVER };
        let stuck = async {
            doors.wait_for(|p| *p >= Phase::Ending).await.unwrap();
        };
        let hasty = async {
            let mut phases = life.subscribe();
            life.hurry();
            phases.wait_for(|p| *p >= Phase::Closing).await.unwrap();
            life.hurry();
        };
        tokio::join!(life.drain(times, stuck), hasty);
    }

    #[test]
    fn phases_never_go_back() {
        let life = Lifecycle::default();
        life.advance(Phase::Closing);
        life.advance(Phase::Draining);
        assert_eq!(life.phase(), Phase::Closing);
    }
}
