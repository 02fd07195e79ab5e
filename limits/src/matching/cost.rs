//! What a request costs a limit, and who says so.

use super::Request;
use crate::policy::units::{self, ABOVE_MAX_COST};
use crate::policy::{CostRule, Limit};
use crate::time::Tokens;

/// Where a cost came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CostFrom<'p> {
    /// The number in the limit.
    Limit,
    /// An attribute of the request.
    Attribute(&'p str),
    /// The request has no such attribute, so it is what the limit says for that.
    Missing(&'p str),
    /// The attribute is there and no number: nobody knows the cost, and the request cannot pass.
    NotANumber(&'p str),
    /// The request states it.
    Stated,
    /// This entry of `endpoint_costs`.
    Endpoint(&'p str),
    /// Nothing says otherwise.
    Default,
}

impl Limit {
    /// What the request costs this limit, and why; [`ABOVE_MAX_COST`] where nobody knows.
    pub(crate) fn cost_of<'r>(&'r self, request: &Request<'r>) -> (Tokens, CostFrom<'r>) {
        match &self.cost {
            CostRule::Number(tokens) => (*tokens, CostFrom::Limit),
            CostRule::Attribute { of, missing } => match request.fact(of) {
                Some(text) => read(&text, of, CostFrom::Attribute(of)),
                None => (*missing, CostFrom::Missing(of)),
            },
            CostRule::Endpoint => request.endpoint_cost(),
        }
    }
}

impl<'r> Request<'r> {
    fn endpoint_cost(&self) -> (Tokens, CostFrom<'r>) {
        if let Some(stated) = self.stated {
            return (units::tokens(stated.get()), CostFrom::Stated);
        }
        if let Some(text) = self.attributes.get("cost") {
            return read(text, "cost", CostFrom::Stated);
        }
        match self.endpoint {
            Some(entry) => (entry.cost, CostFrom::Endpoint(&entry.text)),
            None => (Tokens::ONE, CostFrom::Default),
        }
    }
}

/// The number in an attribute.
fn read<'r>(text: &str, name: &'r str, from: CostFrom<'r>) -> (Tokens, CostFrom<'r>) {
    match units::cost(text) {
        Some(tokens) => (tokens, from),
        None => (ABOVE_MAX_COST, CostFrom::NotANumber(name)),
    }
}
