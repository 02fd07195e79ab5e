//! Makes personal values unreadable where they are collected, before they reach any record or
//! span.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use siphasher::sip128::SipHasher24;
use sluicegate_limits::attributes::Attributes;
use sluicegate_limits::charge::derive;

use crate::settings::{Redaction, RedactionMode, Secret};

/// Attributes that name a person; all `claims.*` are personal too.
const PERSONAL: [&str; 3] = ["user_id", "ip_address", "on_behalf_of"];
/// Keeps this use of the secret apart from every other one.
const LABEL: &str = "sluicegate redaction v1";
/// The most characters of a value that are shown.
const MAX_CHARS: usize = 256;

/// Decides what may be shown of an attribute.
#[derive(Clone)]
pub struct Redactor {
    settings: Redaction,
    hasher: SipHasher24,
}

impl Redactor {
    /// A redactor whose hashes are keyed with the secret, so that nobody can try out values.
    #[must_use]
    pub fn new(settings: Redaction, secret: &Secret) -> Self {
        Self { settings, hasher: derive(LABEL, secret.expose()) }
    }

    /// What may be shown of a value of the named attribute.
    #[must_use]
    pub fn show<'v>(&self, name: &str, value: &'v str) -> Cow<'v, str> {
        if !self.is_personal(name) {
            return match value.char_indices().nth(MAX_CHARS) {
                None => Cow::Borrowed(value),
                Some((end, _)) => Cow::Owned(format!("{}…", value.get(..end).unwrap_or_default())),
            };
        }
        Cow::Owned(match self.settings.mode {
            RedactionMode::Hash => {
                format!("hash:{:032x}", self.hasher.hash(value.as_bytes()).as_u128())
            }
            RedactionMode::Truncate => truncated(value),
        })
    }

    /// The named attributes that the request has, as they may be shown.
    pub fn shown<'a>(
        &'a self,
        attributes: &'a Attributes,
        names: &'a [&'static str],
    ) -> impl Iterator<Item = (&'static str, String)> + 'a {
        names.iter().filter_map(|name| {
            attributes.get(name).map(|value| (*name, self.show(name, value).into_owned()))
        })
    }

    fn is_personal(&self, name: &str) -> bool {
        PERSONAL.contains(&name) || name.starts_with("claims.") || self.settings.also.contains(name)
    }
}

/// The network of an address, or the first quarter of anything else, at most four characters.
fn truncated(value: &str) -> String {
    let network = value.parse::<IpAddr>().ok().and_then(|address| {
        let bits = if address.is_ipv4() { 24 } else { 48 };
        IpNet::new(address, bits).ok().map(|network| network.trunc().to_string())
    });
    network.unwrap_or_else(|| {
        let kept = (value.chars().count() / 4).min(4);
        value.chars().take(kept).chain(['…']).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(mode: RedactionMode, key: u8) -> Redactor {
        let also = ["client_id".to_owned()].into();
        Redactor::new(Redaction { mode, also }, &Secret::new(&[key; 32]))
    }

    #[test]
    fn hashes_keep_equal_values_equal_under_one_secret_only() {
        let one = redactor(RedactionMode::Hash, 1);
        let shown = one.show("user_id", "ada").into_owned();
        assert!(shown.starts_with("hash:") && !shown.contains("ada"));
        assert_eq!(one.show("user_id", "ada"), shown);
        assert_ne!(one.show("user_id", "bob"), shown);
        assert_ne!(redactor(RedactionMode::Hash, 2).show("user_id", "ada"), shown);
        for name in ["ip_address", "on_behalf_of", "claims.email", "client_id"] {
            assert!(one.show(name, "ada").starts_with("hash:"), "{name}");
        }
        assert_eq!(one.show("tenant_id", "acme"), "acme");
    }

    #[test]
    fn truncation_keeps_networks_and_beginnings() {
        let cut = redactor(RedactionMode::Truncate, 1);
        let cases = [
            ("203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2::7", "2001:db8:1::/48"),
            ("ada", "…"),
            ("ada.lovelace@example.org", "ada.…"),
        ];
        for (value, shown) in cases {
            assert_eq!(cut.show("user_id", value), shown);
        }
    }

    #[test]
    fn long_values_are_cut() {
        let shown =
            redactor(RedactionMode::Hash, 1).show("tenant_id", &"é".repeat(300)).into_owned();
        assert_eq!(shown.chars().count(), MAX_CHARS + 1);
    }
}
