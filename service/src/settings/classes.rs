//! `traffic_classes`: what a request's traffic class decides where nothing closer does.

use sluicegate_limits::attributes::TRAFFIC_CLASSES;
use sluicegate_limits::policy::OnStoreFailure;

use super::reader::Section;

/// Where a request comes from; the word is its attribute `traffic_class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficClass {
    /// From the public, through the edge.
    NorthSouth,
    /// From one service of ours to another.
    EastWest,
    /// From our operators.
    Admin,
    /// From another company, under a contract.
    Partner,
}

/// How much of a decision its caller learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reveal {
    /// Whether the request passes, the word for why not, and when to try again.
    Verdict,
    /// Besides, the enforcing limits that apply to the request, and their numbers.
    Applied,
    /// Everything: shadow limits too, and in a Peek each limit of the policy and why it applies.
    All,
}

/// What one class decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassRules {
    /// The failure rule of limits that have none of their own.
    pub on_store_failure: OnStoreFailure,
    /// How much of a decision its callers learn.
    pub reveal: Reveal,
}

/// The rules of each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficClasses([ClassRules; 4]);

impl TrafficClass {
    /// Every class with its word, in the order of the enum.
    pub const WORDS: [(&'static str, Self); 4] = {
        let [public, inside, admin, partner] = TRAFFIC_CLASSES;
        [
            (public, Self::NorthSouth),
            (inside, Self::EastWest),
            (admin, Self::Admin),
            (partner, Self::Partner),
        ]
    };

    /// The word of the attribute `traffic_class`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        let [public, inside, admin, partner] = TRAFFIC_CLASSES;
        match self {
            Self::NorthSouth => public,
            Self::EastWest => inside,
            Self::Admin => admin,
            Self::Partner => partner,
        }
    }

    /// The class with this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(known, _)| *known == word).map(|(_, class)| class)
    }

    /// Callers from outside learn nothing of limits that are not theirs.
    const fn default_reveal(self) -> Reveal {
        match self {
            Self::NorthSouth | Self::Partner => Reveal::Applied,
            Self::EastWest | Self::Admin => Reveal::All,
        }
    }
}

impl Reveal {
    const WORDS: [(&'static str, Self); 3] =
        [("all", Self::All), ("applied", Self::Applied), ("verdict", Self::Verdict)];

    fn as_str(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, known)| *known == self).map_or("all", |(word, _)| word)
    }
}

impl TrafficClasses {
    /// The rules for a request, by its attribute `traffic_class`; one without a class is counted
    /// locally while the store is away, and its caller learns everything.
    #[must_use]
    pub fn rules(&self, class: Option<TrafficClass>) -> ClassRules {
        let none = ClassRules { on_store_failure: OnStoreFailure::Local, reveal: Reveal::All };
        class.and_then(|class| self.0.get(class as usize).copied()).unwrap_or(none)
    }
}

impl Default for TrafficClasses {
    fn default() -> Self {
        Self(TrafficClass::WORDS.map(|(_, class)| ClassRules {
            on_store_failure: OnStoreFailure::default(),
            reveal: class.default_reveal(),
        }))
    }
}

/// Reads the whole section; nothing only after a problem was noted.
pub(super) fn read(root: &mut Section<'_>) -> Option<TrafficClasses> {
    let mut section = root.section("traffic_classes");
    let rules = TrafficClass::WORDS.map(|(word, class)| {
        let mut one = section.section(word);
        let rule = OnStoreFailure::default().as_str();
        let on_store_failure = one.choice("on_store_failure", rule, &OnStoreFailure::WORDS);
        let reveal = one.choice("reveal", class.default_reveal().as_str(), &Reveal::WORDS);
        one.finish();
        Some(ClassRules { on_store_failure: on_store_failure?, reveal: reveal? })
    });
    section.finish();
    let [a, b, c, d] = rules;
    Some(TrafficClasses([a?, b?, c?, d?]))
}
