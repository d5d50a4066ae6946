use super::*;
use std::fs;

const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

#[test]
fn the_libraries_of_this_machine_are_understood() {
    if !cfg!(target_arch = "x86_64") || !Path::new(LIBC).exists() {
        println!("SKIP: no C library of Debian for x86-64 here");
        return;
    }
    let bytes = fs::read(LIBC).unwrap();
    let started = std::time::Instant::now();
    let libc = analyze(&bytes).expect("a C library");
    println!("{} sites, coverage {:#x}, {:?}", libc.sites.len(), libc.coverage, started.elapsed());
    let loader = analyze(&fs::read(LOADER).unwrap()).expect("a loader");
    println!("{} sites of the loader, coverage {:#x}", loader.sites.len(), loader.coverage);
    assert_eq!(libc.coverage, coverage::ALL);
    assert!(libc.executes && libc.sites.len() >= 10, "{libc:x?}");
    assert!(!loader.executes && !loader.sites.is_empty(), "{loader:x?}");

    let state = std::env::temp_dir().join(format!("porthole-sites-{}", std::process::id()));
    fs::create_dir_all(&state).unwrap();
    let started = std::time::Instant::now();
    let table = super::table(Path::new("/"), &state).unwrap();
    let first = started.elapsed();
    assert_eq!(super::table(Path::new("/"), &state).unwrap(), table, "out of the cache");
    println!("{first:?}, out of the cache {:?}", started.elapsed() - first);
    fs::remove_dir_all(&state).unwrap();
    assert_eq!(table[..4], 2u32.to_le_bytes(), "the C library and the loader, each once");
    assert_eq!(table[4..24], libc.build_id);
    assert_eq!(table.len(), 4 + 2 * 28 + 4 * (libc.sites.len() + loader.sites.len()));
}

#[test]
fn damaged_libraries_are_left_out_without_harm() {
    let Ok(whole) = fs::read(LOADER) else {
        println!("SKIP: no {LOADER} here");
        return;
    };
    for cut in (0..1024).chain((1024..whole.len()).step_by(whole.len() / 20)) {
        let _ = analyze(&whole[..cut]);
    }
    let mut seed = 1u64;
    for _ in 0..60 {
        let mut damaged = whole.clone();
        for _ in 0..8 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            damaged[(seed >> 33) as usize % 1024] = (seed >> 25) as u8;
        }
        let _ = analyze(&damaged);
    }
    for field in [32, 40, 54, 58] {
        let mut damaged = whole.clone();
        damaged[field..field + 8].fill(0xff);
        assert!(analyze(&damaged).is_none(), "{field}");
    }
}

/// A library with this code, and as many functions of this name that are all of it.
fn library(code: &[u8], name: &str, functions: usize) -> Vec<u8> {
    let (note, strings, symbols) = (0x200, 0x300, 0x400);
    let at = symbols + 24 * functions;
    let mut bytes = vec![0u8; at];
    let mut put = |at: usize, value: u64, len: usize| bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    put(0, u64::from_le_bytes(*b"\x7fELF\x02\x01\x01\0"), 8);
    for (field, value, len) in
        [(18, 62, 2), (32, 64, 8), (40, 0x100, 8), (54, 56, 2), (56, 2, 2), (58, 64, 2), (60, 2, 2)]
    {
        put(field, value, len);
    }
    // Segments: kind, flags, offset, address, length.
    for (n, (kind, flags, from, len)) in [(1, 5, at, code.len()), (4, 4, note, 36)].into_iter().enumerate() {
        let header = 64 + 56 * n;
        for (field, value, size) in [(0, kind, 4), (4, flags, 4), (8, from, 8), (16, from, 8), (32, len, 8)] {
            put(header + field, value as u64, size);
        }
    }
    for (field, value) in [(0, 4), (4, 20), (8, 3), (12, u64::from(u32::from_le_bytes(*b"GNU\0")))] {
        put(note + field, value, 4);
    }
    // Sections: the symbols, and their names.
    for (section, kind, from, len, link) in [(0x100, 11, symbols, 24 * functions, 1), (0x140, 3, strings, 64, 0)] {
        for (field, value, size) in [(4, kind, 4), (24, from, 8), (32, len, 8), (40, link, 4)] {
            put(section + field, value as u64, size);
        }
    }
    for symbol in (symbols..at).step_by(24) {
        for (field, value, size) in [(4, 2, 1), (8, at as u64, 8), (16, code.len() as u64, 8)] {
            put(symbol + field, value, size);
        }
    }
    bytes[strings..strings + name.len()].copy_from_slice(name.as_bytes());
    bytes.extend_from_slice(code);
    bytes
}

#[test]
fn libraries_made_to_be_searched_for_ever_are_left() {
    let site = [0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xb8, 2, 0, 0, 0, 0x0f, 0x05, 0xc3];
    let small = analyze(&library(&site.repeat(4), "open", 1)).expect("what the others are many of");
    assert_eq!((small.sites.len(), small.opens), (4, true));
    let started = std::time::Instant::now();
    for name in ["open", "execveat", "fexecve"] {
        assert_eq!(analyze(&library(&site.repeat(4), name, 20_000)), None, "many functions of one name");
        assert_eq!(analyze(&library(&site.repeat(200_000), name, 20_000)), None, "and many system calls");
    }
    assert_eq!(analyze(&library(&site.repeat(200_000), "open", 1)), None, "many system calls");
    let calls = [0xe8, 0, 0, 0, 0].repeat(400_000);
    assert_eq!(analyze(&library(&[&site[..], &calls].concat(), "open", 1)), None, "many calls");
    // Unbounded, this takes hours.
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
}

fn found(coverage: u32, executes: bool, opens: bool) -> Found {
    Found { build_id: [executes as u8; BUILD_ID], coverage, opens, connects: opens, executes, sites: vec![1, 2] }
}

#[test]
fn a_c_library_that_is_not_covered_is_not_patched_nor_what_belongs_to_it() {
    assert_eq!(select(vec![found(coverage::EXEC, true, true), found(0, false, false)]), []);
    assert_eq!(select(vec![found(0, false, false)]), []);
    let both = select(vec![found(coverage::ALL, true, true), found(0, false, true)]);
    assert_eq!(both[0].coverage, coverage::EXEC | coverage::INSIDE, "the thread library opens and connects, too");
    let both = select(vec![found(coverage::ALL, true, true), found(coverage::ALL, false, true)]);
    assert_eq!((both[0].coverage, both[1].coverage), (coverage::ALL, 0));
}

#[test]
fn a_site_is_one_only_where_nothing_jumps_into_it() {
    let nops = [0x90u8; 8];
    let site = [0xb8, 2, 0, 0, 0, 0x0f, 0x05, 0xc3];
    let sites = |tail: &[u8]| {
        let bytes = [&nops[..], &site, tail].concat();
        Sweep::over(elf::Code { at: 0x1000, bytes: &bytes }, std::iter::empty())
            .expect("few calls")
            .calls
            .iter()
            .filter_map(|c| c.site)
            .collect::<Vec<_>>()
    };
    assert_eq!(sites(&[]), [0x1008]);
    assert_eq!(sites(&[0xeb, 0xf6]), [0x1008], "to its first byte");
    assert_eq!(sites(&[0xeb, 0xfb]), [] as [u64; 0], "to the system call");
    assert_eq!(sites(&[0xeb, 0xfd]), [0x1008], "behind it");
}

#[test]
fn what_was_found_is_kept_by_the_whole_contents_in_a_directory_of_ones_own() {
    use std::os::unix::fs::PermissionsExt;
    let state = std::env::temp_dir().join(format!("porthole-sites-cache-{}", std::process::id()));
    fs::create_dir_all(&state).unwrap();
    let cache = Cache::below(&state).unwrap();
    let one = Some(found(coverage::ALL, true, true));
    assert_eq!(cache.get(b"one", |_| one.clone()), one);
    assert_eq!(cache.get(b"one", |_| panic!("it is kept")), one);
    assert_eq!(cache.get(b"other", |_| None), None);
    assert_eq!(cache.get(b"other", |_| panic!("that nothing was found is kept, too")), None);
    (0..100u8).for_each(|n| _ = cache.get(&[n], |_| None));
    assert!(fs::read_dir(state.join("sites")).unwrap().count() <= 64);
    fs::set_permissions(state.join("sites"), fs::Permissions::from_mode(0o770)).unwrap();
    assert!(Cache::below(&state).is_none(), "someone else can write it");
    fs::remove_dir_all(&state).unwrap();
}

/// Code as glibc 2.41's: `read`, `write` and `connect` call the function at the start, each for its number. Gives the
/// numbers of what calls it, and whether each is a site.
fn cancellable(connect: &[u8], behind: &[u8]) -> Vec<(Option<u32>, bool)> {
    let mut code = vec![0x90; 16];
    let mut functions = Vec::new();
    let (read, write) = ([0x6a, 0], [0x6a, 1]);
    for (name, before) in [("read", &read[..]), ("write", &write), ("connect", connect)] {
        let at = code.len();
        code.extend(before);
        let distance = -(code.len() as i32 + 5);
        code.push(0xe8);
        code.extend(distance.to_le_bytes());
        code.extend(behind);
        code.extend([0x48, 0x83, 0xc4, 0x18, 0xc3, 0x90, 0x90, 0x90]); // add rsp, 24; ret
        functions.push(elf::Function { name, at: at as u64, size: (code.len() - at) as u64 });
    }
    let code = elf::Code { at: 0, bytes: &code };
    let sweep = Sweep::over(code, functions.iter().map(|f| f.at)).expect("few calls");
    let calls = cancellable::calls(code, &sweep.nears, &functions);
    calls.iter().map(|call| (call.number, call.site.is_some())).collect()
}

#[test]
fn a_call_of_the_function_of_all_cancellable_calls_is_a_site_where_its_number_is_watched() {
    let (read, write) = ((Some(0), false), (Some(1), false));
    assert_eq!(cancellable(&[0x6a, 42], &[]), [read, write, (Some(42), true)]);
    assert_eq!(cancellable(&[0x6a, 42, 0x31, 0xc9], &[]), [read, write, (Some(42), true)], "xor ecx, ecx between");
    assert_eq!(cancellable(&[0x6a, 42], &[0x5a]), [read, write, (Some(42), true)], "pop rdx behind");
    assert_eq!(cancellable(&[0x6a, 43], &[]), [], "connect is not called so");
    assert_eq!(cancellable(&[0x6a, 42, 0x50], &[]), [], "push rax: the number is not on top");
    assert_eq!(cancellable(&[0x6a, 42, 0x89, 0x04, 0x24], &[]), [], "mov [rsp], eax: nor is it what it was");
    assert_eq!(cancellable(&[0xeb, 0x02, 0x6a, 42], &[]), [], "a jump past the number");
    assert_eq!(cancellable(&[0x6a, 42], &[0xf7, 0xd8]), [], "neg eax behind: the result is not the caller's");
}
