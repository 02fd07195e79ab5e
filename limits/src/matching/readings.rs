//! Whether all readings of a path count alike, where nobody knows which is the upstream's.

use super::{KeyValues, Request};
use crate::attributes::PathFault;
use crate::charge::MAX_CHARGES;
use crate::policy::condition::Condition;
use crate::policy::{Limit, Policy};
use crate::time::Tokens;

/// What one reading of a path comes to.
#[derive(PartialEq, Eq)]
struct Outcome<'r> {
    /// The limits that apply, with the counters and what they are charged.
    limits: Vec<(u32, KeyValues<'r>, Tokens)>,
    /// The path and the endpoint, where a condition of such a limit asks for them.
    asked: [Option<&'r str>; 2],
}

impl Policy {
    /// Whether it makes no difference how the path of a request is read.
    ///
    /// # Errors
    /// Where its path cannot be read, or another reading of it counts otherwise.
    pub(crate) fn one_reading(&self, request: &Request<'_>) -> Result<(), PathFault> {
        let readings = request.attributes.readings();
        match (request.attributes.path_fault(), readings) {
            (Some(fault), _) => return Err(fault),
            (None, []) => return Ok(()),
            _ => {}
        }
        let outcome = self.outcome(request);
        let differs = readings.iter().find(|reading| {
            let path = Some(&*reading.path);
            let endpoint = self.endpoint(request.method, path);
            self.outcome(&Request { path, endpoint, ..*request }) != outcome
        });
        differs.map_or(Ok(()), |reading| Err(reading.fault))
    }

    fn outcome<'r>(&'r self, request: &Request<'r>) -> Outcome<'r> {
        let mut asked = [None; 2];
        let count = |(at, limit, values): (u32, &'r Limit, KeyValues<'r>)| {
            for name in limit.condition.iter().flat_map(Condition::attributes) {
                match name {
                    "path" => asked[0] = request.path,
                    "endpoint" => asked[1] = request.value(name),
                    _ => {}
                }
            }
            (at, values, limit.cost_of(request).0)
        };
        // One more is refused for that.
        let limits = self.applying(request).map(count).take(MAX_CHARGES + 1).collect();
        Outcome { limits, asked }
    }
}
