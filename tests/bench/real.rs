//! Real work: shells that live as long as the benchmark, one bare and one for each depth, do the same jobs in turns.
//! Two shells are bare: what they differ by is noise, and where that is large, no verdict is given.
//! What a `porthole run` costs at its start is not in the figures; each process that a shell starts is.

use super::{median, pretty};
use porthole_tests::binaries;
use porthole_tests::scratch::Scratch;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// The shells, in the order of the columns.
const DEPTHS: [&str; 4] = ["bare", "bare", "symbols", "auto"];
/// How far two bare shells may be apart: beyond that the machine is too busy for a verdict.
const NOISE: f64 = 0.03;
/// Reads a line, does it, says how that ended.
const SHELL: &str = "while read -r line; do eval \"$line\" </dev/null >/dev/null 2>&1; echo $? $$; done";

/// A job, the most it may cost at each depth, and what must be installed for it.
struct Job {
    name: &'static str,
    script: String,
    goals: [f64; 2],
    needs: &'static str,
}

fn jobs(scratch: &Scratch) -> Vec<Job> {
    let job = |name, needs, goals, script: &str| Job { name, needs, goals, script: script.to_owned() };
    let dir = scratch.dir("configure");
    // what autoconf's scripts do all the time: write a program, compile it, look at what came out, remove it
    let check = format!(
        "cd {}; for n in 1 2 3 4 5 6 7 8 9 10; do echo \"#include <stdio.h>\nint main(void) {{ return printf != 0 && \
         $n; }}\" >c.c; cc -c c.c 2>err && grep -q error err || sed -n 1p c.c | tr a-z A-Z >log; test -s c.o && rm -f \
         c.o err; expr $n + 1; uname -m; done",
        dir.display()
    );
    let dir = scratch.dir("servers");
    let d = dir.display();
    // servers and their clients, from start to end; both are hooked
    let redis = format!(
        "redis-server --port 0 --unixsocket {d}/redis --save '' --dir {d} & until redis-cli -s {d}/redis ping | grep \
         PONG; do sleep 0.01; done; redis-benchmark -s {d}/redis -t set,get -c 8 -n 50000 -q; redis-cli -s {d}/redis \
         shutdown nosave; wait"
    );
    let conf = format!(
        "pid {d}/pid; error_log {d}/log; worker_processes 1; events {{ }} http {{ access_log off; server {{ listen \
         127.0.0.1:18080; root /usr/share/common-licenses; }} }}"
    );
    std::fs::write(dir.join("nginx.conf"), conf).expect("an own file");
    let nginx = format!(
        "nginx -c {d}/nginx.conf -g 'daemon off;' & until ab -q -n 1 http://127.0.0.1:18080/BSD; do sleep 0.01; done; \
         ab -q -c 8 -n 5000 http://127.0.0.1:18080/BSD && kill -QUIT $! && wait $!"
    );
    vec![
        job("redis: 100000 requests", "redis-benchmark", [1.05; 2], &redis),
        job("nginx: 5000 connections with a request each", "nginx", [1.05; 2], &nginx),
        job("configure: 10 checks that compile", "cc", [1.05; 2], &check.replace('\n', "\\n")),
        job(
            "python: imports",
            "python3",
            [1.05; 2],
            "python3 -c 'import asyncio, http.client, json, email, sqlite3, xml.dom.minidom, unittest'",
        ),
        job("find and cat over /usr/include", "find", [1.05; 2], "find /usr/include -type f -exec cat {} +"),
        job(
            "exec: 50 times /bin/true",
            "true",
            [1.10, 1.15],
            "n=50; while [ $n -gt 0 ]; do /bin/true; n=$((n-1)); done",
        ),
    ]
}

struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(depth: &str, scratch: &Scratch) -> Shell {
        let mut command = Command::new("/bin/sh");
        if depth != "bare" {
            command = Command::new(binaries::porthole());
            command.args(["run", "--quiet", "--depth", depth, "--", "/bin/sh"]);
            command.env("PORTHOLE_STATE_DIR", scratch.join("r"));
        }
        command.args(["-c", SHELL]).env_remove("LD_PRELOAD");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the shell starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Shell { child, input, output }
    }

    /// Does it; nanoseconds, and the shell's pid.
    fn ask(&mut self, script: &str) -> (f64, u32) {
        let start = Instant::now();
        let input = self.input.as_mut().expect("it is open until the end");
        writeln!(input, "{script}").expect("the shell reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the shell answers");
        let taken = start.elapsed().as_nanos() as f64;
        // a job that fails early would look fast
        let pid = line.trim().strip_prefix("0 ").unwrap_or_else(|| panic!("{line:?} is the end of {script}"));
        (taken, pid.parse().expect("its pid"))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.input = None; // its end
        let _ = self.child.wait();
    }
}

/// Prints a row for each job.
pub fn run(scratch: &Scratch, rounds: usize) {
    let mut shells = DEPTHS.map(|depth| Shell::start(depth, scratch));
    println!("{:<44}{:>11}{:>9}{:>18}{:>18}   goal", "real work", "bare", "again", "symbols", "auto (sites)");
    for job in jobs(scratch) {
        let found = Command::new("which").arg(job.needs).stdout(Stdio::null()).status().is_ok_and(|s| s.success());
        if !found {
            println!("{:<44}not measured: {} is not installed", job.name, job.needs);
            continue;
        }
        let mut times = DEPTHS.map(|_| vec![]);
        for round in 0..rounds.clamp(3, 15) + 1 {
            for n in 0..shells.len() {
                // who begins changes, so that none always runs on another's caches
                let n = (n + round) % shells.len();
                let (ns, _) = shells[n].ask(&job.script);
                if round > 0 {
                    times[n].push(ns);
                }
            }
        }
        let [bare, again, hooked @ ..] = times;
        // the ratio of each round first: what changes slowly falls out
        let ratio = |other: &[f64]| median(&mut bare.iter().zip(other).map(|(b, o)| o / b).collect::<Vec<_>>());
        let noise = ratio(&again);
        print!("{:<44}{:>11}{noise:>9.2}", job.name, pretty(median(&mut bare.clone())));
        let mut verdicts = vec![];
        for (mut hooked, goal) in hooked.into_iter().zip(job.goals) {
            let ratio = ratio(&hooked);
            print!("{:>18}", format!("{} {ratio:.2}", pretty(median(&mut hooked))));
            let verdict = match ratio {
                _ if (noise - 1.0).abs() > NOISE => "(too noisy to tell)",
                r if r <= goal + 0.005 => "ok",
                _ => "over",
            };
            verdicts.push(format!("≤ {goal:.2} {verdict}"));
        }
        println!("   {}", verdicts.join(", "));
    }
    memory(&mut shells);
}

/// What each shell alone has written of its memory.
fn memory(shells: &mut [Shell; 4]) {
    let [bare, _, symbols, auto] = shells.each_mut().map(|shell| private(shell.ask(":").1));
    let more = |kb: u64| kb.saturating_sub(bare);
    let ok = |kb: u64| format!("≤ 64 KiB {}", if more(kb) <= 64 { "ok" } else { "over" });
    println!(
        "{:<44}{:>11}{:>27}{:>18}   {}, {}",
        "private memory of a process, rings aside",
        format!("{bare} KiB"),
        format!("+{} KiB", more(symbols)),
        format!("+{} KiB", more(auto)),
        ok(symbols),
        ok(auto)
    );
}

/// Sum of the mappings' `Private_Dirty`, KiB.
fn private(pid: u32) -> u64 {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let (mut sum, mut ring) = (0, false);
    for line in smaps.lines() {
        match line.split_once(':') {
            Some(("Private_Dirty", kb)) if !ring => {
                sum += kb.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            }
            // a mapping's head begins with its addresses
            Some((head, _)) if head.contains('-') => ring = line.contains("/rings/"),
            _ => {}
        }
    }
    sum
}
