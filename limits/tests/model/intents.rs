//! Whole requests: what charges ask for each intent, and what is held, settled, released and
//! expires, against a list of every token, under the old and the new name of each limit.

use fastrand::Rng;
use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::charge::{Charge, Charges, Intent, KeySecret, ask_all, merge_all};
use sluicegate_limits::counter::{Op, Terms, Wait};
use sluicegate_limits::decide::{Ask, Check, Key, Plain, SETTLE_GRACE, decide};
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::{numbers, seeds, world};

const OPERATIONS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000;
/// In 2026, an hour before the clocks of Europe go back.
const START: u64 = 1_792_886_400 * SECOND;

/// Tokens of one limit that count for one tenant.
#[derive(Clone, Copy, Debug)]
struct Counted {
    tokens: u64,
    /// When they pass, or until when they are held.
    at: u64,
    held: bool,
}

/// What one reservation has set aside of each limit, by the place of the limit.
struct Reserved {
    id: Key,
    tenant: usize,
    held: Vec<(usize, u64, u64)>,
}

struct World {
    /// Before and after all limits were renamed.
    policies: [Policy; 2],
    secret: KeySecret,
    store: Plain,
    now: u64,
    /// By tenant and limit.
    counted: [Vec<Vec<Counted>>; 2],
    reserved: Vec<Reserved>,
}

impl World {
    fn random(rng: &mut Rng) -> Self {
        let policies = policies(rng);
        let counted = [(); 2].map(|()| vec![Vec::new(); policies[0].limits().len()]);
        let (secret, store) = (KeySecret::new(&[3; 32]).unwrap(), Plain::default());
        Self { policies, secret, store, now: START, counted, reserved: Vec::new() }
    }

    fn charges(&self, rng: &mut Rng, tenant: usize, cost: Option<u64>) -> Charges<'_> {
        let name = ["acme", "bolt"][tenant];
        let mut facts = AttributesBuilder::new();
        facts.set("tenant_id", name).unwrap();
        facts.set("client_id", name).unwrap();
        let (cost, now) = (cost.map(Tokens::new), Timestamp::new(self.now));
        self.policies[rng.usize(..2)].charges(&facts.finish(), cost, &self.secret, now).unwrap()
    }

    fn request(&mut self, rng: &mut Rng) {
        let (tenant, now) = (rng.usize(..2), self.now);
        let cost = if rng.bool() { Some(rng.u64(..6)) } else { None };
        let lasting = Micros::new(rng.u64(..20 * SECOND));
        let intent = match rng.u8(..6) {
            0 => Intent::Look,
            1 => Intent::Check,
            2 | 3 => Intent::Hold { lasting },
            _ => Intent::Reserve { lasting },
        };
        let charges = self.charges(rng, tenant, cost);
        let check = ask_all(&charges, intent);
        let fits: Vec<bool> = charges.iter().enumerate().map(|c| self.fits(tenant, c)).collect();
        let kept: Vec<(u64, Terms)> = charges.iter().map(|c| (c.tokens.get(), c.terms)).collect();
        let outcome = decide(&mut self.store.clone(), &check, Timestamp::new(now)).unwrap();
        let merged = merge_all(&charges, outcome.replies.clone());
        assert_eq!(
            merged.iter().map(|reply| reply.allowed).collect::<Vec<_>>(),
            fits,
            "{intent:?}"
        );
        assert_eq!(outcome.allowed, fits.iter().all(|fits| *fits));
        decide(&mut self.store, &check, Timestamp::new(now)).unwrap();
        if !outcome.allowed || intent == Intent::Look {
            return;
        }
        let mut held = Vec::new();
        for (place, ((tokens, terms), reply)) in kept.into_iter().zip(merged).enumerate() {
            let holds = reply.end > Timestamp::ZERO;
            let must_hold = match intent {
                Intent::Reserve { .. } => true,
                _ => matches!(terms, Terms::Concurrency { .. }),
            };
            assert_eq!(holds, must_hold && tokens > 0);
            let at = if holds { reply.end.get() } else { now };
            self.counted[tenant][place].push(Counted { tokens, at, held: holds });
            held.extend(holds.then_some((place, tokens, at)));
        }
        let id = Key { partition: 3, ..world::key(rng.usize(..1 << 30)) };
        if !held.is_empty() && intent != Intent::Check {
            self.reserved.push(Reserved { id, tenant, held });
        }
    }

    /// Whether this many tokens more count for no more than the limit.
    fn fits(&self, tenant: usize, (place, charge): (usize, &Charge<'_>)) -> bool {
        let all = self.counted[tenant][place].iter();
        let counts = |c: &&Counted| match charge.terms {
            _ if c.held && c.at > self.now => true,
            Terms::Concurrency { .. } => false,
            // A hold that ends at the edge vanishes with its window.
            Terms::AlignedWindow { edges: [start, ..], .. } => {
                c.at > start.get() || !c.held && c.at == start.get()
            }
            Terms::SlidingWindow { window, .. } => c.at + window.get() > self.now,
            _ => panic!("no such limit here"),
        };
        let used: u64 = all.filter(counts).map(|c| c.tokens).sum();
        used + charge.tokens.get() <= charge.numbers.capacity().get()
    }

    /// Says what a reservation did cost, in time, late or too late; 0 releases it.
    fn settle(&mut self, rng: &mut Rng) {
        let one = rng.usize(..self.reserved.len());
        let Reserved { id, tenant, held } = self.reserved.swap_remove(one);
        let (now, actual) = (self.now, rng.u64(..8));
        let charges = self.charges(rng, tenant, None);
        let mut asks: Vec<Ask> = Vec::new();
        for (place, tokens, end) in &held {
            let charge = &charges[*place];
            let whole = if actual > 0 { *tokens } else { 0 };
            let books = if charge.cost_is_stated { actual } else { whole };
            let op = Op::Settle { end: Timestamp::new(*end), held: Tokens::new(*tokens) };
            asks.push(Ask { tokens: Tokens::new(books), ..charge.ask(op) });
        }
        let last = held.iter().map(|(_, _, end)| *end).max();
        let over = last.is_some_and(|end| end + SETTLE_GRACE.get() <= now);
        let check = Check { asks, once: Some(id.into()) };
        let outcome = decide(&mut self.store, &check, Timestamp::new(now)).unwrap();
        assert_eq!(outcome.allowed, !over);
        if over {
            assert!(outcome.replies.iter().all(|reply| reply.wait == Wait::Never));
            return;
        }
        for ((place, tokens, end), ask) in held.into_iter().zip(&check.asks) {
            let all = &mut self.counted[tenant][place];
            let mut books = ask.tokens.get();
            if end > now {
                let same = |c: &Counted| c.held && c.at == end && c.tokens == tokens;
                let its = all.iter().position(same).unwrap();
                all.swap_remove(its);
            } else {
                books = books.saturating_sub(tokens);
            }
            all.push(Counted { tokens: books, at: now, held: false });
        }
    }

    /// The next instant: soon, or just beside an end, an edge or a grace.
    fn pass_time(&mut self, rng: &mut Rng) {
        let ends = self.reserved.iter().flat_map(|one| &one.held);
        let end = ends.map(|(_, _, end)| *end).nth(rng.usize(..4)).unwrap_or(0);
        let hour = (self.now / (3_600 * SECOND) + 1) * 3_600 * SECOND;
        let later = match rng.u8(..24) {
            0..=2 => end + rng.u64(..3) - 1.min(end),
            3 => hour - 1 + rng.u64(..3),
            4 => end + SETTLE_GRACE.get() - rng.u64(..2),
            5 => self.now + rng.u64(..4_000 * SECOND),
            _ => self.now + numbers::gap(rng, 10 * SECOND) / 16,
        };
        self.now = self.now.max(later);
    }
}

/// Concurrency, a window and a quota of one tenant; the second policy has renamed them all.
fn policies(rng: &mut Rng) -> [Policy; 2] {
    let (most, hold) = (rng.u64(1..12), rng.u64(1..30));
    let (limit, window) = (rng.u64(1..40), rng.u64(1..20));
    let (quota, own) = (rng.u64(1..64), rng.u64(1..4));
    let period = numbers::pick(rng, &["hour", "day", "month"]);
    let zone = numbers::pick(rng, &["Europe/Madrid", "UTC", "Asia/Kathmandu", "Pacific/Apia"]);
    let rules = [
        format!("algorithm: concurrency, limit: {most}, hold: {hold}s"),
        format!("limit: {limit}, window: {window}s, hold: 40s, cost: {own}"),
        format!("algorithm: calendar, limit: {quota}, period: {period}, timezone: {zone}"),
    ];
    let old = |(n, rule): (usize, &String)| format!("\n  a{n}: {{ key: tenant_id, {rule} }}");
    let new = |(n, rule): (usize, &String)| {
        let was = format!("{{ name: a{n}, key: [tenant_id] }}");
        format!("\n  b{n}: {{ key: client_id, was: {was}, {rule} }}")
    };
    let texts: [String; 2] =
        [rules.iter().enumerate().map(old).collect(), rules.iter().enumerate().map(new).collect()];
    texts.map(|limits| {
        let text = format!("rate_limits:{limits}\n");
        let file = SourceFile { name: "limits.yaml".to_owned(), text };
        Policy::compile(&[file]).unwrap_or_else(|problems| panic!("{problems:#?}")).policy
    })
}

#[test]
fn requests_hold_settle_and_expire_as_a_list_of_tokens_says() {
    seeds::run("intents", OPERATIONS, |rng| {
        let mut world = World::random(rng);
        let steps = rng.u64(50..=300);
        for _ in 0..steps {
            world.pass_time(rng);
            if world.reserved.is_empty() || rng.u8(..3) > 0 {
                world.request(rng);
            } else {
                world.settle(rng);
            }
        }
        steps
    });
}
