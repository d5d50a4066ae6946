//! `kill -9` of the collector and a restart: every record is in the output once.

use porthole_tests::collector::Collector;
use porthole_tests::events::{Events, OPENS};
use porthole_tests::program::Running;
use porthole_tests::{bundle::Bundle, rootfs, scratch, wait};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Opens `/n/0`, `/n/1`, …, fifty at a time with a pause, and says when it has begun and ended. Each block waits until it
/// is let go. A ring holds some 190 numbers (a redirection is five records), so it holds a block, however late a
/// collector comes; and what waits makes no records.
const WRITER: &str = "i=0; echo begun; while [ $i -lt 600 ]; do \
                      [ $((i % 100)) = 0 ] && read _ </go-$((i / 100)); \
                      true 2>/dev/null </n/$i; i=$((i+1)); \
                      [ $((i % 50)) = 0 ] && sleep 0.1; done 2>/dev/null; echo ended; sleep 60";
const NUMBERS: i64 = 600;
const BLOCKS: i64 = 6;

/// Lets the writer go on with a block.
fn let_go(root: &Path, block: i64) {
    // for both: opening waits for nobody, and what is written is there as long as the writer may come for it
    let pipe = File::options().read(true).write(true).open(root.join(format!("go-{block}")));
    let mut pipe = pipe.expect("an own pipe");
    pipe.write_all(b"\n").expect("a pipe has room for a byte");
    std::mem::forget(pipe);
}

/// Lets the writer go on with a block and waits until that is told.
fn let_go_and_wait(collector: &Collector, root: &Path, block: i64) {
    let_go(root, block);
    wait_for_block(collector, block);
}

fn wait_for_block(collector: &Collector, block: i64) {
    let all = (block + 1) * NUMBERS / BLOCKS;
    collector.wait_for("a whole block", |e| numbers(e).len() as i64 >= all);
}

/// How often each number stands in the output.
fn numbers(events: &Events) -> BTreeMap<i64, usize> {
    let mut found = BTreeMap::new();
    for event in events.filter(|e| e.is(&OPENS)).0 {
        if let Some(n) = event.text("fd.name").strip_prefix("/n/").and_then(|n| n.parse().ok()) {
            *found.entry(n).or_default() += 1;
        }
    }
    found
}

fn assert_complete(events: &Events) {
    let found = numbers(events);
    let missing: Vec<i64> = (0..NUMBERS).filter(|n| !found.contains_key(n)).collect();
    assert!(missing.is_empty(), "{} are missing: {:?}…", missing.len(), &missing[..missing.len().min(20)]);
    let twice: Vec<_> = found.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "more than once: {twice:?}");
    events.assert_once_and_in_order();
}

/// Starts the writer; it waits before the first block.
fn start(collector: &Collector, root: &Path) -> Bundle {
    rootfs::make(root);
    (0..BLOCKS).for_each(|block| scratch::fifo(&root.join(format!("go-{block}"))));
    let bundle = Bundle::new(root, &["/bin/sh", "-c", WRITER]);
    bundle.start(&collector.state_dir());
    wait::until_true("the container runs", || bundle.output().contains("begun"));
    bundle
}

#[test]
fn killed_in_the_middle_and_started_again() {
    let mut collector = Collector::start();
    let root = collector.scratch().dir("root");
    let bundle = start(&collector, &root);
    for block in 0..BLOCKS - 1 {
        let before = numbers(&collector.events()).len();
        let_go(&root, block);
        collector.wait_for("events flow", |e| numbers(e).len() > before + 30);
        collector.kill();
        std::thread::sleep(std::time::Duration::from_millis(80));
        collector.restart();
        wait_for_block(&collector, block);
    }
    let_go(&root, BLOCKS - 1);
    wait::until_true("the writer ends", || bundle.output().contains("ended"));
    let events = collector.wait_for("the last record", |e| numbers(e).contains_key(&(NUMBERS - 1)));
    assert_complete(&events);
    for event in &events.filter(|e| e.is(&OPENS)).0 {
        assert_eq!(event.text("container.full_id"), bundle.id, "the tag survives a restart: {event:?}");
    }
}

#[test]
fn away_while_a_container_begins() {
    let mut collector = Collector::stopped();
    let root = collector.scratch().dir("root");
    let bundle = start(&collector, &root);
    let_go(&root, 0);
    std::thread::sleep(std::time::Duration::from_millis(200));
    collector.restart();
    wait_for_block(&collector, 0);
    (1..BLOCKS).for_each(|block| let_go_and_wait(&collector, &root, block));
    wait::until_true("the writer ends", || bundle.output().contains("ended"));
    let events = collector.wait_for("the last record", |e| numbers(e).contains_key(&(NUMBERS - 1)));
    assert_complete(&events);
}

#[test]
fn away_while_a_container_lives_and_ends() {
    let mut collector = Collector::stopped();
    let root = rootfs::of(collector.scratch());
    let bundle = Bundle::new(&root, &["/t/probe", "/etc/secret"]);
    let out = bundle.run(Some(&collector.state_dir()));
    assert_eq!(out.status, 3, "{out:?}");
    collector.restart();
    let events = collector.wait_for("records of a container that is gone", |e| !e.opens("/etc/secret").is_empty());
    assert_eq!(events.opens("/etc/secret").only("the open").text("container.full_id"), bundle.id);
}

#[test]
fn stopped_in_order_and_started_again() {
    let mut collector = Collector::start();
    let root = collector.scratch().dir("root");
    let bundle = start(&collector, &root);
    let_go(&root, 0);
    collector.wait_for("events flow", |e| numbers(e).len() > 30);
    collector.stop();
    collector.restart();
    wait_for_block(&collector, 0);
    (1..BLOCKS).for_each(|block| let_go_and_wait(&collector, &root, block));
    wait::until_true("the writer ends", || bundle.output().contains("ended"));
    let events = collector.wait_for("the last record", |e| numbers(e).contains_key(&(NUMBERS - 1)));
    assert_complete(&events);
}

#[test]
fn a_second_collector_is_refused() {
    let collector = Collector::start();
    let mut second = Running::start(
        collector
            .porthole(&["collector", "--quiet"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null()),
    );
    assert_eq!(second.wait(), 1);
    assert!(collector.status().is_object(), "the first still answers");
}
