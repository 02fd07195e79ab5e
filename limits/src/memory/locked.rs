//! What one check uses of the store in the process, while it is locked.

use std::collections::hash_map::Entry;

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use super::{Overflow, Remembered, Shard, number, shard_of};
use crate::counter::Counter;
use crate::decide::{Ask, Counters, Key, Once, Record};
use crate::fair::Fair;

/// The locked shards of one check.
pub(super) struct Locked<'a> {
    pub(super) shards: SmallVec<[(usize, MutexGuard<'a, Shard>); 4]>,
    /// Locked where a key is new.
    pub(super) overflow: Option<MutexGuard<'a, Overflow>>,
    /// The overflow keys that this check uses.
    pub(super) shared: Vec<Key>,
    /// Stands in for a counter of a shard that was not locked; `lock` leaves none out.
    pub(super) spare: Counter,
    /// The room for records.
    pub(super) remembered: &'a Mutex<Fair<u64>>,
}

/// A store of the one counter that was looked up already.
pub(super) struct One<'a>(pub(super) &'a mut Counter);

impl Counters for One<'_> {
    fn counter(&mut self, _: &Ask) -> &mut Counter {
        self.0
    }
}

impl Locked<'_> {
    pub(super) fn shard(&mut self, key: Key) -> Option<&mut Shard> {
        let wanted = shard_of(key);
        self.shards.iter_mut().find(|(number, _)| *number == wanted).map(|(_, shard)| &mut **shard)
    }
}

impl Counters for Locked<'_> {
    fn counter(&mut self, ask: &Ask) -> &mut Counter {
        let number = number(ask.key);
        let counter = match &mut self.overflow {
            Some(overflow) if self.shared.contains(&ask.key) => {
                overflow.get_mut(&number).map(|shared| &mut shared.counter)
            }
            _ => {
                // As `shard` does, which borrows all of `self`.
                let wanted = shard_of(ask.key);
                let mut shards = self.shards.iter_mut();
                let shard = shards.find(|(number, _)| *number == wanted);
                let slot = shard.and_then(|(_, shard)| shard.slots.get_mut(&number));
                slot.map(|slot| &mut slot.counter)
            }
        };
        counter.unwrap_or(&mut self.spare)
    }

    fn record(&mut self, once: &Once) -> Option<&mut Option<Record>> {
        let (Once { id, owner }, remembered) = (*once, self.remembered);
        let shard = self.shard(id)?;
        let kept = match shard.records.entry(number(id)) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(place) => {
                let room = remembered.lock().take(&owner);
                room.then(|| place.insert(Remembered { owner, record: None }))?
            }
        };
        Some(&mut kept.record)
    }
}
