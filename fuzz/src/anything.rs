//! An event that has a value for every field, of whatever kind, and a small vocabulary to ask it by: with Falco's
//! whole tables most inputs would be spent on looking for the field that is most like a misspelled one.

use porthole_rules::event::{Asked, Event, Value};
use porthole_rules::vocabulary::{Type, Vocabulary};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

const FIELDS: [&str; 36] = [
    "evt.type",
    "evt.num",
    "evt.time",
    "evt.dir",
    "evt.arg",
    "evt.rawarg",
    "evt.rawres",
    "evt.res",
    "evt.buffer",
    "evt.is_open_write",
    "evt.failed",
    "syscall.type",
    "proc.name",
    "proc.pname",
    "proc.aname",
    "proc.apid",
    "proc.args",
    "proc.cmdline",
    "proc.env",
    "proc.pid",
    "proc.duration",
    "proc.tty",
    "proc.is_exe_upper_layer",
    "fd.name",
    "fd.num",
    "fd.types",
    "fd.sip",
    "fd.ip",
    "fd.net",
    "fd.snet",
    "fd.sport",
    "fd.port",
    "fd.sip.name",
    "user.uid",
    "container.id",
    "container.mount.source",
];

const EVENTS: [&str; 10] =
    ["open", "openat", "openat2", "execve", "execveat", "connect", "accept4", "ptrace", "setuid", "dup2"];

/// What rules are compiled against.
pub static VOCABULARY: LazyLock<Arc<Vocabulary>> = LazyLock::new(|| {
    let (all, mut some) = (Vocabulary::falco(), Vocabulary::default());
    let fields = FIELDS.iter().map(|name| &all.fields()[all.field(name).expect("a field of Falco's")]);
    fields.for_each(|field| some.add_field(field.clone()));
    let events = EVENTS.iter().map(|name| &all.events()[all.event(name).expect("an event of Falco's")]);
    events.for_each(|event| some.add_event(event.clone()));
    Arc::new(some)
});

const TEXTS: [&str; 10] =
    ["", "cat", "/etc/shadow", "/a//b/../c", "-a -b c", "aGk=", "\u{e9}\u{1f980}\n", "open", "\"'\\%()", "AbC.*[x]"];
const NUMBERS: [u64; 8] = [0, 1, 2, 443, u32::MAX as u64, i64::MAX as u64, i64::MIN as u64, u64::MAX];

/// An event of this type. `salt` makes it another one.
pub struct Anything {
    /// Its number in [`VOCABULARY`]; `None` = one that is not in it.
    pub kind: Option<usize>,
    /// See above.
    pub salt: u64,
}

impl Event for Anything {
    fn value(&self, field: &Asked) -> Option<Value<'_>> {
        if field.name == "evt.type" || field.name == "syscall.type" {
            return Some(self.kind.map_or("unheard_of", |n| &VOCABULARY.events()[n].name).into());
        }
        let argument = field.argument.as_deref().unwrap_or_default();
        let mut n = argument.bytes().fold(self.salt ^ (field.number as u64) << 8, |n, b| mixed(n ^ u64::from(b)));
        let mut of = |len: usize| {
            n = mixed(n);
            (n % len as u64) as usize
        };
        let text = TEXTS[of(TEXTS.len())];
        let number = NUMBERS[of(NUMBERS.len())];
        let v4 = IpAddr::V4(Ipv4Addr::from(number as u32));
        Some(match (of(16), VOCABULARY.fields()[field.number].kind) {
            (0, _) => return None,
            // of another kind than it is said to be
            (1, _) => Value::Bytes(text.as_bytes().into()),
            (2, _) => Value::List(TEXTS.iter().take(of(TEXTS.len())).map(|t| (*t).into()).collect()),
            (3, _) => Value::Any(vec![Value::Ip(v4), Value::Int(-1), text.into()]),
            (4, _) => Value::Double(f64::NAN),
            (_, Type::Bool) => Value::Bool(number & 1 == 1),
            (_, Type::Int) => Value::Int(number as i64),
            (_, Type::Uint(_)) => Value::Uint(number.max(1)),
            (_, Type::Port) => Value::Any(vec![Value::Uint(number & 0xffff), Value::Uint(0)]),
            (_, Type::Double) => Value::Double(number as f64 / 3.0),
            (5..8, Type::Ip | Type::Net) => Value::Ip(Ipv6Addr::from(u128::from(number)).into()),
            (_, Type::Ip | Type::Net) => Value::Ip(v4),
            (_, Type::Bytes) => Value::Bytes(text.as_bytes().into()),
            _ => text.into(),
        })
    }
}

/// Another number for each number.
pub fn mixed(n: u64) -> u64 {
    let n = (n ^ n >> 31).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n ^ n >> 29
}
