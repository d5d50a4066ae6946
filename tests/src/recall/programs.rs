//! The programs of the recall and transparency suites.
//!
//! Every script runs in an empty directory that is also its `HOME`, prints the same each time (no pids, dates or
//! temporary names; whether `sh` tells of a killed job depends on when it looks, so it waits for one without words), ends
//! what it has started and leaves nothing behind.

/// What a program's calls go through, and so what may be expected of its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Through {
    /// The GNU C library.
    Glibc,
    /// musl: depth `symbols`, as its system calls are not patched.
    Musl,
    /// System calls of its own, outside any C library: not seen by a library.
    Raw,
}

/// A program, and a shell script in which it does real work and ends by itself.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Name in reports.
    pub name: &'static str,
    /// Commands without which there is nothing to run.
    pub needs: &'static [&'static str],
    /// See there.
    pub through: Through,
    /// Whether it gets a network namespace of its own, with nothing but loopback: its ports are free, and the same
    /// each time.
    pub alone: bool,
    /// For `sh`.
    pub script: &'static str,
}

const fn glibc(name: &'static str, needs: &'static [&'static str], script: &'static str) -> Program {
    Program { name, needs, through: Through::Glibc, alone: false, script }
}

impl Program {
    const fn through(self, through: Through) -> Program {
        Program { through, ..self }
    }

    const fn alone(self) -> Program {
        Program { alone: true, ..self }
    }
}

/// All of them. What is not from Debian is made by `super::tools`.
pub const PROGRAMS: &[Program] = &[
    glibc("dash", &["dash"], "dash -c 'for i in 1 2 3; do echo $i >f$i; cat f$i; done; cat nothere; exit 0'"),
    glibc(
        "bash",
        &["bash"],
        "bash -c 'cat <(ls) </dev/null; echo hi >/dev/tcp/127.0.0.1/9; nosuchcommand; echo a >>f; read x <f; (exit 3); echo $x $?'",
    ),
    glibc("coreutils", &["cp"], "cp /etc/passwd a; sort a >b; head -1 b; wc -l a b; env -i env ls; rm a b"),
    glibc(
        "find",
        &["find"],
        "find /etc/apt -type f -exec head -c1 {} +; find /etc/apt -name '*.list' -exec cat {} ';'",
    ),
    glibc("tar", &["tar", "gzip"], "tar czf t.tgz -C /etc apt; mkdir x; tar xzf t.tgz -C x; ls x"),
    glibc(
        "git",
        &["git"],
        "export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
        git config --global user.name a; git config --global user.email a@b
        git init -q r 2>/dev/null; cd r; echo a >a; git add a; git commit -qm a; git log; git gc -q; git clone -q . ../c; git fsck",
    ),
    glibc(
        "perl",
        &["perl"],
        r#"perl -MIO::Socket::INET -e '$| = 1; open F,"<","/etc/passwd"; open G,">>","log"; system "ls"; print `id -u`; IO::Socket::INET->new("127.0.0.1:9"); exec "nosuchprogram", "x"; print "$!\n"'"#,
    ),
    glibc(
        "python subprocess",
        &["python3"],
        r#"cat >a.py <<'END'
import os, subprocess, tempfile
subprocess.run(["ls"])
subprocess.run("cat /etc/hostname >/dev/null", shell=True)
subprocess.run(["pwd"], cwd="/", env={})
subprocess.run(["true"], close_fds=False)
os.popen("echo popen").read()
with tempfile.NamedTemporaryFile() as f: os.open(f.name, os.O_RDWR | os.O_APPEND)
try: subprocess.run(["./nothere"])
except OSError as e: print(e)
END
python3 a.py"#,
    ),
    glibc(
        "python asyncio",
        &["python3"],
        r#"cat >a.py <<'END'
import asyncio
async def main():
    process = await asyncio.create_subprocess_exec("ls")
    await process.wait()
    await (await asyncio.create_subprocess_shell("echo shell")).wait()
    try: await asyncio.open_connection("127.0.0.1", 9)
    except OSError as e: print(e.errno)
    async def answer(reader, writer):
        writer.write(await reader.readline())
        writer.close()
    async with await asyncio.start_server(answer, "127.0.0.1", 7007):
        reader, writer = await asyncio.open_connection("localhost", 7007)
        writer.write(b"line\n")
        print(await reader.readline())
        writer.close()
asyncio.run(main())
END
python3 a.py"#,
    )
    .alone(),
    glibc(
        "python multiprocessing",
        &["python3"],
        r#"cat >a.py <<'END'
import multiprocessing
def read(name):
    with open(name) as f: return len(f.readlines()) > 0
if __name__ == "__main__":
    for way in "fork", "spawn", "forkserver":
        with multiprocessing.get_context(way).Pool(2) as pool: print(way, pool.map(read, ["/etc/passwd", "/etc/group"]))
END
python3 a.py"#,
    ),
    glibc(
        "node",
        &["node"],
        r#"cat >a.js <<'END'
const fs = require("fs"), child = require("child_process"), net = require("net");
const { Worker, isMainThread } = require("worker_threads");
if (!isMainThread) { fs.readFileSync("/etc/group"); return; }
fs.writeFileSync("o", fs.readFileSync("/etc/passwd"));
fs.appendFileSync("o", "x");
console.log(fs.readdirSync(".").join(), String(child.execFileSync("ls")), String(child.execSync("echo shell")));
try { child.execFileSync("./nothere"); } catch (e) { console.log(e.code); }
(async () => {
    await fs.promises.readFile("/etc/hostname");
    await new Promise(done => new Worker(__filename).on("exit", done));
    await new Promise(done => net.connect(9, "127.0.0.1").on("error", e => done(console.log(e.code))));
})();
END
node a.js"#,
    ),
    glibc(
        "java",
        &["javac"],
        r#"cat >A.java <<'END'
import java.nio.file.*;
public class A {
    public static void main(String[] args) throws Exception {
        Files.write(Path.of("o"), Files.readAllBytes(Path.of("/etc/passwd")));
        Files.writeString(Path.of("o"), "x", StandardOpenOption.APPEND);
        try (var list = Files.list(Path.of("."))) { System.out.println(list.count()); }
        System.out.println(new ProcessBuilder("sh", "-c", "ls").inheritIO().start().waitFor());
        try { new ProcessBuilder("./nothere").start(); } catch (java.io.IOException e) { System.out.println("none"); }
        try (var socket = new java.net.Socket("127.0.0.1", 9)) { } catch (java.io.IOException e) { System.out.println("refused"); }
    }
}
END
java -XX:-UsePerfData -XX:TieredStopAtLevel=1 -XX:+UseSerialGC A.java"#,
    ),
    glibc(
        "curl",
        &["curl", "python3"],
        "mkdir www; echo page >www/page; echo 'user = a:b' >rc
        python3 -m http.server 8080 --bind 127.0.0.1 --directory www >log 2>&1 & server=$!
        until curl -s http://127.0.0.1:8080/ >/dev/null; do sleep 0.1; done
        curl -s http://127.0.0.1:8080/page; curl -s -K rc http://localhost:8080/page
        curl -s -o o http://127.0.0.1:8080/none; cat o; curl -s http://127.0.0.1:9/; echo $?
        curl -s file://$PWD/www/page -o copy; kill $server; wait $server 2>/dev/null; ls",
    )
    .alone(),
    glibc(
        "ssh and sshd",
        &["ssh", "sshd", "ssh-keygen"],
        "ssh -F none -p 9 -o BatchMode=yes 127.0.0.1 true
        # root's own .bashrc is not read where SHLVL says that this is an inner shell
        # as Debian's start script does: it stays, as others may be at it
        mkdir -p -m 755 /run/sshd
        ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f key; cp key.pub keys; chmod 600 keys
        cat >server <<END
Port 2022
ListenAddress 127.0.0.1
HostKey $PWD/host
AuthorizedKeysFile $PWD/keys
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
SetEnv SHLVL=1
Subsystem sftp internal-sftp
END
        $(command -v sshd) -D -f $PWD/server -E log & server=$!
        cat >client <<END
IdentityFile $PWD/key
UserKnownHostsFile $PWD/known
StrictHostKeyChecking no
LogLevel ERROR
Port 2022
END
        until ssh -F client root@127.0.0.1 true 2>/dev/null || [ $((n += 1)) -gt 100 ]; do sleep 0.1; done
        ssh -F client root@127.0.0.1 'echo in; cat /etc/passwd | head -1'
        echo from | ssh -F client root@127.0.0.1 cat
        echo \"get /etc/hostname $PWD/got\" | sftp -q -b - -F client root@127.0.0.1 >/dev/null; ls got
        kill $server; wait $server 2>/dev/null",
    )
    .alone(),
    glibc(
        "nginx",
        &["nginx", "curl"],
        r#"mkdir www temp; echo page >www/page; chmod -R a+rX .
        cat >conf <<END
user nobody nogroup;
daemon off;
worker_processes 2;
pid $PWD/pid;
error_log $PWD/error;
events { }
http {
    access_log $PWD/access;
    client_body_temp_path temp/a; proxy_temp_path temp/b; fastcgi_temp_path temp/c; uwsgi_temp_path temp/d; scgi_temp_path temp/e;
    server { listen 127.0.0.1:8081; root $PWD/www; location /up { proxy_pass http://127.0.0.1:9; } }
}
END
        nginx -e $PWD/error -p $PWD -c $PWD/conf & server=$!
        until curl -s http://127.0.0.1:8081/ >/dev/null; do sleep 0.1; done
        for path in page page none up; do curl -s -o o -w '%{http_code}\n' http://127.0.0.1:8081/$path; done
        kill -HUP $server; curl -s http://127.0.0.1:8081/page; kill -QUIT $server; wait $server; ls"#,
    )
    .alone(),
    glibc(
        "redis",
        &["redis-server", "redis-cli"],
        "redis-server --port 6390 --bind 127.0.0.1 --dir . --save '' --appendonly yes >log 2>&1 & server=$!
        c='redis-cli -p 6390'
        until $c ping >/dev/null 2>&1; do sleep 0.1; done
        $c set a 1; $c incr a; $c lpush l x y; $c save; $c bgsave >/dev/null
        until $c info persistence | grep -q rdb_bgsave_in_progress:0; do sleep 0.1; done
        $c bgrewriteaof >/dev/null; until $c info persistence | grep -q aof_rewrite_in_progress:0; do sleep 0.1; done
        $c get a; $c shutdown nosave; wait $server; ls",
    )
    .alone(),
    glibc(
        "postgres",
        &["/usr/lib/postgresql/15/bin/initdb", "psql", "setpriv"],
        "PATH=/usr/lib/postgresql/15/bin:$PATH; chmod 755 .; mkdir p; chown 65534:65534 p; cd p
        as() { setpriv --reuid=65534 --regid=65534 --clear-groups -- \"$@\"; }
        as initdb -D data -U postgres --no-sync --locale=C -A trust >/dev/null
        as pg_ctl -D data -o \"-p 5439 -c listen_addresses=127.0.0.1 -k $PWD -F\" -l log -w start >/dev/null
        sql() { psql -h $1 -p 5439 -U postgres -Atc \"$2\"; }
        sql 127.0.0.1 'create table t(a int)'; sql $PWD 'insert into t select generate_series(1, 1000)'
        sql 127.0.0.1 'select sum(a) from t'; sql $PWD \"copy t to program 'wc -l >count'\"; cat data/count
        sql $PWD 'checkpoint'; as pg_ctl -D data -m fast -w stop >/dev/null; ls data/global/pg_control",
    )
    .alone(),
    glibc(
        "sqlite3",
        &["sqlite3"],
        "sqlite3 d.db 'create table t(a); insert into t values(1); select * from t'; sqlite3 d.db 'pragma journal_mode=wal; insert into t values(2)' '.shell echo shell' '.dump'",
    ),
    glibc("gcc", &["gcc"], "echo 'int main(){return 0;}' >a.c; gcc a.c -o a && ./a"),
    glibc(
        "g++",
        &["g++"],
        "printf '#include <fstream>\\nint main(){std::ifstream(\"/etc/passwd\");}' >a.cc; g++ a.cc -o a && ./a",
    ),
    glibc(
        "make",
        &["make", "gcc"],
        r#"printf 'all: a.o b.o\n\tgcc -o $@ a.o b.o\n\tcat $^ | wc -c >size\n%%.o: %%.c\n\tgcc -c $<\n' >Makefile
        echo 'int main(){return 0;}' >a.c; echo 'int b;' >b.c; make -s -j3; ls"#,
    ),
    glibc(
        "cargo",
        &["cargo", "cc"],
        "mkdir src; printf '[package]\\nname = \"tiny\"\\nedition = \"2021\"\\n' >Cargo.toml
        echo 'fn main() { println!(\"{}\", std::fs::read_to_string(\"Cargo.toml\").unwrap().len()) }' >src/main.rs
        CARGO_HOME=$PWD/home cargo build --offline -q && target/debug/tiny",
    ),
    glibc("awk", &["awk"], r#"awk -F: '{print $1 >"o"} END{system("ls"); "echo x"|getline d; print d}' /etc/passwd"#),
    glibc("sed", &["sed"], "cp /etc/passwd p; sed -i s/root/toor/ p; sed -n 1p p; sed -n 'w q' p; ls"),
    glibc(
        "busybox of musl",
        &["busybox-musl"],
        "busybox-musl ash -c 'for i in 1 2 3; do echo $i >>f; busybox-musl cat f; done; busybox-musl ls | busybox-musl sort; busybox-musl nothere; ./nothere'
        busybox-musl tar cf t.tar f; busybox-musl tar tf t.tar; busybox-musl find /etc/apt -type f -exec busybox-musl head -c1 '{}' +
        busybox-musl sed -i s/1/x/ f; busybox-musl awk '{ print; system(\"busybox-musl echo $0\") }' f; echo f | busybox-musl xargs busybox-musl wc
        busybox-musl wget -q http://127.0.0.1:9/; busybox-musl env -i /bin/echo x; busybox-musl cp f g; busybox-musl rm f",
    )
    .through(Through::Musl),
    glibc("C, musl", &["jobs-musl"], "jobs-musl").through(Through::Musl).alone(),
    glibc("C++", &["library-cpp"], "library-cpp"),
    glibc("rust std", &["porthole-recall-std"], "porthole-recall-std").alone(),
    glibc("rust rustix libc", &["porthole-recall-rustix-libc"], "porthole-recall-rustix-libc").alone(),
    glibc("rust rustix raw", &["porthole-recall-rustix-raw"], "porthole-recall-rustix-raw").through(Through::Raw).alone(),
    glibc("yamllint", &["yamllint"], "printf 'a:  1\\nb: [1,2]\\n' >a.yml; yamllint -f parsable a.yml; yamllint -v"),
    glibc("prettier", &["prettier", "node"], "echo 'let  a = [1,2]' >a.js; prettier a.js; prettier --write --log-level silent a.js; cat a.js"),
];
