//! What conditions compare: attributes by their names, and the values that stand in the text.

use std::borrow::Cow;

use cel::common::ast::operators as op;
use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use super::super::Decimal;
use super::super::attribute::{Kind, attribute_path, canonical_text};
use super::super::decimal::MAX_DIGITS;
use super::super::read::Fault;
use super::Lowering;
use crate::attributes::canonical_name;
use crate::policy::compile::unmapped;
use crate::policy::problem::{code, shown};

/// A literal: its place and what it is.
pub(super) struct Literal<'e> {
    pub(super) at: usize,
    pub(super) value: Constant<'e>,
}

pub(super) enum Constant<'e> {
    Text(&'e str),
    Number(Decimal),
    Flag(bool),
}

/// An attribute, named where it stands.
pub(super) struct Named {
    pub(super) at: usize,
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
}

impl Lowering<'_> {
    /// The attribute that an expression names.
    pub(super) fn named(&mut self, expression: &IdedExpr) -> Option<Named> {
        let at = self.start(expression);
        // CEL lets a name begin with a point; no attribute's does.
        let path = attribute_path(expression).filter(|path| !path.starts_with('.'));
        let Some(path) = path else {
            if let Expr::Call(call) = &expression.expr
                && call.func_name != op::INDEX
            {
                self.unknown_call(expression, call);
                return None;
            }
            let message = format!("`{}` is not an attribute", self.written(expression));
            return self.fault(
                expression,
                message,
                "as tenant_id, claims.tier, headers[\"x-team\"]",
            );
        };
        let Ok(name) = canonical_name(&path).map(Cow::into_owned) else {
            let message = format!("`{}` is not an attribute", shown(&path));
            return self.fault(expression, message, "1 to 128 of A-Z a-z 0-9 _ . -");
        };
        if matches!(&*name, "headers" | "claims" | "descriptors") {
            let message = format!("`{name}` is a family of attributes");
            let help = format!("name one of them: {name}.NAME or {name}[\"name-with-dashes\"]");
            self.faults.push(Fault::new(at, message, &help));
            return None;
        }
        if let Some((message, help)) = unmapped(&name) {
            let code = code::UNMAPPED_ATTRIBUTE;
            self.faults.push(Fault { at, code, message, help, is_warning: true });
        }
        let kind = Kind::of(&name);
        Some(Named { at, name: name.into(), kind })
    }

    pub(super) fn literal<'e>(&mut self, expression: &'e IdedExpr) -> Option<Literal<'e>> {
        let at = self.start(expression);
        let value = match &expression.expr {
            Expr::Literal(LiteralValue::String(text)) => {
                if text.inner().is_empty() {
                    let message = "an empty text: no attribute is ever empty".to_owned();
                    return self.fault(expression, message, "for an absent one write !has(…)");
                }
                Constant::Text(text.inner())
            }
            Expr::Literal(LiteralValue::Boolean(flag)) => Constant::Flag(*flag.inner()),
            Expr::Literal(LiteralValue::Int(int)) => self.number(expression, *int.inner() < 0)?,
            Expr::Literal(LiteralValue::Double(double)) => {
                self.number(expression, double.inner().is_sign_negative())?
            }
            _ => {
                let message = format!("`{}` is not a value", self.written(expression));
                let help = "a \"text\", a number, true or false";
                return self.fault(expression, message, help);
            }
        };
        Some(Literal { at, value })
    }

    /// A number by its digits as they are written: a float would round them.
    fn number<'e>(&mut self, expression: &IdedExpr, negative: bool) -> Option<Constant<'e>> {
        let digits = self.written(expression);
        match Decimal::new(negative, &digits) {
            Some(decimal) => Some(Constant::Number(decimal)),
            None => {
                let message = format!("`{digits}` is not a plain number");
                let help =
                    format!("digits, and a point and digits: 70 or 0.5; at most {MAX_DIGITS}");
                self.fault(expression, message, &help)
            }
        }
    }

    /// Refuses a value that the attribute never has the type of.
    pub(super) fn expect(&mut self, named: &Named, at: usize, found: Kind) -> Option<()> {
        if named.kind == found || named.kind == Kind::Any {
            return Some(());
        }
        let help = match named.kind {
            Kind::Number => "write a number without quotes",
            Kind::Flag => "compare it with true or false",
            Kind::Text | Kind::Any => "write a text in quotes",
        };
        let name = &named.name;
        let message = format!("`{name}` is {}, and this is {}", named.kind.what(), found.what());
        self.faults.push(Fault::new(at, message, help));
        None
    }

    /// A text in the form that the attribute's values have.
    pub(super) fn canonical(&mut self, name: &str, at: usize, text: &str) -> Option<Box<str>> {
        match canonical_text(name, text, self.paths) {
            Ok(canonical) => Some(canonical),
            Err(help) => {
                let message = format!("`{name}` is never \"{}\"", shown(text));
                self.faults.push(Fault::new(at, message, &help));
                None
            }
        }
    }
}
