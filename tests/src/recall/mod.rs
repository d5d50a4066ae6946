//! What the kernel saw of a program, beside what porthole recorded of the same execution.

pub mod judge;
pub mod trace;

/// Name, shell script: each does real work and ends by itself.
pub const PROGRAMS: &[(&str, &str)] = &[
    ("dash", "dash -c 'for i in 1 2 3; do echo $i >f$i; cat f$i; done; cat nothere; exit 0'"),
    ("bash", "bash -c 'cat <(ls) </dev/null; echo hi >/dev/tcp/127.0.0.1/9; nosuchcommand; true'"),
    ("coreutils", "cp /etc/passwd a; sort a >b; head -1 b; wc -l a b; env env ls; rm a b"),
    ("find", "find /etc/apt -type f -exec head -c1 {} +; find /etc/apt -name '*.list' -exec cat {} ';'"),
    ("tar", "tar czf t.tgz -C /etc apt; mkdir x; tar xzf t.tgz -C x"),
    (
        "git",
        "git init -q r; cd r; echo a >a; git add a; export GIT_AUTHOR_DATE=@1 GIT_COMMITTER_DATE=@1; git -c user.name=a -c user.email=a@b commit -qm a; git log; git gc -q",
    ),
    (
        "perl",
        "perl -MIO::Socket::INET -e 'open F,\"<\",\"/etc/passwd\"; system \"ls\"; print `id`; IO::Socket::INET->new(\"127.0.0.1:9\")'",
    ),
    (
        "python subprocess",
        "python3 -c 'import subprocess as s; s.run([\"ls\"]); s.run(\"cat /etc/hostname\",shell=True)'",
    ),
    (
        "python asyncio",
        "python3 -c 'import asyncio as a\nasync def m():\n p=await a.create_subprocess_exec(\"ls\"); await p.wait()\n try: await a.open_connection(\"127.0.0.1\",9)\n except OSError: pass\na.run(m())'",
    ),
    ("python multiprocessing", "python3 -c 'import multiprocessing as m; print(m.Pool(2).map(abs,[1,-2]))'"),
    ("node", "node -e 'require(\"fs\").readFileSync(\"/etc/passwd\");require(\"child_process\").execFileSync(\"ls\")'"),
    ("java", "java -version"),
    ("sqlite3", "sqlite3 d.db 'create table t(a); insert into t values(1); select * from t'"),
    ("gcc", "echo 'int main(){return 0;}' >a.c; gcc a.c -o a && ./a"),
    ("g++", "echo '#include <fstream>\nint main(){std::ifstream(\"/etc/passwd\");}' >a.cc; g++ a.cc -o a && ./a"),
    ("make", "printf 'all: a b c\\na b c:\\n\\tcp /etc/passwd $@; ls -l $@\\n' >Makefile; make -j3 >log; wc -l log"),
    ("awk", "awk -F: '{print $1 >\"o\"} END{system(\"ls\"); \"date\"|getline d}' /etc/passwd"),
    ("sed", "cp /etc/passwd p; sed -i s/root/toor/ p; sed -n 1p p"),
    ("ssh", "ssh -F none -p 9 -o BatchMode=yes 127.0.0.1 true; true"),
    (
        "musl",
        "echo '#include <fcntl.h>\nint main(){open(\"/etc/passwd\",0);open(\"/nope\",0);}' >m.c; musl-gcc m.c -o m && ./m",
    ),
];
