//! Records: golden bytes, agreement with another MessagePack implementation, hostile input.
use porthole_common::limits;
use porthole_common::msgpack::{Malformed, Reader, Writer};
use porthole_common::record::*;
use proptest::prelude::*;
use std::path::Path;

fn encoded(encode: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut buf = vec![0u8; limits::RECORD];
    let mut w = Writer::new(&mut buf);
    encode(&mut w);
    let n = w.finish().expect("fits");
    buf.truncate(n);
    buf
}

fn hello_bytes() -> Vec<u8> {
    let hello = Hello {
        version: 1,
        ring: b"18f0a-2b",
        pid: 43,
        ppid: 1,
        pgid: 43,
        sid: 7,
        uid: 1000,
        euid: 0,
        gid: 1000,
        egid: 0,
        cap_effective: 0x1ff_ffff_ffff,
        libc: Libc::Musl as u8,
        depth: 1,
        clock: Clock::Tsc as u8,
        flags: hello_flags::FORKED,
        time: 123_456_789_012_345,
        execfn: b"/bin/sh",
        cwd: b"/root",
        parent_ring: b"18eff-2a",
        argc: 3,
        argv: Args::EMPTY,
        namespaces: [4026531841, 4026531836, 4026531840, 4026531839, 4026531838, 4026531837, 4026531835, 4026531834],
    };
    encoded(|w| hello.encode(w, 2, [&b"sh"[..], b"-c"].into_iter()))
}

fn exec_bytes() -> Vec<u8> {
    let exec = Exec {
        call: Call::Execvp,
        child: 0,
        dirfd: -100,
        at_flags: 0,
        res: 0,
        target: Target::Dynamic as u8,
        injection: Injection::Added as u8,
        path: b"/usr/bin/ls",
        argc: 2,
        argv: Args::EMPTY,
    };
    encoded(|w| exec.encode(w, 2, [&b"ls"[..], b"-l\xff"].into_iter()))
}

fn renamed() -> Called<'static> {
    use Value::*;
    let arguments = [Number(-100), Bytes(b"old"), Number(7), Bytes(b"/new"), Number(1), Skipped];
    Called { call: Call::Renameat2, res: -18, arguments }
}

/// Every kind once, with the name of its golden file.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let open = Open { call: Call::Fopen, res: -2, flags: 0o2000000, mode: 0, dirfd: -100, path: b"/etc/passwd" };
    let mut addr = [0u8; 16];
    addr[..8].copy_from_slice(&[2, 0, 0, 80, 127, 0, 0, 1]);
    let connect = Connect { res: -115, fd: 5, addr: &addr, local: &[] };
    let bound = Connect { local: &addr[..7], ..connect };
    let chdir = Chdir { call: Call::Chdir, res: 0, fd: -1, path: b"..", cwd: b"/usr" };
    let addresses = [&[4u8, 127, 0, 0, 1][..], &[6], &[0; 15], &[1]].concat();
    let lookup = Lookup { call: Call::Getaddrinfo, res: 0, name: b"localhost", addresses: &addresses };
    vec![
        ("hello", hello_bytes()),
        ("exec", exec_bytes()),
        ("exec-failed", encoded(|w| ExecFailed { call: Call::Execve, errno: 2, exec: 77 }.encode(w))),
        ("open", encoded(|w| open.encode(w))),
        ("connect", encoded(|w| connect.encode(w))),
        ("fork", encoded(|w| Fork { call: Call::Fork, res: 44 }.encode(w))),
        ("chdir", encoded(|w| chdir.encode(w))),
        ("exit", encoded(|w| Exit { call: Call::Exit, status: 3 }.encode(w))),
        ("drop", encoded(|w| Drop { reason: DropReason::TooLarge as u8, count: 9 }.encode(w))),
        ("connect-local", encoded(|w| bound.encode(w))),
        ("called", encoded(|w| renamed().encode(w))),
        ("lookup", encoded(|w| lookup.encode(w))),
        ("sandbox", encoded(|w| Sandbox { call: Call::Prctl, mode: 2, res: 0 }.encode(w))),
    ]
}

/// The bytes of each kind are what version 1 has always written. A new version adds files; it never changes these.
/// `PORTHOLE_BLESS=1 cargo test` writes files that are missing.
#[test]
fn golden_bytes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    for (name, bytes) in samples() {
        let file = dir.join(format!("{name}-v1.bin"));
        if !file.exists() && std::env::var_os("PORTHOLE_BLESS").is_some() {
            std::fs::write(&file, &bytes).expect("golden file written");
        }
        let golden = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert_eq!(bytes, golden, "{name}");
        Record::decode(&golden).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn announced_lengths_are_exact() {
    let path = [b'p'; 300];
    let open = Open { call: Call::Open, res: 0, flags: 0, mode: 0, dirfd: 0, path: &path };
    assert_eq!(encoded(|w| open.encode(w)).len(), Open::encoded_len(300));
    let connect = Connect { res: 0, fd: 0, addr: &path[..28], local: &path[..16] };
    assert_eq!(encoded(|w| connect.encode(w)).len(), Connect::encoded_len(28, 16));
    assert_eq!(encoded(|w| Connect { local: &[], ..connect }.encode(w)).len(), Connect::encoded_len(28, 0));
    assert_eq!(encoded(|w| renamed().encode(w)).len(), renamed().encoded_len());
    assert_eq!(samples()[samples().len() - 2].1.len(), Lookup::encoded_len(9, 22));
    let chdir = Chdir { call: Call::Chdir, res: 0, fd: 0, path: &path, cwd: &path[..7] };
    assert_eq!(encoded(|w| chdir.encode(w)).len(), Chdir::encoded_len(300, 7));
    assert_eq!(exec_bytes().len(), Exec::encoded_len(11, 2, 5));
    for (name, bytes) in samples() {
        let fixed = match name {
            "exec-failed" => ExecFailed::LEN,
            "fork" => Fork::LEN,
            "exit" => Exit::LEN,
            "drop" => Drop::LEN,
            "sandbox" => Sandbox::LEN,
            _ => continue,
        };
        assert_eq!(bytes.len(), fixed, "{name}");
    }
}

#[test]
fn fields_come_back() {
    let bytes = hello_bytes();
    let Ok(Record::Hello(h)) = Record::decode(&bytes) else { panic!("no hello") };
    assert_eq!((h.ring, h.pid, h.ppid, h.sid, h.euid), (&b"18f0a-2b"[..], 43, 1, 7, 0));
    assert_eq!((h.cap_effective, h.time, h.argc), (0x1ff_ffff_ffff, 123_456_789_012_345, 3));
    assert_eq!((h.execfn, h.cwd, h.parent_ring), (&b"/bin/sh"[..], &b"/root"[..], &b"18eff-2a"[..]));
    assert_eq!(h.argv.iter().collect::<Vec<_>>(), [b"sh", b"-c"]);
    assert_eq!((h.namespaces[0], h.namespaces[7]), (4026531841, 4026531834));
    let bytes = exec_bytes();
    let Ok(Record::Exec(e)) = Record::decode(&bytes) else { panic!("no exec") };
    assert_eq!((e.call, e.dirfd, e.path), (Call::Execvp, -100, &b"/usr/bin/ls"[..]));
    assert_eq!(e.argv.iter().collect::<Vec<_>>(), [&b"ls"[..], b"-l\xff"]);
}

#[test]
fn the_arguments_of_a_call_have_names() {
    let bytes = encoded(|w| renamed().encode(w));
    let Ok(Record::Called(c)) = Record::decode(&bytes) else { panic!("no call") };
    assert_eq!((c.call, c.res, c.signature().map(|s| s.event)), (Call::Renameat2, -18, Some("renameat2")));
    assert_eq!((c.argument("oldpath"), c.argument("flags")), (Some(Value::Bytes(b"old")), Some(Value::Number(1))));
    assert_eq!(c.argument("no such"), None);
    // a skipped argument takes no place
    let arguments =
        [Value::Number(3), Value::Skipped, Value::Number(9), Value::Number(0), Value::Bytes(b"a"), Value::Skipped];
    let bytes = encoded(|w| Called { call: Call::Sendto, res: 9, arguments }.encode(w));
    let Ok(Record::Called(c)) = Record::decode(&bytes) else { panic!("no call") };
    assert_eq!(c.arguments, arguments);
}

#[test]
fn numbers_of_calls_are_their_own() {
    for call in Call::ALL {
        assert_eq!(Call::from_number(*call as u8), Some(*call));
        assert!(call.signature().is_none_or(|s| s.arguments.len() <= ARGUMENTS && !s.event.is_empty()));
    }
}

#[test]
fn a_lookup_gives_its_addresses() {
    let Some((_, bytes)) = samples().into_iter().find(|(name, _)| *name == "lookup") else { panic!("no sample") };
    let Ok(Record::Lookup(l)) = Record::decode(&bytes) else { panic!("no lookup") };
    assert_eq!(l.ips().map(|ip| ip.to_string()).collect::<Vec<_>>(), ["127.0.0.1", "::1"]);
    let cut = Lookup { addresses: &[4, 1, 2], ..l };
    assert_eq!(cut.ips().count(), 0);
}

#[test]
fn every_prefix_of_a_record_is_an_error_and_more_fields_are_none() {
    for (name, bytes) in samples() {
        for n in 0..bytes.len() {
            assert!(Record::decode(&bytes[..n]).is_err(), "{name} cut at {n}");
        }
        let mut longer = bytes.clone();
        longer[2] += 1; // one more field, of a kind nobody knows
        longer.extend([0xc4, 0]);
        assert!(Record::decode(&longer).is_ok(), "{name} with a field of a later version");
        longer[2] -= 2; // fewer than the kind has
        let optional = name == "connect-local"; // its last field is one that may be missing
        assert!(optional || matches!(Record::decode(&longer), Err(Malformed::Truncated)), "{name}");
    }
}

#[test]
fn what_is_over_a_limit_is_refused() {
    let path = vec![b'a'; limits::PATH + 1];
    let open = Open { call: Call::Open, res: 0, flags: 0, mode: 0, dirfd: 0, path: &path };
    assert!(matches!(Record::decode(&encoded(|w| open.encode(w))), Err(Malformed::Range)));
    let unknown_call = encoded(|w| {
        w.array(3);
        w.u8(Kind::Fork as u8);
        w.u8(250);
        w.i32(1);
    });
    assert!(matches!(Record::decode(&unknown_call), Err(Malformed::Range)));
    assert!(matches!(Record::decode(&[0x91, 0xcc, 99]), Err(Malformed::Kind)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any bytes: a record or an error, and what decodes stays within the bytes.
    #[test]
    fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(Record::Exec(e)) = Record::decode(&bytes) {
            prop_assert_eq!(e.argv.iter().count(), e.argv.len());
        }
    }

    /// Valid records with a few bytes changed: the same.
    #[test]
    fn damaged_records_do_no_harm(
        which in 0usize..13,
        changes in proptest::collection::vec((0usize..300, any::<u8>()), 1..6),
    ) {
        let mut bytes = samples().swap_remove(which).1;
        for (at, b) in changes {
            let n = bytes.len();
            bytes[at % n] = b;
        }
        match Record::decode(&bytes) {
            Ok(Record::Exec(e)) => prop_assert_eq!(e.argv.iter().count(), e.argv.len()),
            Ok(Record::Hello(h)) => prop_assert_eq!(h.argv.iter().count(), h.argv.len()),
            _ => {}
        }
    }

    /// What we write, a well-known implementation reads, with the same values.
    #[test]
    fn others_read_what_we_write(res: i32, flags: u32, mode: u32, dirfd: i32, path in proptest::collection::vec(any::<u8>(), 0..300)) {
        let open = Open { call: Call::Openat, res, flags, mode, dirfd, path: &path };
        let bytes = encoded(|w| open.encode(w));
        let value = rmpv::decode::read_value(&mut &bytes[..]).unwrap();
        let expected = rmpv::Value::Array(vec![
            4.into(), 21.into(), res.into(), flags.into(), mode.into(), dirfd.into(), rmpv::Value::Binary(path.clone()),
        ]);
        prop_assert_eq!(&value, &expected);
        // and what it writes, in its own widths, we read
        let mut theirs = vec![];
        rmpv::encode::write_value(&mut theirs, &expected).unwrap();
        let Ok(Record::Open(back)) = Record::decode(&theirs) else { panic!("not read back") };
        prop_assert_eq!((back.res, back.flags, back.mode, back.dirfd, back.path), (res, flags, mode, dirfd, &path[..]));
    }

    /// Numbers in every width that MessagePack allows.
    #[test]
    fn numbers_agree(v: i64, u: u64) {
        let mut bytes = vec![];
        rmpv::encode::write_value(&mut bytes, &v.into()).unwrap();
        prop_assert_eq!(Reader::new(&bytes).int(), Ok(v));
        prop_assert_eq!(Reader::new(&bytes).uint().ok(), u64::try_from(v).ok());
        bytes.clear();
        rmpv::encode::write_value(&mut bytes, &u.into()).unwrap();
        prop_assert_eq!(Reader::new(&bytes).uint(), Ok(u));
        prop_assert_eq!(Reader::new(&bytes).int().ok(), i64::try_from(u).ok());
    }
}
