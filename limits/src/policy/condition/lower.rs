//! A parsed expression to a condition: what the language has, and of which type it is.

mod operand;

use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, Expr, IdedExpr, SourceInfo};

use super::attribute::{Kind, attribute_path};
use super::read::{Fault, token};
use super::{Condition, Is, Order, Test};
use crate::attributes::{Paths, path};
use crate::policy::problem::{nearest, shown};
use operand::{Constant, Literal, Named};

/// The functions that conditions have.
const FUNCTIONS: [&str; 3] = ["has", "startsWith", "endsWith"];

/// Goes through an expression and notes everything that is not of the language.
pub(super) struct Lowering<'a> {
    text: &'a str,
    paths: &'a Paths,
    places: &'a SourceInfo,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(
        text: &'a str,
        paths: &'a Paths,
        places: &'a SourceInfo,
        faults: &'a mut Vec<Fault>,
    ) -> Self {
        Self { text, paths, places, faults }
    }

    /// The condition; `None` where a fault was noted.
    pub(super) fn lower(mut self, expression: &IdedExpr) -> Option<Condition> {
        let condition = self.condition(expression, false);
        self.faults.iter().all(|fault| fault.is_warning).then_some(condition).flatten()
    }

    /// Negations sink to the tests, by De Morgan's rules.
    fn condition(&mut self, expression: &IdedExpr, negated: bool) -> Option<Condition> {
        let Expr::Call(call) = &expression.expr else {
            return self.bare(expression, negated);
        };
        match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
            (op::LOGICAL_AND, None, parts) => self.join(parts, negated, !negated),
            (op::LOGICAL_OR, None, parts) => self.join(parts, negated, negated),
            (op::LOGICAL_NOT, None, [part]) => self.condition(part, !negated),
            (op::IN, None, [attribute, list]) => self.among(attribute, list, negated),
            (op::INDEX, None, _) => self.bare(expression, negated),
            (op::HAS, None, [attribute]) => {
                let named = self.named(attribute)?;
                Some(test(named, Is::There(!negated)))
            }
            (function @ ("startsWith" | "endsWith"), Some(attribute), [literal]) => {
                self.affix(attribute, literal, function == "startsWith", negated)
            }
            (function, None, [left, right]) => match order(function) {
                Some(order) => self.compare(order, left, right, negated),
                None => self.unknown_call(expression, call),
            },
            _ => self.unknown_call(expression, call),
        }
    }

    fn join(&mut self, parts: &[IdedExpr], negated: bool, all: bool) -> Option<Condition> {
        let parts: Vec<_> = parts.iter().map(|part| self.condition(part, negated)).collect();
        let mut flat = Vec::new();
        for part in parts {
            match (part?, all) {
                (Condition::All(inner), true) | (Condition::Any(inner), false) => {
                    flat.extend(inner);
                }
                (other, _) => flat.push(other),
            }
        }
        let flat = flat.into();
        Some(if all { Condition::All(flat) } else { Condition::Any(flat) })
    }

    /// An attribute that stands alone is one that is `true` or `false`.
    fn bare(&mut self, expression: &IdedExpr, negated: bool) -> Option<Condition> {
        if let Expr::Literal(_) = expression.expr {
            let message = "a value is not a condition".to_owned();
            return self.fault(
                expression,
                message,
                "compare an attribute with it: plan == \"free\"",
            );
        }
        let named = self.named(expression)?;
        match named.kind {
            Kind::Flag | Kind::Any => Some(test(named, Is::Flag(!negated))),
            Kind::Text | Kind::Number => {
                let message = format!("`{}` is not true or false", named.name);
                let help = format!("compare it, or write has({})", named.name);
                self.faults.push(Fault::new(named.at, message, &help));
                None
            }
        }
    }

    fn compare(
        &mut self,
        order: Order,
        left: &IdedExpr,
        right: &IdedExpr,
        negated: bool,
    ) -> Option<Condition> {
        let (attribute, literal, order) = match (is_literal(left), is_literal(right)) {
            (false, true) => (left, right, order),
            (true, false) => (right, left, order.flipped()),
            (false, false) if self.is_attribute(right) && self.is_attribute(left) => {
                let message = "two attributes cannot be compared".to_owned();
                return self.fault(right, message, "compare an attribute with a text or a number");
            }
            (false, false) => {
                let wrong = if self.is_attribute(left) { right } else { left };
                if let Expr::Call(call) = &wrong.expr {
                    return self.unknown_call(wrong, call);
                }
                let message = format!("`{}` cannot stand here", self.written(wrong));
                return self.fault(wrong, message, "compare one attribute with one value");
            }
            (true, true) => {
                let message = "two values are compared".to_owned();
                return self.fault(left, message, "one side has to be an attribute");
            }
        };
        let named = self.named(attribute)?;
        let literal = self.literal(literal)?;
        let order = if negated { order.negated() } else { order };
        let equality = matches!(order, Order::Equal | Order::Unequal);
        let is = match literal.value {
            Constant::Number(than) => {
                self.expect(&named, literal.at, Kind::Number)?;
                Is::Number { order, than }
            }
            _ if !equality => {
                let message = format!("`{}` compares numbers", order_word(order, negated));
                let help = "write a number without quotes, or compare with == or !=";
                self.faults.push(Fault::new(literal.at, message, help));
                return None;
            }
            Constant::Flag(flag) => {
                self.expect(&named, literal.at, Kind::Flag)?;
                Is::Flag(flag == (order == Order::Equal))
            }
            Constant::Text(text) => {
                self.expect(&named, literal.at, Kind::Text)?;
                let text = self.canonical(&named.name, literal.at, text)?;
                Is::Text { among: [text].into(), negated: order == Order::Unequal }
            }
        };
        Some(test(named, is))
    }

    fn among(&mut self, attribute: &IdedExpr, list: &IdedExpr, negated: bool) -> Option<Condition> {
        let named = self.named(attribute);
        let Expr::List(items) = &list.expr else {
            let help = "write the values in brackets: plan in [\"free\", \"trial\"]";
            return self.fault(list, "`in` needs a list of values".to_owned(), help);
        };
        if items.elements.is_empty() {
            let message = "an empty list: nothing is in it".to_owned();
            return self.fault(list, message, "name at least one value");
        }
        let literals: Vec<_> = items.elements.iter().map(|item| self.literal(item)).collect();
        let named = named?;
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        for literal in literals {
            let Literal { at, value } = literal?;
            match value {
                Constant::Text(text) => {
                    self.expect(&named, at, Kind::Text)?;
                    texts.push(self.canonical(&named.name, at, text)?);
                }
                Constant::Number(number) => {
                    self.expect(&named, at, Kind::Number)?;
                    numbers.push(number);
                }
                Constant::Flag(_) => {
                    let message = "true and false cannot stand in a list".to_owned();
                    self.faults.push(Fault::new(at, message, "compare with ==, or use has(…)"));
                    return None;
                }
            }
        }
        if !texts.is_empty() && !numbers.is_empty() {
            let message = "texts and numbers in one list".to_owned();
            return self.fault(list, message, "an attribute is compared as one or the other");
        }
        texts.sort_unstable();
        texts.dedup();
        numbers.sort_by(|a, b| a.parts().cmp(&b.parts()));
        numbers.dedup();
        let is = match (texts.is_empty(), numbers.as_slice()) {
            (false, _) => Is::Text { among: texts.into(), negated },
            (true, [than]) => {
                let order = if negated { Order::Unequal } else { Order::Equal };
                Is::Number { order, than: than.clone() }
            }
            (true, _) => Is::Numbers { among: numbers.into(), negated },
        };
        Some(test(named, is))
    }

    fn affix(
        &mut self,
        attribute: &IdedExpr,
        literal: &IdedExpr,
        prefix: bool,
        negated: bool,
    ) -> Option<Condition> {
        let named = self.named(attribute);
        let literal = self.literal(literal);
        let (named, literal) = (named?, literal?);
        let Constant::Text(text) = literal.value else {
            let message = "startsWith and endsWith take a text".to_owned();
            self.faults.push(Fault::new(literal.at, message, "write it in quotes"));
            return None;
        };
        self.expect(&named, literal.at, Kind::Text)?;
        let mut text = text.to_owned();
        match &*named.name {
            "host" => text.make_ascii_lowercase(),
            "path" => text = path::affix(&text, self.paths),
            _ => {}
        }
        let wrong = match &*named.name {
            "path" if prefix && !text.starts_with('/') => Some("a path begins with `/`"),
            "country" | "method" if text.bytes().any(|b| b.is_ascii_lowercase()) => {
                Some("it is in upper case")
            }
            _ => None,
        };
        if let Some(help) = wrong {
            let message = format!("`{}` is never so: \"{}\"", named.name, shown(&text));
            self.faults.push(Fault::new(literal.at, message, help));
            return None;
        }
        let text = text.into();
        let is = if prefix { Is::Prefix { text, negated } } else { Is::Suffix { text, negated } };
        Some(test(named, is))
    }

    fn unknown_call(&mut self, expression: &IdedExpr, call: &CallExpr) -> Option<Condition> {
        let name = call.func_name.as_str();
        let own = self.places.offset_for(expression.id).map_or(0, |(at, _)| at as usize);
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') || name.starts_with('_') {
            let word = shown(token(self.text, own));
            let ours = order(name).is_some()
                || matches!(name, op::IN | op::LOGICAL_NOT | op::LOGICAL_AND | op::LOGICAL_OR);
            let (message, help) = if ours {
                (format!("`{word}` cannot stand here"), "compare one attribute with one value")
            } else {
                let help = "it has == != < <= > >= in && || ! has startsWith endsWith";
                (format!("`{word}` is not part of the language"), help)
            };
            self.faults.push(Fault::new(own, message, help));
            return None;
        }
        // The place of a call is its bracket: its name ends just before.
        let at = self.text.get(..own).and_then(|before| before.rfind(name)).unwrap_or(own);
        let (message, help) = if FUNCTIONS.contains(&name) {
            let help = "has(user_id), path.startsWith(\"/v1/\"), host.endsWith(\".example\")";
            (format!("`{name}` is used in another way"), help.to_owned())
        } else {
            let help = match nearest(name, FUNCTIONS.into_iter()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "there are has, startsWith and endsWith".to_owned(),
            };
            (format!("there is no function `{}`", shown(name)), help)
        };
        self.faults.push(Fault::new(at, message, &help));
        None
    }

    fn is_attribute(&self, expression: &IdedExpr) -> bool {
        attribute_path(expression).is_some()
    }

    fn fault<T>(&mut self, expression: &IdedExpr, message: String, help: &str) -> Option<T> {
        let at = self.start(expression);
        self.faults.push(Fault::new(at, message, help));
        None
    }

    /// Where an expression begins; the parser's own place of most is their operator.
    fn start(&self, expression: &IdedExpr) -> usize {
        let own = self.places.offset_for(expression.id).map_or(0, |(start, _)| start as usize);
        let first = match &expression.expr {
            Expr::Select(select) => Some(&*select.operand),
            Expr::Call(call) => call.target.as_deref().or(match call.func_name.as_str() {
                op::LOGICAL_NOT | op::NEGATE => None,
                name if name.starts_with(['_', '@']) => call.args.first(),
                _ => None,
            }),
            _ => None,
        };
        first.map_or(own, |first| self.start(first).min(own))
    }

    /// The text of a literal or name, else its first word.
    fn written(&self, expression: &IdedExpr) -> String {
        let place = match expression.expr {
            Expr::Literal(_) => self.places.offset_for(expression.id),
            _ => None,
        };
        let text = match place {
            Some((start, stop)) => self.text.get(start as usize..=stop as usize),
            None => Some(token(self.text, self.start(expression))),
        };
        shown(text.unwrap_or_default())
    }
}

impl Order {
    /// The order of the same two numbers, told from the other side.
    fn flipped(self) -> Self {
        match self {
            Self::Below => Self::Above,
            Self::AtMost => Self::AtLeast,
            Self::Above => Self::Below,
            Self::AtLeast => Self::AtMost,
            same => same,
        }
    }

    fn negated(self) -> Self {
        match self {
            Self::Equal => Self::Unequal,
            Self::Unequal => Self::Equal,
            Self::Below => Self::AtLeast,
            Self::AtMost => Self::Above,
            Self::Above => Self::AtMost,
            Self::AtLeast => Self::Below,
        }
    }
}

fn test(named: Named, is: Is) -> Condition {
    Condition::Test(Test { attribute: named.name, is })
}

fn order(function: &str) -> Option<Order> {
    Some(match function {
        op::EQUALS => Order::Equal,
        op::NOT_EQUALS => Order::Unequal,
        op::LESS => Order::Below,
        op::LESS_EQUALS => Order::AtMost,
        op::GREATER => Order::Above,
        op::GREATER_EQUALS => Order::AtLeast,
        _ => return None,
    })
}

/// The operator as it was written, before a negation turned it round.
fn order_word(order: Order, negated: bool) -> &'static str {
    if negated { order.negated().as_str() } else { order.as_str() }
}

fn is_literal(expression: &IdedExpr) -> bool {
    matches!(expression.expr, Expr::Literal(_))
}
