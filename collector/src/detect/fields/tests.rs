use super::*;
use crate::event::tests::sample;
use porthole_rules::format::Format;
use std::sync::Arc;

/// What an output with this text would say of an event.
fn shown(event: &Event, text: &str) -> String {
    let fields = Fields::new(&BTreeMap::from([("site".to_owned(), "here".to_owned())]));
    let format = Format::new(&format!("*{text}"), &fields.vocabulary).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    let memo = Memo::new(&fields);
    format.text(&Subject::new(event, &fields, &memo)).unwrap()
}

fn descends(event: &mut Event, names: &[&str]) {
    let line = names.iter().rev().fold(None, |parent, name| {
        let process =
            Process { name: (*name).into(), exepath: format!("/bin/{name}").into(), parent, ..Default::default() };
        Some(Arc::new(process))
    });
    Arc::make_mut(event.process.as_mut().unwrap()).parent = line;
}

#[test]
fn every_field_of_the_tables_is_in_the_vocabulary_and_stands_there_once() {
    let fields = Fields::new(&BTreeMap::new());
    let mut seen = std::collections::HashSet::new();
    for (name, _) in TABLES.into_iter().flatten() {
        assert!(fields.vocabulary.field(name).is_some(), "{name} is none of Falco's fields");
        assert!(seen.insert(name), "{name} stands there twice");
    }
}

#[test]
fn ancestors_are_counted_from_the_process_itself() {
    let mut event = sample();
    descends(&mut event, &["sh", "runc", "systemd"]);
    let text = "%proc.name %proc.aname[0] %proc.pname %proc.aname[1] %proc.aname[2] %proc.aexepath[3] %proc.aname[4]";
    assert_eq!(shown(&event, text), "cat cat sh sh runc /bin/systemd <NA>");
    assert_eq!(shown(&event, "%proc.aname"), "sh runc systemd");
}

#[test]
fn what_follows_from_other_values() {
    let mut event = sample();
    let (mut put, flags) = (|name, value: Own| event.fields.push((name, value)), "O_TRUNC|O_CREAT|O_WRONLY");
    put("evt.arg.flags", flags.into());
    put("evt.arg.mode", "0755".into());
    put("fd.name", "/etc/passwd".into());
    assert_eq!(
        shown(&event, "%evt.is_open_read %evt.is_open_write %evt.is_open_exec %fs.path.name %evt.failed"),
        "false true true /etc/passwd true"
    );
    assert_eq!(shown(&event, "%evt.arg.res %evt.rawarg.res %evt.arg[1]"), "ENOENT -2 <NA>");
    assert_eq!(shown(&event, "%static.site %container.id %k8s.ns.name"), "here 0123456789ab <NA>");
    assert!(shown(&event, "%evt.args").starts_with("res=ENOENT name=/etc/pass\"wd flags=O_TRUNC"));
}

#[test]
fn a_program_in_memory_and_capabilities() {
    let mut event = sample();
    let process = Arc::make_mut(event.process.as_mut().unwrap());
    process.exepath = "/memfd:x".into();
    process.cap_effective = Some(1 << 21 | 1);
    process.loginuid = Some(u32::MAX);
    (process.vpgid, process.sid) = (process.vpid, Some(1));
    let text = "%proc.exepath %proc.is_exe_from_memfd %thread.cap_effective %user.loginuid %proc.is_vpgid_leader \
                %proc.is_sid_leader";
    assert_eq!(shown(&event, text), "memfd:x true CAP_CHOWN CAP_SYS_ADMIN -1 true false");
}

#[test]
fn mounts_are_found_by_their_source() {
    let mut event = sample();
    let info = Arc::make_mut(&mut event.container);
    info.mounts = vec![Mount::new("/etc", "/h", "", true, "")];
    info.mounts_text = info.mounts[0].text.as_str().into();
    let text = "%container.mount.dest[/etc] %container.mount.dest[/proc*] %container.mount.source[/h] \
                %container.mount.rdwr[0] %container.mounts";
    assert_eq!(shown(&event, text), "/h N/A /etc true /etc:/h::true:");
    Arc::make_mut(&mut event.container).id = "host".into();
    assert_eq!(shown(&event, "%container.mount.dest[/etc]"), "<NA>");
}

#[test]
fn both_ends_of_a_connection() {
    let mut event = sample();
    event.evt_type = "connect";
    for (name, value) in [("fd.cip", "10.0.0.1"), ("fd.sip", "10.0.0.2"), ("fd.rip", "10.0.0.2")] {
        event.fields.push((name, value.into()));
    }
    event.fields.push(("fd.sport", Own::Number(443)));
    let fields = Fields::new(&BTreeMap::new());
    let memo = Memo::new(&fields);
    let subject = Subject::new(&event, &fields, &memo);
    for (condition, holds) in [
        ("fd.ip = 10.0.0.1", true),
        ("fd.net in (10.0.0.0/30)", true),
        ("fd.snet in (10.0.0.2/32)", true),
        ("fd.snet in (10.0.0.1/32)", false),
        ("fd.port = https", true),
        ("fd.rport exists", false),
    ] {
        let expr = porthole_rules::parse::condition(condition).unwrap();
        let mut program = porthole_rules::program::Program::default();
        let node = program.add(&expr, &fields.vocabulary, &mut vec![]).unwrap();
        assert_eq!(program.judge(node, &subject, &mut Default::default()), holds, "{condition}");
    }
}
