//! What a command shows that is no event any more, as conditions see it: an object with Falco's names, as far as it has them.

use super::fields::Fields;
use porthole_rules::event::{Asked, Event as Judged, Value};
use porthole_rules::vocabulary::Type;
use serde_json::{Map, Value as Json};

/// See the module. The first object that has a field counts.
pub(super) struct Flat<'a> {
    pub objects: Vec<&'a Map<String, Json>>,
    pub fields: &'a Fields,
}

impl Judged for Flat<'_> {
    fn value(&self, field: &Asked) -> Option<Value<'_>> {
        let full = match (&field.argument, field.name.as_str()) {
            (None, name) => name.to_owned(),
            (Some(argument), name @ ("evt.arg" | "evt.rawarg")) => format!("{name}.{argument}"),
            (Some(argument), name) => format!("{name}[{argument}]"),
        };
        let value = self.objects.iter().find_map(|object| object.get(&full))?;
        let kind = self.fields.vocabulary.fields().get(field.number).map(|info| info.kind);
        of_json(value, kind)
    }
}

fn of_json(value: &Json, kind: Option<Type>) -> Option<Value<'_>> {
    match (value, kind) {
        (Json::String(text), Some(Type::Ip | Type::Net)) => text.parse().ok().map(Value::Ip),
        (Json::String(text), _) => Some(text.as_str().into()),
        (Json::Bool(b), _) => Some(Value::Bool(*b)),
        (Json::Number(n), Some(Type::Text)) => Some(n.to_string().into()),
        (Json::Number(n), _) => n.as_u64().map(Value::Uint).or_else(|| n.as_i64().map(Value::Int)),
        (Json::Array(all), _) => Some(Value::Any(all.iter().filter_map(|one| of_json(one, kind)).collect())),
        _ => None,
    }
}
