//! Prints the hello and the records of ring files: `cargo run -p porthole-common --example dump-ring -- FILE…`.
use porthole_common::limits::RING_HEADER;
use porthole_common::record::Record;
use porthole_common::ring::reader::{Found, Reader};
use porthole_common::ring::{HEAD_OFFSET, HELLO_LEN_OFFSET, HELLO_OFFSET, Head};

fn main() {
    for path in std::env::args().skip(1) {
        println!("{path}");
        match std::fs::read(&path) {
            Ok(file) if file.len() > RING_HEADER => dump(&file),
            Ok(file) => println!("  no ring: {} bytes", file.len()),
            Err(e) => println!("  {e}"),
        }
    }
}

fn dump(file: &[u8]) {
    let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap_or_default());
    let hello = HELLO_OFFSET + u32_at(HELLO_LEN_OFFSET) as usize;
    print_record("hello", file.get(HELLO_OFFSET..hello).unwrap_or(&[]));
    let head = Head { position: u32_at(HEAD_OFFSET), sequence: u32_at(HEAD_OFFSET + 4) };
    let (data, mut reader) = (&file[RING_HEADER..], Reader::default());
    loop {
        match reader.next(data, head) {
            Found::Record(raw) => {
                print_record(&format!("{} pid {} time {}", raw.sequence, raw.pid, raw.time), raw.payload)
            }
            Found::Pending => println!("  {} records not committed", reader.skip(data, head)),
            Found::Dropped(n) => println!("  {n} records dropped"),
            Found::Empty => break,
            Found::Impossible => {
                println!("  impossible head {head:?} (this shows a ring from its start only)");
                break;
            }
        }
    }
}

fn print_record(title: &str, payload: &[u8]) {
    match Record::decode(payload) {
        Ok(Record::Open(o)) => {
            println!("  {title}: {:?} {:?} = {} flags {:#o}", o.call, lossy(o.path), o.res, o.flags);
        }
        Ok(Record::Exec(e)) => {
            let argv: Vec<_> = e.argv.iter().map(lossy).collect();
            println!(
                "  {title}: {:?} {:?} {argv:?} child {} target {} injection {} res {}",
                e.call,
                lossy(e.path),
                e.child,
                e.target,
                e.injection,
                e.res
            );
        }
        Ok(Record::Hello(h)) => {
            let argv: Vec<_> = h.argv.iter().map(lossy).collect();
            println!(
                "  {title}: ring {:?} pid {} ppid {} uid {} caps {:x} libc {} clock {} flags {} execfn {:?} cwd {:?} parent {:?} argc {} {argv:?}",
                lossy(h.ring),
                h.pid,
                h.ppid,
                h.euid,
                h.cap_effective,
                h.libc,
                h.clock,
                h.flags,
                lossy(h.execfn),
                lossy(h.cwd),
                lossy(h.parent_ring),
                h.argc
            );
        }
        Ok(Record::Chdir(c)) => {
            println!("  {title}: {:?} {:?} -> {:?} = {}", c.call, lossy(c.path), lossy(c.cwd), c.res)
        }
        Ok(other) => println!("  {title}: {other:?}"),
        Err(e) => println!("  {title}: {e}"),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
