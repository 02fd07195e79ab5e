//! Calls about reservations and holds, with tokens that are good, spoilt or no tokens at all.

use prost::Message;
use sluicegate_proto::v1;

use super::Generator;

impl Generator {
    /// A native call about something held: its method, and its message.
    pub(crate) fn native_held(&mut self) -> (&'static str, Vec<u8>) {
        let (method, bytes) = match self.0.u8(0..5) {
            0 => {
                let attributes = (0..self.0.usize(0..6)).map(|_| self.attribute()).collect();
                let estimate = self.one_in(2).then(|| self.number());
                let message = v1::ReserveRequest { attributes, estimate, lasting: self.lasting() };
                ("Reserve", message.encode_to_vec())
            }
            1 => {
                let attributes = (0..self.0.usize(0..6)).map(|_| self.attribute()).collect();
                let cost = self.one_in(2).then(|| self.number());
                let message = v1::HoldRequest { attributes, cost, lasting: self.lasting() };
                ("Hold", message.encode_to_vec())
            }
            2 => {
                let (reservation, actual) = (self.token(), self.number());
                ("Settle", v1::SettleRequest { reservation, actual }.encode_to_vec())
            }
            3 => {
                let (held, lasting) = (self.token(), self.lasting());
                ("Extend", v1::ExtendRequest { held, lasting }.encode_to_vec())
            }
            _ => ("Release", v1::ReleaseRequest { hold: self.token() }.encode_to_vec()),
        };
        (method, self.spoil(bytes).0)
    }

    /// A call in JSON about something held: its path, and its body.
    pub(crate) fn json_held(&mut self) -> (&'static str, Vec<u8>) {
        let (token, number) = (self.token(), self.number());
        let lasting = self.lasting().map_or(number, |lasting| lasting.seconds.unsigned_abs());
        let value = match self.0.u8(0..8) {
            0 => serde_json::json!({"hold": token}),
            1 => serde_json::json!({"held": token}),
            2 => serde_json::json!({"held": token, "lasting_ms": lasting.saturating_mul(1_000)}),
            3 | 4 => serde_json::json!({"reservation": token, "actual": number}),
            5 => serde_json::json!({"attributes": self.map(), "estimate": number}),
            6 => serde_json::json!({"attributes": self.map(), "lasting_ms": number}),
            _ => serde_json::json!({"attributes": {"tenant_id": "acme"}, "lasting_ms": 1_000}),
        };
        let paths = ["/v1/reserve", "/v1/hold", "/v1/settle", "/v1/extend", "/v1/release"];
        let bytes = self.spoil(value.to_string().into_bytes()).0;
        (self.0.choice(paths).unwrap(), bytes)
    }

    fn lasting(&mut self) -> Option<prost_types::Duration> {
        match self.0.u8(0..4) {
            0 => None,
            1 => Some(prost_types::Duration { seconds: self.0.i64(..), nanos: self.0.i32(..) }),
            _ => Some(prost_types::Duration { seconds: self.0.i64(1..4_000), nanos: 0 }),
        }
    }

    /// A token of the server, one that was spoilt, or some text.
    fn token(&mut self) -> String {
        let Some(token) = self.0.choice(&self.1).cloned() else { return self.text() };
        match self.0.u8(0..4) {
            0 => self.text(),
            1 => {
                let mut bytes = token.into_bytes();
                self.mutate(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            }
            _ => token,
        }
    }
}
