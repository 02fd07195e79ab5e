//! The places for strangers at one listener: few, so that they never use up what trusted peers
//! need, and never so full that a probe finds none.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::bounds::{MAX_STRANGERS, MAX_STRANGERS_PER_ADDRESS};

/// Who is there, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Guests>);

#[derive(Debug, Default)]
struct Guests {
    here: VecDeque<Guest>,
    /// Those who were told to leave and have not yet.
    leaving: usize,
    next_id: u64,
}

#[derive(Debug)]
struct Guest {
    id: u64,
    address: IpAddr,
    /// Dropping it tells the guest to leave.
    _stays: oneshot::Sender<()>,
}

/// The place of one stranger; free again when dropped.
#[derive(Debug)]
pub(super) struct Stay {
    strangers: Arc<Strangers>,
    id: u64,
    told: oneshot::Receiver<()>,
}

impl Strangers {
    /// A place for one more; the oldest makes room where all are taken. None where its address has
    /// its share of them, or where those who were told to leave have not left.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Stay> {
        let address = counted(address);
        let guests = &mut *self.0.lock();
        let of_address = guests.here.iter().filter(|guest| guest.address == address).count();
        if of_address >= MAX_STRANGERS_PER_ADDRESS || guests.leaving >= MAX_STRANGERS {
            return None;
        }
        if guests.here.len() >= MAX_STRANGERS && guests.here.pop_front().is_some() {
            guests.leaving += 1;
        }
        let id = guests.next_id;
        guests.next_id += 1;
        let (stays, told) = oneshot::channel();
        guests.here.push_back(Guest { id, address, _stays: stays });
        Some(Stay { strangers: Arc::clone(self), id, told })
    }
}

impl Stay {
    /// Resolves when the place is needed for another.
    pub(super) async fn told_to_leave(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.told).await;
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let guests = &mut *self.strangers.0.lock();
        match guests.here.iter().position(|guest| guest.id == self.id) {
            Some(at) => drop(guests.here.remove(at)),
            None => guests.leaving = guests.leaving.saturating_sub(1),
        }
    }
}

/// What counts as one address: of IPv6 the network of 64 bits, which one host has to itself.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    fn guest(number: usize) -> IpAddr {
        Ipv4Addr::new(203, 0, 113, u8::try_from(number).unwrap()).into()
    }

    fn may_stay(stay: &mut Stay) -> bool {
        stay.told.try_recv() == Err(TryRecvError::Empty)
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let strangers = Arc::new(Strangers::default());
        let same = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<IpAddr>().unwrap());
        let mut stays: Vec<Stay> = (0..MAX_STRANGERS_PER_ADDRESS)
            .map(|number| strangers.admit(same[number % 2]).unwrap())
            .collect();
        assert!(strangers.admit(same[0]).is_none());
        assert!(strangers.admit("2001:db8:0:1::1".parse().unwrap()).is_some());
        assert!(stays.iter_mut().all(may_stay));
        stays.pop();
        assert!(strangers.admit(same[1]).is_some());
    }

    #[test]
    fn the_oldest_makes_room_and_who_does_not_leave_is_waited_for() {
        let strangers = Arc::new(Strangers::default());
        let admit = |number| strangers.admit(guest(number / MAX_STRANGERS_PER_ADDRESS));
        let mut first: Vec<Stay> = (0..MAX_STRANGERS).map(|n| admit(n).unwrap()).collect();
        let second: Vec<Stay> =
            (MAX_STRANGERS..2 * MAX_STRANGERS).map(|n| admit(n).unwrap()).collect();
        assert!(!first.iter_mut().any(may_stay));
        // As many are open as the files of the process are reckoned for.
        assert!(admit(2 * MAX_STRANGERS).is_none());
        first.pop();
        assert!(admit(2 * MAX_STRANGERS).is_some());
        drop((first, second));
        assert!(strangers.0.lock().here.is_empty() && strangers.0.lock().leaving == 0);
    }
}
