//! One caller of one counter, honest and greedy: it spends what it was granted at any instant
//! until its deadline, and gives back, extends and settles what it holds.

use fastrand::Rng;
use sluicegate_limits::counter::{Op, Wait};
use sluicegate_limits::decide::{Ask, Check, Key, Outcome};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::numbers;
use crate::rule::Rule;

/// The same instant on two clocks, in µs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant {
    /// A clock that never steps: the caller's.
    pub(crate) real: u64,
    /// The store's.
    pub(crate) store: u64,
}

/// Tokens that passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) at: Instant,
    pub(crate) tokens: u64,
}

/// What is held.
#[derive(Clone, Copy, Debug)]
struct Grant {
    /// The end as the store named it.
    end: u64,
    /// Until when, on the caller's clock, tokens are spent.
    deadline: u64,
    tokens: u64,
    spent: u64,
    /// Whether it is only spent: the store's clock stepped back since.
    only_spent: bool,
}

/// One caller of one counter.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) key: Key,
    pub(crate) max_keys: u64,
    /// The longest hold, in µs.
    pub(crate) longest: u64,
    /// Whether it ever booked more than it held.
    in_debt: bool,
    /// Whether it gives back and settles what was granted before the store's clock went back, too.
    pub(crate) strays: bool,
    /// The tokens that it gave back or settled so: they may have been another's.
    pub(crate) strayed: Vec<Spent>,
    /// Everything that passed, in order.
    pub(crate) spent: Vec<Spent>,
    grants: Vec<Grant>,
}

impl Client {
    /// A caller with nothing spent.
    pub(crate) fn new(key: Key, longest: u64) -> Self {
        let (spent, grants) = (Vec::new(), Vec::new());
        let (max_keys, in_debt, strays, strayed) = (u64::MAX, false, false, Vec::new());
        Self { key, max_keys, longest, in_debt, strays, strayed, spent, grants }
    }

    /// Spends, then makes one check by `decide`. Answers what was asked, and the verdict.
    pub(crate) fn act(
        &mut self,
        rng: &mut Rng,
        rule: Rule,
        at: Instant,
        decide: impl FnOnce(&Check) -> Outcome,
    ) -> (Ask, Outcome) {
        self.spend_some(rng, at);
        let index = rng.usize(..self.grants.len().max(1));
        let strays = self.strays;
        let (op, tokens) = match self.grants.get_mut(index) {
            Some(grant) if (strays || !grant.only_spent) && rng.u8(..3) == 0 => {
                let quantum = Micros::new(self.longest.div_ceil(16));
                let (op, tokens) = handle(rng, grant, self.longest, quantum);
                if grant.only_spent {
                    self.strayed.push(Spent { at, tokens: grant.tokens + grant.spent });
                    // It may have been booked at its end before.
                    self.in_debt = true;
                }
                (op, tokens)
            }
            _ => self.request(rng, rule),
        };
        let ask = self.ask(op, tokens, rule, at.store);
        let outcome = decide(&[ask].into());
        if outcome.allowed {
            self.note(index, op, tokens, at, outcome.replies[0].end.get());
        }
        (ask, outcome)
    }

    /// What is asked of the store.
    pub(crate) fn ask(&self, op: Op, tokens: u64, rule: Rule, now: u64) -> Ask {
        Ask {
            key: self.key,
            limit_id: 1,
            max_keys: self.max_keys,
            terms: rule.terms(now),
            op,
            tokens: Tokens::new(tokens),
            shadow: false,
            horizon: Micros::new(self.longest + self.longest.div_ceil(16)),
        }
    }

    /// The store's clock went back. What was granted before is spent, but no longer given back,
    /// extended or settled: the step may have cut its end, and what ends there by name now may be
    /// another's, or it may have been booked at its end already.
    pub(crate) fn notice_step_back(&mut self) {
        for grant in &mut self.grants {
            grant.only_spent = true;
        }
    }

    /// The tokens that it holds or spends at `now`.
    pub(crate) fn live(&self, now: u64) -> u64 {
        let live = self.grants.iter().filter(|grant| grant.deadline > now);
        live.map(|grant| grant.tokens + grant.spent).sum()
    }

    fn request(&self, rng: &mut Rng, rule: Rule) -> (Op, u64) {
        let lasting = Micros::new(rng.u64(..=self.longest));
        let quantum = Micros::new(self.longest.div_ceil(16));
        let tokens = numbers::cost(rng, rule.capacity());
        match rng.u8(..12) {
            0 => (Op::Look, tokens),
            1..=4 => (Op::Hold { lasting, quantum }, tokens),
            _ if matches!(rule, Rule::Concurrency { .. }) => {
                (Op::Hold { lasting, quantum }, tokens)
            }
            _ => (Op::Take, tokens),
        }
    }

    fn spend_some(&mut self, rng: &mut Rng, at: Instant) {
        if !self.grants.is_empty() && rng.bool() {
            let index = rng.usize(..self.grants.len());
            let grant = &mut self.grants[index];
            if at.real < grant.deadline && grant.tokens > 0 {
                let tokens = if rng.bool() { grant.tokens } else { rng.u64(1..=grant.tokens) };
                grant.tokens -= tokens;
                grant.spent += tokens;
                self.spent.push(Spent { at, tokens });
            }
        }
        // One that is long over is forgotten, so that a late give-back still happens.
        self.grants.retain(|grant| at.real < grant.deadline + 2 * self.longest);
    }

    fn note(&mut self, index: usize, op: Op, tokens: u64, at: Instant, end: u64) {
        match op {
            Op::Take if tokens > 0 => self.spent.push(Spent { at, tokens }),
            Op::Hold { lasting, .. } if tokens > 0 => {
                let deadline = at.real + lasting.get().min(end - at.store);
                self.grants.push(Grant { end, deadline, tokens, spent: 0, only_spent: false });
            }
            Op::Extend { lasting, .. } if tokens > 0 => {
                let grant = &mut self.grants[index];
                let deadline = at.real + lasting.get().min(end - at.store);
                (grant.end, grant.deadline) = (end, deadline.max(grant.deadline));
            }
            Op::Release { .. } => self.grants[index].tokens -= tokens,
            Op::Settle { held, .. } => {
                self.in_debt |= tokens > held.get();
                self.grants.swap_remove(index);
            }
            _ => {}
        }
    }
}

/// Gives back, extends or settles.
fn handle(rng: &mut Rng, grant: &mut Grant, longest: u64, quantum: Micros) -> (Op, u64) {
    let (end, held) = (Timestamp::new(grant.end), grant.tokens + grant.spent);
    match rng.u8(..8) {
        0..=2 => (Op::Release { end }, grant.tokens),
        3 => (Op::Release { end }, rng.u64(..=grant.tokens)),
        4 | 5 => {
            let lasting = Micros::new(rng.u64(..=longest));
            (Op::Extend { end, lasting, quantum }, held)
        }
        _ => {
            let over = if rng.u8(..8) == 0 { rng.u64(1..=held / 8 + 1) } else { 0 };
            (Op::Settle { end, held: Tokens::new(held) }, grant.spent + over)
        }
    }
}

/// The longest a caller without debt waits for anything that fits at all: until all that was
/// granted is back.
pub(crate) fn assert_wait_is_bounded(outcome: &Outcome, rule: Rule, client: &Client) {
    let refill = rule.longest_refill() + rule.longest_repeat();
    let longest = client.longest + client.longest.div_ceil(16);
    for reply in &outcome.replies {
        if let Wait::For(wait) = reply.wait
            && !client.in_debt
        {
            let bound = refill + longest;
            assert!(wait.get() <= bound, "{wait} µs is over {bound} µs: {rule:?} {client:?}");
        }
    }
}
