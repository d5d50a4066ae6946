//! What can be named: fields with their types, and types of events with their arguments.

use std::collections::HashMap;
use std::sync::OnceLock;

/// What kind of a value a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// True or false.
    Bool,
    /// A signed number.
    Int,
    /// An unsigned number of so many bits.
    Uint(u32),
    /// A number with a fraction.
    Double,
    /// A port.
    Port,
    /// An address.
    Ip,
    /// An address that is compared with networks.
    Net,
    /// As the event's argument of that name has it.
    Dynamic,
}

impl Type {
    /// By the names that Falco's tables use.
    pub fn of(name: &str) -> Option<Type> {
        Some(match name {
            "CHARBUF" | "string" => Type::Text,
            "BYTEBUF" | "bytes" => Type::Bytes,
            "BOOL" | "bool" => Type::Bool,
            "INT8" | "INT16" | "INT32" | "INT64" | "i64" | "i32" => Type::Int,
            "UINT8" | "UINT16" | "UINT32" | "u32" => Type::Uint(32),
            "UINT64" | "u64" | "RELTIME" | "ABSTIME" => Type::Uint(64),
            "DOUBLE" => Type::Double,
            "PORT" | "port" => Type::Port,
            "IPADDR" | "ip" => Type::Ip,
            "IPNET" | "ipnet" => Type::Net,
            "DYNAMIC" => Type::Dynamic,
            _ => return None,
        })
    }

    /// Of an event's argument, as raw values have it.
    fn of_argument(name: &str) -> Type {
        match name {
            "CHARBUF" | "FSPATH" | "FSRELPATH" | "SOCKADDR" | "SOCKTUPLE" => Type::Text,
            "BYTEBUF" => Type::Bytes,
            "BOOL" => Type::Bool,
            "INT8" | "INT16" | "INT32" | "INT64" | "ERRNO" | "FD" | "PID" => Type::Int,
            "PORT" => Type::Port,
            _ => Type::Uint(64),
        }
    }

    /// Whether values are numbers.
    pub fn is_number(self) -> bool {
        matches!(self, Type::Int | Type::Uint(_) | Type::Double | Type::Port)
    }
}

/// Whether a field takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// One, or none.
    Maybe,
    /// One.
    Something,
}

/// A field that can be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Dotted name.
    pub name: String,
    /// Type of its values.
    pub kind: Type,
    /// Several values at once.
    pub list: bool,
    /// Its argument.
    pub takes: Takes,
    /// The argument is a number.
    pub indexed: bool,
    /// Only for old rules.
    pub deprecated: bool,
    /// Not on the right side of a check.
    pub no_right: bool,
    /// Not in a function.
    pub no_function: bool,
    /// Not in an output.
    pub filter_only: bool,
    /// Not in a condition.
    pub print_only: bool,
}

impl Info {
    /// A plain field.
    pub fn new(name: &str, kind: Type) -> Info {
        Info {
            name: name.to_owned(),
            kind,
            list: false,
            takes: Takes::Nothing,
            indexed: false,
            deprecated: false,
            no_right: false,
            no_function: false,
            filter_only: false,
            print_only: false,
        }
    }
}

/// A type of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    /// Name, as `evt.type` has it.
    pub name: String,
    /// Names and types of its arguments.
    pub arguments: Vec<(String, Type)>,
}

/// Everything that can be named.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    fields: Vec<Info>,
    by_name: HashMap<String, usize>,
    events: Vec<EventType>,
    event_by_name: HashMap<String, usize>,
}

const FIELDS: &str = include_str!("../data/fields.tsv");
const EVENTS: &str = include_str!("../data/events.tsv");

impl Vocabulary {
    /// Falco's.
    pub fn falco() -> &'static Vocabulary {
        static FALCO: OnceLock<Vocabulary> = OnceLock::new();
        FALCO.get_or_init(|| {
            let mut all = Vocabulary::default();
            rows(FIELDS).filter_map(|row| info(&row)).for_each(|info| all.add_field(info));
            rows(EVENTS).filter_map(|row| event(&row)).for_each(|event| all.add_event(event));
            all
        })
    }

    /// Adds a field; one of the same name is replaced.
    pub fn add_field(&mut self, info: Info) {
        match self.by_name.get(&info.name) {
            Some(at) => self.fields[*at] = info,
            None => {
                self.by_name.insert(info.name.clone(), self.fields.len());
                self.fields.push(info);
            }
        }
    }

    /// Adds a type of events; one of the same name is replaced.
    pub fn add_event(&mut self, event: EventType) {
        match self.event_by_name.get(&event.name) {
            Some(at) => self.events[*at] = event,
            None => {
                self.event_by_name.insert(event.name.clone(), self.events.len());
                self.events.push(event);
            }
        }
    }

    /// All fields, in the order of their numbers.
    pub fn fields(&self) -> &[Info] {
        &self.fields
    }

    /// All types of events, in the order of their numbers.
    pub fn events(&self) -> &[EventType] {
        &self.events
    }

    /// The number of a field.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The number of a type of events.
    pub fn event(&self, name: &str) -> Option<usize> {
        self.event_by_name.get(name).copied()
    }

    /// The type of an event's argument of this name, of the first event that has one.
    pub fn argument(&self, name: &str) -> Option<Type> {
        self.events.iter().flat_map(|e| &e.arguments).find(|(n, _)| n == name).map(|(_, kind)| *kind)
    }
}

fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(|l| l.split('\t').collect())
}

fn info(row: &[&str]) -> Option<Info> {
    let [name, kind, flags] = row else { return None };
    let has = |flag: &str| flags.split(',').any(|f| f == flag);
    let ancestors = ["proc.aname", "proc.aexe", "proc.aexepath", "proc.acmdline", "proc.apid", "proc.args", "fd.types"];
    Some(Info {
        list: has("list"),
        takes: match (has("arg-required"), has("arg-allowed")) {
            (true, _) => Takes::Something,
            (_, true) => Takes::Maybe,
            _ => Takes::Nothing,
        },
        indexed: ancestors.contains(name),
        deprecated: has("deprecated"),
        no_right: has("no-rhs"),
        no_function: has("no-transformer"),
        filter_only: has("filter-only"),
        print_only: has("print-only"),
        ..Info::new(name, Type::of(kind)?)
    })
}

fn event(row: &[&str]) -> Option<EventType> {
    let [name, parameters] = row else { return None };
    let pairs = parameters.split_whitespace().filter_map(|p| p.split_once(':'));
    let arguments = pairs.map(|(n, t)| (n.to_owned(), Type::of_argument(t))).collect();
    Some(EventType { name: (*name).to_owned(), arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falcos_tables_are_whole() {
        let all = Vocabulary::falco();
        assert_eq!(all.fields().len(), FIELDS.lines().filter(|l| !l.starts_with('#')).count());
        assert_eq!(all.events().len(), EVENTS.lines().filter(|l| !l.starts_with('#')).count());
        let field = |name: &str| &all.fields()[all.field(name).unwrap()];
        assert_eq!((field("proc.name").kind, field("fd.num").kind), (Type::Text, Type::Int));
        assert!(field("fd.types").list && field("proc.aname").indexed && field("evt.dir").deprecated);
        assert_eq!(field("evt.arg").takes, Takes::Something);
        assert_eq!((all.argument("flags"), all.argument("nosuch")), (Some(Type::Int), None));
        assert!(all.event("openat").is_some() && all.event("opne").is_none());
    }
}
