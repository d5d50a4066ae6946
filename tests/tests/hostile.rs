//! Containers that attack: what each can reach is its own. A collector and another container that works all the time
//! stand beside every attack; of that one every record must arrive once and none be lost, and the attack is told by the
//! name of the container it came from.

use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::events::{Events, OPENS};
use porthole_tests::program::{self, Running};
use porthole_tests::scratch::Scratch;
use porthole_tests::{attack, rootfs, suite, tests, wait};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

struct Fixture {
    // kept: the root file system lies in it
    _scratch: Scratch,
    root: PathBuf,
}

fn fixture() -> Fixture {
    let scratch = Scratch::new();
    let root = rootfs::of(&scratch);
    Fixture { _scratch: scratch, root }
}

fn main() -> ExitCode {
    suite::run(
        fixture,
        tests![
            rings_taken_away_while_they_are_open,
            rings_cut_while_they_are_open,
            a_ring_scribbled_over_while_it_is_read,
            nodes_and_sockets_among_the_rings,
            a_share_without_bytes_or_inodes,
            silent_connections_by_the_thousand,
            a_share_mounted_writable,
            a_share_that_cannot_be_written,
            registrations_that_are_none,
            ids_that_lead_elsewhere,
            annotations_that_are_long_and_obey_nobody,
        ],
    )
}

/// Opens `/n/0`, `/n/1`, … until the file is there that its name says; then how many.
const WORK: &str = "i=0; while [ ! -e /tmp/$0 ]; do true 2>/dev/null </n/$i; i=$((i+1)); \
                    [ $((i % 5)) = 0 ] && sleep 0.02; done; echo made $i.";
/// Waits, with a ring and some records in it, until the file is there that its name says.
const WAIT: &str = "true </etc/secret; while [ ! -e /tmp/$0 ]; do sleep 0.05; true </etc/hostname; done; exit 0";

/// A collector and the container that works beside the attack.
struct Scene<'a> {
    collector: Collector,
    bystander: Bundle,
    root: &'a Path,
}

impl Fixture {
    fn scene(&self) -> Scene<'_> {
        let collector = Collector::start();
        let bystander = Bundle::new(&self.root, &["/bin/sh", "-c", WORK, "end"]);
        let _ = std::fs::remove_file(self.root.join("tmp/end"));
        bystander.start(&collector.state_dir());
        let scene = Scene { collector, bystander, root: &self.root };
        scene.collector.wait_for("the bystander works", |e| scene.made(e).len() > 20);
        scene
    }
}

impl Scene<'_> {
    /// A container that waits to be used for an attack.
    fn attacker(&self) -> Bundle {
        let bundle = Bundle::new(self.root, &["/bin/sh", "-c", WAIT, "end"]);
        bundle.start(&self.collector.state_dir());
        self.collector
            .wait_for("the attacker is seen", |e| !e.of_container(&bundle.id).opens("/etc/hostname").is_empty());
        bundle
    }

    fn attack(&self, bundle: &Bundle, script: &str) {
        attack::run(&self.collector, &bundle.id, script);
    }

    /// How often the bystander's numbers were told.
    fn made(&self, events: &Events) -> BTreeMap<u64, usize> {
        let mut made = BTreeMap::new();
        for event in events.of_container(&self.bystander.id).filter(|e| e.is(&OPENS)).0 {
            if let Some(n) = event.text("fd.name").strip_prefix("/n/").and_then(|n| n.parse().ok()) {
                *made.entry(n).or_default() += 1;
            }
        }
        made
    }

    /// Waits until the container is told to have tampered in this way.
    fn tampered(&self, bundle: &Bundle, reason: &str) -> Events {
        let by = |e: &Events| e.of_container(&bundle.id).filter(|e| e.kind() == "porthole.tamper");
        let all = self.collector.wait_for(&format!("{reason} is told"), |e| {
            !by(e).filter(|e| e.text("porthole.reason") == reason).is_empty()
        });
        by(&all)
    }

    /// Nothing has happened to anyone else.
    fn end(mut self) {
        assert!(self.collector.alive());
        std::fs::write(self.root.join("tmp/end"), "").expect("an own file");
        let made = wait::until("the bystander ends", program::LIMIT, || {
            let output = self.bystander.output();
            output.split("made ").nth(1)?.split('.').next()?.parse::<u64>().ok()
        });
        let events = self.collector.wait_for("all records of the bystander", |e| self.made(e).len() as u64 >= made);
        let told = self.made(&events);
        assert!(told.len() as u64 == made && told.values().all(|n| *n == 1), "each once: {made} made, {told:?}");
        let own = events.of_container(&self.bystander.id);
        own.assert_once_and_in_order();
        let odd = own.filter(|e| e.is(&["porthole.tamper", "porthole.drop"]));
        assert!(odd.is_empty(), "told of the bystander: {odd}");
        let view = self.collector.container(&self.bystander.id).expect("it is listed");
        assert!(view["lost"].as_object().is_none_or(|m| m.is_empty()), "{view}");
        let resident = attack::resident_kib(self.collector.worker().expect("it has a worker"));
        assert!(resident < 200 * 1024, "{resident} KiB");
    }
}

// -- rings ------------------------------------------------------------------------------------------------------------

fn rings_taken_away_while_they_are_open(f: &Fixture) {
    let scene = f.scene();
    let (unlinked, replaced) = (scene.attacker(), scene.attacker());
    // pid 1 is the shell, whose ring stays open
    let own = "import os\nos.chdir(os.environ['RINGS'])\n[own]=[n for n in os.listdir('.') if n.endswith('-1')]\n";
    scene.attack(&unlinked, &format!("{own}os.unlink(own)"));
    scene.attack(&replaced, &format!("{own}open('0-0','wb').write(open(own,'rb').read())\nos.rename('0-0', own)"));
    scene.tampered(&unlinked, "ring_unlinked");
    scene.tampered(&replaced, "ring_replaced");
    // what the process goes on writing is read on
    for bundle in [&unlinked, &replaced] {
        let opens = |e: &Events| e.of_container(&bundle.id).opens("/etc/hostname").len();
        let before = opens(&scene.collector.events());
        scene.collector.wait_for("records after it", |e| opens(e) > before + 5);
    }
    scene.end();
}

fn rings_cut_while_they_are_open(f: &Fixture) {
    let scene = f.scene();
    let (whole, part) = (scene.attacker(), scene.attacker());
    let own = "import os\nos.chdir(os.environ['RINGS'])\n[own]=[n for n in os.listdir('.') if n.endswith('-1')]\n";
    scene.attack(&whole, &format!("{own}os.truncate(own, 0)"));
    scene.attack(&part, &format!("{own}os.truncate(own, 2100)"));
    scene.tampered(&whole, "ring_cut");
    scene.tampered(&part, "ring_cut");
    scene.end();
}

/// Positions that go back or far ahead, lengths that lie, bytes that change between a look and the next.
fn a_ring_scribbled_over_while_it_is_read(f: &Fixture) {
    let scene = f.scene();
    let attacker = scene.attacker();
    let before = std::time::Instant::now();
    scene.attack(
        &attacker,
        "import mmap,os,random,struct,time\n\
         os.chdir(os.environ['RINGS'])\n\
         [own]=[n for n in os.listdir('.') if n.endswith('-1')]\n\
         f=open(own,'r+b'); m=mmap.mmap(f.fileno(), 0); random.seed(1); until=time.time()+3\n\
         while time.time()<until:\n\
         \x20   for n in range(200):\n\
         \x20       at=random.randrange(2048,len(m)-8); m[at:at+8]=random.randbytes(8)\n\
         \x20   head=struct.unpack('<Q',m[64:72])[0]; seq,pos=head>>32,head&0xffffffff\n\
         \x20   seq,pos=random.choice([(seq,pos-5),(seq-1,pos),(seq+2**31,pos+9),(seq+100,pos+2000),(0,0),\n\
         \x20                          (seq+3,pos+2**31),(2**32-1,2**32-1),(seq,pos+70000)])\n\
         \x20   m[64:72]=struct.pack('<Q',(seq%2**32)<<32|pos%2**32)\n\
         \x20   m[128:132]=random.randbytes(4); m[random.randrange(0,64)]=random.randrange(256)\n\
         \x20   time.sleep(0.001)\n",
    );
    let told = scene.tampered(&attacker, "ring_head").len() as u64;
    // told once and again, not each of the thousand times
    assert!(told <= 25 * (before.elapsed().as_secs() + 1), "{told} events");
    let output = attacker.output();
    assert!(output.is_empty(), "the program does not notice: {output}");
    scene.end();
}

fn nodes_and_sockets_among_the_rings(f: &Fixture) {
    let scene = f.scene();
    let attacker = scene.attacker();
    scene.attack(
        &attacker,
        "import os,socket,stat\n\
         os.chdir(os.environ['RINGS'])\n\
         os.mknod('char', stat.S_IFCHR|0o666, os.makedev(1,5)); os.mknod('block', stat.S_IFBLK|0o666, os.makedev(7,0))\n\
         os.mkfifo('fifo'); os.mkdir('directory'); os.symlink('/etc/shadow','link'); os.symlink('link','to-link')\n\
         os.symlink(os.path.join('..','mnt','libporthole.so'),'library')\n\
         socket.socket(socket.AF_UNIX).bind('socket')\n\
         os.link([n for n in os.listdir('.') if n.endswith('-1')][0],'hard')\n",
    );
    let told = scene.tampered(&attacker, "ring_no_file");
    scene.tampered(&attacker, "ring_linked");
    assert!(told.0.iter().all(|e| e.text("container.full_id") == attacker.id));
    scene.end();
}

fn a_share_without_bytes_or_inodes(f: &Fixture) {
    let scene = f.scene();
    for fill in [
        "f=open('fill','wb')\ntry:\n\x20   while True: f.write(b'x'*65536)\nexcept OSError: pass\n",
        "try:\n\x20   for n in range(100000): open(f'x{n}','x')\nexcept OSError: pass\n",
    ] {
        let attacker = scene.attacker();
        scene.attack(&attacker, &format!("import os\nos.chdir(os.environ['RINGS'])\n{fill}"));
        // a new process has no room for a ring: it runs as ever, and what root does is seen through the shared ring
        let out = attacker.exec(&scene.collector.state_dir(), &[&attacker.id, "/t/probe", "/etc/passwd"]);
        assert_eq!(out.status, 3, "{out:?}");
        scene.collector.wait_for("it is seen", |e| !e.of_container(&attacker.id).opens("/etc/passwd").is_empty());
    }
    scene.end();
}

// -- the socket -------------------------------------------------------------------------------------------------------

fn silent_connections_by_the_thousand(f: &Fixture) {
    let scene = f.scene();
    let attacker = scene.attacker();
    let held = scene.collector.scratch().join("held");
    let script = "import os,socket,time\n\
         os.chdir(os.environ['MNT'])\n\
         kept=[]; until=time.time()+30\n\
         while time.time()<until:\n\
         \x20   s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET); s.setblocking(False)\n\
         \x20   try: s.connect('sock'); kept.append(s)\n\
         \x20   except OSError: time.sleep(0.001)\n\
         \x20   if len(kept)==3000: open(os.environ['HELD'],'w')\n\
         \x20   if len(kept)>10000: kept=kept[5000:]\n";
    let mut command = attack::script(
        &scene.collector,
        &attacker.id,
        &format!("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE,(16000,16000))\n{script}"),
    );
    let mut holder = Running::start(command.env("HELD", &held));
    wait::until_true("three thousand connections", || held.exists());
    // a process of the very container that does it is found by its ring
    let out = attacker.exec(&scene.collector.state_dir(), &[&attacker.id, "/t/probe", "/etc/passwd"]);
    assert_eq!(out.status, 3, "{out:?}");
    scene.collector.wait_for("it is seen", |e| !e.of_container(&attacker.id).opens("/etc/passwd").is_empty());
    scene.tampered(&attacker, "connections");
    let fds = std::fs::read_dir(format!("/proc/{}/fd", scene.collector.worker().expect("it has a worker")))
        .expect("it runs")
        .count();
    assert!(fds < 500, "{fds} descriptors");
    holder.kill();
    scene.end();
}

// -- the share --------------------------------------------------------------------------------------------------------

fn with_capability(bundle: Bundle, capability: &str) -> Bundle {
    bundle.with(|spec| {
        for set in ["bounding", "effective", "permitted"] {
            let caps = spec["process"]["capabilities"][set].as_array_mut().expect("runc spec has capabilities");
            caps.push(capability.into());
        }
    })
}

fn a_share_mounted_writable(f: &Fixture) {
    let mut scene = f.scene();
    let script = "mount -o remount,rw,bind /dev/porthole; true >/dev/porthole/new; mkdir /dev/porthole/directory; \
                  head -c 1300 /dev/zero >>/dev/porthole/libporthole.so; exit 0";
    let attacker = with_capability(Bundle::new(f.root.as_path(), &["/bin/sh", "-c", script]), "CAP_SYS_ADMIN");
    let out = attacker.run(Some(&scene.collector.state_dir()));
    assert!(!out.errors().contains("denied"), "it could mount: {out:?}");
    scene.tampered(&attacker, "mnt_changed");
    // what it left in the place of the socket keeps nobody from anything, after a restart either
    let second = scene.attacker();
    scene.attack(
        &second,
        "import os\nos.chdir(os.environ['MNT'])\nos.unlink('sock'); os.mkdir('sock'); os.symlink('/etc/shadow','sock/x')\n",
    );
    scene.tampered(&second, "mnt_changed");
    scene.collector.stop();
    scene.collector.restart();
    let before = scene.collector.events().of_container(&second.id).opens("/etc/hostname").len();
    scene.collector.wait_for("its rings are read all the same", |e| {
        e.of_container(&second.id).opens("/etc/hostname").len() > before + 3
    });
    scene.end();
}

fn a_share_that_cannot_be_written(f: &Fixture) {
    let scene = f.scene();
    let script = "cd /dev/porthole; for f in libporthole.so sock new rings/../new; do true 2>/dev/null >$f && echo wrote $f; \
                  dd if=/bin/true of=$f conv=notrunc 2>/dev/null && echo over $f; done; \
                  mount -o remount,rw,bind /dev/porthole 2>/dev/null && echo mounted; cat /etc/secret; exit 8";
    let attacker = Bundle::new(f.root.as_path(), &["/bin/sh", "-c", script]);
    let out = attacker.run(Some(&scene.collector.state_dir()));
    assert_eq!((out.status, out.text().as_str()), (8, "secret"), "{out:?}");
    let events = scene
        .collector
        .wait_for("it is seen to the end", |e| !e.of_container(&attacker.id).opens("/etc/secret").is_empty());
    let told = events.of_container(&attacker.id).filter(|e| e.kind() == "porthole.tamper");
    assert!(told.is_empty(), "nothing was changed: {told}");
    scene.end();
}

// -- registrations ----------------------------------------------------------------------------------------------------

fn registrations_that_are_none(f: &Fixture) {
    let scene = f.scene();
    let script = "import json,os,time\n\
         os.chdir(os.path.join(os.environ['RINGS'],'../../..'))\n\
         def make(name, rings=True):\n\
         \x20   for d in ['execs','share/mnt']+(['share/rings'] if rings else []): os.makedirs(f'{name}/{d}')\n\
         \x20   return f'{name}/container.json'\n\
         os.mkfifo(make('fifo')); os.mkdir(make('directory')); os.symlink('/etc/passwd',make('link'))\n\
         os.symlink('/dev/zero',make('zero')); open(make('garbage'),'wb').write(os.urandom(5000))\n\
         open(make('huge'),'w').write(json.dumps({'id':'huge','name':'x'*12000000}))\n\
         open(make('deep'),'w').write('['*1000000)\n\
         os.symlink('/etc','elsewhere'); os.symlink('loop','loop'); open('file','w'); os.mkfifo('pipe')\n\
         for odd in ['a b','new\\nline','\\x1b[31m','ü','x'*250]: os.makedirs(f'{odd}/share/rings'); open(f'{odd}/container.json','w').write('{}')\n\
         p=make('rings-link',False); os.symlink('/etc','rings-link/share/rings'); open(p,'w').write('{}')\n\
         p=make('mnt-link'); os.rmdir('mnt-link/share/mnt'); os.symlink('/tmp','mnt-link/share/mnt'); open(p,'w').write('{}')\n\
         p=make('race'); q=make('race2'); until=time.time()+2\n\
         while time.time()<until:\n\
         \x20   open('race/tmp','w').write('{\"id\":\"race\"}'); os.rename('race/tmp',p); os.rename('race','away'); os.symlink('/etc','race')\n\
         \x20   os.unlink('race'); os.rename('away','race')\n\
         \x20   open(q,'w').write('{'); os.unlink(q); os.mkfifo(q); os.unlink(q); os.symlink('../fifo/container.json',q); os.unlink(q)\n";
    attack::run(&scene.collector, &scene.bystander.id, script);
    let unreadable = |status: &Value| status["refused"]["registration_unreadable"].as_u64().unwrap_or(0);
    wait::until_true("each is complained about", || unreadable(&scene.collector.status()) >= 6);
    let events = scene.collector.events();
    for name in
        ["fifo", "directory", "link", "zero", "garbage", "huge", "deep", "elsewhere", "loop", "rings-link", "a b"]
    {
        assert!(events.of_container(name).is_empty(), "{name} is taken for a container");
    }
    assert!(!Path::new("/tmp/sock").exists(), "a link was followed");
    scene.end();
}

fn ids_that_lead_elsewhere(f: &Fixture) {
    let scene = f.scene();
    let state = scene.collector.state_dir();
    let before = scene.collector.listing(&state.join("containers"));
    for id in ["../../../x", "..", ".", "a/b", "a\nb", "\u{1b}[31m", "ü", "a b", &"x".repeat(1000)] {
        let bundle = Bundle::new(f.root.as_path(), &["/bin/true"]);
        let run = |state: Option<&Path>| {
            let mut command = bundle.runtime(state);
            program::run(command.arg("run").arg("--bundle").arg(bundle.path()).args(["--", id])).status
        };
        assert_eq!(run(None), run(Some(&state)), "{id:?}");
        let mut delete = bundle.runtime(Some(&state));
        program::run(delete.args(["delete", "--force", "--", id]));
    }
    assert_eq!(scene.collector.listing(&state.join("containers")), before, "nothing is registered");
    assert!(!state.join("x").exists() && !scene.collector.scratch().join("x").exists());
    scene.end();
}

fn annotations_that_are_long_and_obey_nobody(f: &Fixture) {
    let scene = f.scene();
    let evil = format!("\u{1b}]0;title\u{7}\u{1b}[2J\r\n\0\u{9b}31m{}", "x".repeat(2_000_000));
    let attacker = Bundle::new(f.root.as_path(), &["/bin/sh", "-c", "cat /etc/secret; exit 8"]).with(|spec| {
        let names =
            ["io.kubernetes.cri.container-name", "io.kubernetes.cri.image-name", "io.kubernetes.cri.sandbox-name"];
        let mut all: serde_json::Map<String, Value> =
            names.iter().map(|n| ((*n).to_owned(), evil.clone().into())).collect();
        all.extend((0..300).map(|n| (format!("{n}{evil:.20}"), "y".repeat(20_000).into())));
        spec["annotations"] = all.into();
        spec["hostname"] = "host".into();
    });
    let out = attacker.run(Some(&scene.collector.state_dir()));
    assert_eq!(out.status, 8, "{out:?}");
    let events =
        scene.collector.wait_for("it is seen", |e| !e.of_container(&attacker.id).opens("/etc/secret").is_empty());
    for event in events.of_container(&attacker.id).0 {
        assert!(event.0.to_string().len() < 32 * 1024, "{}", &event.0.to_string()[..1000]);
        assert!(event.text("container.name").starts_with("\u{1b}]0;title"), "JSON keeps what it can escape");
    }
    for args in
        [&["containers"][..], &["status"], &["events", "--last", "20"], &["events", "--last", "20", "--format", "json"]]
    {
        let out = program::run(&mut scene.collector.porthole(args));
        let obeyed = out.stdout.iter().chain(&out.stderr).find(|b| **b < b' ' && !b"\n\t".contains(b));
        assert!(obeyed.is_none() && out.status == 0, "{args:?}: {obeyed:?}");
        assert!(!String::from_utf8_lossy(&out.stdout).contains('\u{9b}'), "{args:?}");
    }
    scene.end();
}
