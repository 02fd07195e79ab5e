//! What a condition may say of an attribute: how it is named, of which type its values are, and
//! in which form.

use cel::common::ast::operators as op;
use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use crate::attributes::{Paths, is_method, path, push_canonical};
use crate::policy::KNOWN_ATTRIBUTES;
use crate::policy::pattern::Pattern;
use crate::policy::problem::shown;

/// What the values of an attribute are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
    /// Whatever a header or claim holds.
    Any,
}

impl Kind {
    /// What the values of a named attribute are.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "authenticated" => Self::Flag,
            "cost" | "request_size" => Self::Number,
            _ if KNOWN_ATTRIBUTES.contains(&name) => Self::Text,
            _ => Self::Any,
        }
    }

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Flag => "true or false",
            Self::Any => "any value",
        }
    }
}

/// `a`, `a.b`, `a["b"]`; `None` for every other expression.
pub(super) fn attribute_path(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", attribute_path(&select.operand)?, select.field))
        }
        Expr::Call(call) if call.func_name == op::INDEX => match call.args.as_slice() {
            [family, name] => match &name.expr {
                Expr::Literal(LiteralValue::String(name)) => {
                    Some(format!("{}.{}", attribute_path(family)?, name.inner()))
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// A text in the form that an attribute's values have behind an upstream that reads paths so, or
/// what to write instead.
pub(super) fn canonical_text(name: &str, text: &str, paths: &Paths) -> Result<Box<str>, String> {
    let upper = || Err(format!("did you mean \"{}\"?", shown(&text.to_ascii_uppercase())));
    match name {
        "country" if text.bytes().any(|b| b.is_ascii_lowercase()) => return upper(),
        "method" if !is_method(text) && is_method(&text.to_ascii_uppercase()) => return upper(),
        "path" if !text.starts_with('/') => return Err("a path begins with `/`".to_owned()),
        "path" => {
            let literal = path::literal(text, paths).map(Into::into);
            return literal.map_err(|fault| fault.to_string());
        }
        "endpoint" => {
            return match Pattern::parse_for(text, paths) {
                Ok(pattern) => Ok(pattern.to_string().into()),
                Err(invalid) => {
                    Err(format!("an entry of `endpoint_costs`: {}", shown(&invalid.to_string())))
                }
            };
        }
        _ => {}
    }
    let mut canonical = String::with_capacity(text.len());
    push_canonical(name, text, &mut canonical)
        .map_err(|expected| format!("expected {expected}"))?;
    Ok(canonical.into())
}
