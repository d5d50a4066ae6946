//! `fd.*`.

use super::{Get, Subject, Table, own, own_text};
use crate::event::Value as Own;
use porthole_rules::event::{Asked, Value};
use std::net::IpAddr;

pub(super) const FIELDS: Table = &[
    ("fd.num", own as Get),
    ("fd.type", own_text),
    ("fd.typechar", own_text),
    ("fd.name", own_text),
    ("fd.nameraw", own_text),
    ("fd.directory", own_text),
    ("fd.filename", own_text),
    ("fd.sockfamily", own_text),
    ("fd.l4proto", own_text),
    ("fd.connected", own),
    ("fd.name_changed", own),
    ("fd.is_server", own),
    ("fd.cip", address),
    ("fd.sip", address),
    ("fd.lip", address),
    ("fd.rip", address),
    ("fd.cport", own),
    ("fd.sport", own),
    ("fd.lport", own),
    ("fd.rport", own),
    ("fd.cip.name", own_text),
    ("fd.sip.name", own_text),
    ("fd.lip.name", own_text),
    ("fd.rip.name", own_text),
    ("fd.ip", |s, _| either(s, ADDRESSES, parsed)),
    ("fd.net", |s, _| either(s, ADDRESSES, parsed)),
    ("fd.port", |s, _| either(s, PORTS, port)),
    ("fd.cnet", |s, _| parsed(s.named("fd.cip")?)),
    ("fd.snet", |s, _| parsed(s.named("fd.sip")?)),
    ("fd.lnet", |s, _| parsed(s.named("fd.lip")?)),
    ("fd.rnet", |s, _| parsed(s.named("fd.rip")?)),
    ("fd.containername", |s, _| in_container(s, "fd.name")),
    ("fd.containerdirectory", |s, _| in_container(s, "fd.directory")),
];

/// The two ends, by who has called whom; where that is not known, by where they are.
const ADDRESSES: [[&str; 2]; 2] = [["fd.cip", "fd.sip"], ["fd.lip", "fd.rip"]];
const PORTS: [[&str; 2]; 2] = [["fd.cport", "fd.sport"], ["fd.lport", "fd.rport"]];

fn address<'a>(s: &Subject<'a>, asked: &Asked) -> Option<Value<'a>> {
    parsed(s.own(asked)?)
}

fn parsed(value: &Own) -> Option<Value<'static>> {
    match value {
        Own::Text(text) => text.parse::<IpAddr>().ok().map(Value::Ip),
        _ => None,
    }
}

fn port(value: &Own) -> Option<Value<'static>> {
    match value {
        Own::Number(n) => Some(Value::Int(*n)),
        _ => None,
    }
}

/// The values of both ends, as far as they are known.
fn either(
    s: &Subject,
    names: [[&str; 2]; 2],
    value: impl Fn(&Own) -> Option<Value<'static>>,
) -> Option<Value<'static>> {
    let ends = |names: [&str; 2]| names.iter().filter_map(|n| value(s.named(n)?)).collect::<Vec<_>>();
    let all = names.into_iter().map(ends).max_by_key(Vec::len)?;
    (!all.is_empty()).then_some(Value::Any(all))
}

fn in_container<'a>(s: &Subject<'a>, field: &str) -> Option<Value<'a>> {
    Some(format!("{}:{}", s.container().id, s.text_of(field)?).into())
}
