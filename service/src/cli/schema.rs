//! `sluicegate schema`: the JSON Schema of limits files and of their tests, for editors.
//!
//! Draft-07, which the YAML language server reads. It comes from the tables that the files are
//! read by, so it knows what they know: which keys there are, and which an algorithm needs.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use sluicegate_limits::cases::CASE_FILE_KEYS;
use sluicegate_limits::policy::Algorithm;
use sluicegate_limits::policy::keys::{FILE_KEYS, Form, Key};

use super::Exit;
use crate::output::print_json;

/// The names of limits and attributes.
const NAME: &str = "^[A-Za-z0-9_.-]{1,128}$";

#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Of which files
    #[arg(value_enum, default_value_t)]
    of: Of,
}

/// The kinds of files that have a schema.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Of {
    /// Limits files
    #[default]
    Limits,
    /// Tests of limits
    Cases,
}

pub(super) fn run(schema: &Schema) -> Exit {
    let (title, keys) = match schema.of {
        Of::Limits => ("Sluicegate limits", FILE_KEYS),
        Of::Cases => ("Tests of Sluicegate limits", CASE_FILE_KEYS),
    };
    print_json(&document(title, keys));
    Exit::Yes
}

fn document(title: &str, keys: &[Key]) -> Value {
    let mut schema = map(keys);
    if let Value::Object(object) = &mut schema {
        object.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
        object.insert("title".into(), title.into());
    }
    schema
}

fn form(form: &Form) -> Value {
    let matching = |pattern: &str| json!({"type": "string", "pattern": pattern});
    match form {
        // With `_` between its digits a number is a text to other readers of YAML.
        Form::Number { least, most } => json!({"anyOf": [
            {"type": "integer", "minimum": least, "maximum": most},
            {"type": "string", "pattern": "^[0-9]+(_[0-9]+)+$"},
        ]}),
        Form::Time { .. } => matching("^(0|[1-9][0-9]*(_[0-9]+)*)(ms|s|m|h|d)$"),
        // Unquoted, a text may look like something else.
        Form::Text(most) => json!({"type": ["string", "number", "boolean"], "maxLength": most}),
        Form::Word(words) => json!({"enum": words}),
        Form::LimitName | Form::Attribute => matching(NAME),
        Form::Zone => json!({"type": "string"}),
        Form::Reason => matching("^[a-z0-9_]{1,64}$"),
        Form::Pattern => matching("^[^a-z ]+ +/"),
        Form::Day => matching("^[0-9]{2}-[0-9]{2}$"),
        Form::Percent => matching("^([1-9][0-9]?|100)%$"),
        Form::Instant => matching("^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]"),
        Form::Scalar => json!({"type": ["string", "number", "boolean", "null"]}),
        Form::List(of) => json!({"type": "array", "items": self::form(of)}),
        Form::OneOrMore(of, most) => json!({"anyOf": [
            self::form(of),
            {"type": "array", "items": self::form(of), "minItems": 1, "maxItems": most},
        ]}),
        Form::Either(forms) => {
            json!({"anyOf": forms.iter().map(self::form).collect::<Vec<_>>()})
        }
        Form::Map(keys) => map(keys),
        Form::Entries(name, value) => json!({
            "type": "object",
            "propertyNames": self::form(name),
            "additionalProperties": self::form(value),
        }),
    }
}

fn map(keys: &[Key]) -> Value {
    let property = |key: &Key| {
        let mut value = form(&key.form);
        if let Value::Object(object) = &mut value {
            object.insert("description".into(), key.about.into());
        }
        (key.name.to_owned(), value)
    };
    let properties: Map<String, Value> = keys.iter().map(property).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    let Value::Object(object) = &mut schema else { return schema };
    if keys.iter().any(|key| key.name == "algorithm") {
        object.insert("allOf".into(), Algorithm::WORDS.map(|word| suits(keys, word)).into());
    } else {
        object.insert("required".into(), needed(keys, Algorithm::default()));
    }
    schema
}

/// What a map with this algorithm needs and cannot have; the default one is meant where the map
/// names none.
fn suits(keys: &[Key], (word, algorithm): (&'static str, Algorithm)) -> Value {
    let other = keys.iter().filter(|key| !key.of.contains(&algorithm));
    let refused: Map<String, Value> =
        other.map(|key| (key.name.to_owned(), Value::Bool(false))).collect();
    let mut condition = json!({"properties": {"algorithm": {"const": word}}});
    if let (Value::Object(condition), false) = (&mut condition, algorithm == Algorithm::default()) {
        condition.insert("required".into(), json!(["algorithm"]));
    }
    json!({
        "if": condition,
        "then": {"required": needed(keys, algorithm), "properties": refused},
    })
}

fn needed(keys: &[Key], algorithm: Algorithm) -> Value {
    let needed = keys.iter().filter(|key| key.needed_by.contains(&algorithm));
    needed.map(|key| key.name).collect::<Vec<_>>().into()
}
