//! What it costs an event to know its container: sharing what was found out once, telling it in the output, and every
//! container field that upstream's rules name. Prints one line; `cargo bench -p porthole-collector --bench enrichment`.

use porthole_collector::event::{ContainerInfo, Labels, Mount};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const ROUNDS: u32 = 2_000_000;
/// With their arguments.
const ASKED: [(&str, Option<&str>); 6] = [
    ("container.id", None),
    ("container.image.repository", None),
    ("container.privileged", None),
    ("container.start_ts", None),
    ("k8s.ns.name", None),
    ("k8s.pod.name", None),
];

fn main() {
    let labels = (0..10).map(|n| (format!("label{n}"), "value".to_owned())).collect();
    let mounts = (0..10).map(|n| Mount::new(&format!("/var/lib/{n}"), "/data", "", true, "rprivate")).collect();
    let info = Arc::new(ContainerInfo {
        id: "0123456789ab".into(),
        name: "web".into(),
        image_repository: "docker.io/library/nginx".into(),
        labels: Labels::new(&labels, 100),
        mounts,
        ..ContainerInfo::default()
    });
    let shared = per_event(|_| drop(black_box(info.clone())));
    let fields = per_event(|n| {
        for (name, argument) in ASKED {
            black_box(info.value(black_box(name), argument, n));
        }
    });
    let mount = per_event(|n| {
        black_box(info.value("container.mount.dest", black_box(Some("/etc*")), n));
    });
    println!(
        "enrichment of an event: {shared:.0} ns; six fields of a rule {fields:.0} ns; a mount of ten by a pattern {mount:.0} ns"
    );
}

fn per_event(mut work: impl FnMut(u64)) -> f64 {
    let best = (0..5).map(|_| {
        let started = Instant::now();
        (0..ROUNDS).for_each(|n| work(u64::from(n)));
        started.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    });
    best.fold(f64::INFINITY, f64::min)
}
