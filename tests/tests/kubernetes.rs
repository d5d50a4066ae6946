//! `packaging/kubernetes`: the files are what Kubernetes takes, and what its pods do leaves a node as it was. No cluster is
//! to be had here.

use porthole_tests::kubernetes::{Node, directory, validate};
use porthole_tests::scratch::Scratch;
use porthole_tests::{print_skip, skip};

#[test]
fn the_files_fit_the_schemas() {
    for (name, kinds) in [
        ("porthole.yaml", &["namespace", "runtimeclass", "serviceaccount", "daemonset"][..]),
        ("uninstall.yaml", &["daemonset"]),
    ] {
        let said = match validate(&directory().join(name)) {
            Ok(said) => said.ok(name),
            Err(why) => return print_skip(&format!("no kubernetes-validate: {why}")),
        };
        let said = format!("{}{}", said.text(), said.errors());
        for kind in kinds {
            assert!(said.contains(&format!("passed for resource {kind}/")), "{name}: no {kind}: {said}");
        }
    }
    // and a mistake would be told
    let text = std::fs::read_to_string(directory().join("porthole.yaml")).expect("a file of the package");
    let scratch = Scratch::new();
    let wrong = scratch.file("wrong.yaml", text.replace("hostPID: true", "hostPid: true"));
    match validate(&wrong) {
        Ok(said) => assert_ne!(said.status, 0, "{said:?}"),
        Err(why) => skip!("no kubernetes-validate: {why}"),
    }
}

#[test]
fn a_node_is_told_and_is_as_before_afterwards() {
    let before = "version = 2\n# the node's\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n\
                  SystemdCgroup = true\n";
    let node = Node::new(before);
    let said = node.pod(&["install"]).ok("node install").text();
    assert!(said.contains("+"), "{said}");
    let told = node.config().expect("a configuration");
    assert!(told.contains("BinaryName = \"/opt/porthole/porthole-runc\"") && told.starts_with(before), "{told}");
    assert_eq!(told.matches("SystemdCgroup = true").count(), 2, "{told}");
    for name in ["porthole", "porthole-runc", "libporthole.so"] {
        assert!(node.path("opt/porthole").join(name).is_file(), "{name}");
    }
    // the next pod finds all there
    let again = node.pod(&["install"]).ok("node install again").text();
    assert!(again.contains("nothing to change"), "{again}");
    assert_eq!(node.config().as_deref(), Some(&*told));
    // preStop: the configuration is restored, the programs stay for who runs with them
    node.pod(&["uninstall"]).ok("node uninstall");
    assert_eq!(node.config().as_deref(), Some(before));
    assert!(node.path("opt/porthole/porthole-runc").is_file());
    node.pod(&["uninstall"]).ok("node uninstall again");
    assert_eq!(node.config().as_deref(), Some(before));
    // a configuration that is broken is left alone, and the pod says so and fails
    std::fs::write(node.path("etc/containerd/config.toml"), "version = 2\n[plugins").expect("an own file");
    let said = node.pod(&["install"]);
    assert!(said.status != 0 && said.errors().contains("correct it first"), "{said:?}");
    assert_eq!(node.pod(&["other"]).status, 2);
}
