//! Every token that was admitted: booked, held, and spent by those who were let through.

use std::collections::BTreeMap;

use crate::rule::Rule;

/// Tokens that count from an instant on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Booked {
    pub(crate) at: u64,
    pub(crate) tokens: u64,
}

/// A grant as its holder knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    /// Until when the tokens may be spent.
    pub(crate) end: u64,
    /// Tokens not spent yet.
    pub(crate) tokens: u64,
    /// Tokens spent.
    pub(crate) spent: u64,
}

/// The tokens of one counter.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    log: Vec<Booked>,
    holds: BTreeMap<u64, u64>,
    spent: Vec<Booked>,
}

impl Ledger {
    /// Everything that was booked, oldest first.
    pub(crate) fn log(&self) -> &[Booked] {
        &self.log
    }

    /// Everything that passed, oldest first.
    pub(crate) fn spent(&self) -> &[Booked] {
        &self.spent
    }

    /// The tokens held now.
    pub(crate) fn held(&self) -> u64 {
        self.holds.values().sum()
    }

    /// The tokens held until this end.
    pub(crate) fn held_until(&self, end: u64) -> u64 {
        self.holds.get(&end).copied().unwrap_or(0)
    }

    /// The distinct ends of holds.
    pub(crate) fn ends(&self) -> impl Iterator<Item = u64> {
        self.holds.keys().copied()
    }

    /// Books the holds that have ended.
    pub(crate) fn fold(&mut self, rule: Rule, now: u64) {
        while let Some(first) = self.holds.first_entry()
            && *first.key() <= now
        {
            let (end, tokens) = first.remove_entry();
            if let Some(at) = rule.booked_at(end) {
                self.log.push(Booked { at, tokens });
            }
        }
    }

    /// Books tokens that pass now.
    pub(crate) fn take(&mut self, tokens: u64, now: u64) {
        if tokens > 0 {
            self.log.push(Booked { at: now, tokens });
            self.spend(tokens, now);
        }
    }

    /// Lets the tokens of a grant pass now: they are held, or were booked by a settlement.
    pub(crate) fn spend(&mut self, tokens: u64, now: u64) {
        if tokens > 0 {
            self.spent.push(Booked { at: now, tokens });
        }
    }

    /// Sets tokens aside.
    pub(crate) fn hold(&mut self, tokens: u64, end: u64) {
        if tokens > 0 {
            *self.holds.entry(end).or_default() += tokens;
        }
    }

    /// Gives tokens back; says how many came back.
    pub(crate) fn release(&mut self, tokens: u64, end: u64) -> u64 {
        let Some(sum) = self.holds.get_mut(&end) else { return 0 };
        let back = tokens.min(*sum);
        *sum -= back;
        if *sum == 0 {
            self.holds.remove(&end);
        }
        back
    }

    /// Books what a reservation took, which its holder spent before. What is over the tokens held
    /// is debt, the only way over a limit, and never spent as the audit sees it.
    pub(crate) fn settle(&mut self, actual: u64, now: u64) {
        if actual > 0 {
            self.log.push(Booked { at: now, tokens: actual });
        }
    }

    /// Forgets everything.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
