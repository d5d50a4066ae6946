use super::*;

const ID: &str = "605439acbd4fb18c145069289094b17f17e0cfa938f78012d4960bc797305f22";

/// A path in which `@` stands for an id of 64 digits.
fn path(form: &str) -> String {
    form.replace('@', ID)
}

fn found(form: &str) -> Option<(Kind, String)> {
    Matchers::default().of_path(&path(form)).map(|m| (m.kind, m.id))
}

#[test]
fn every_engines_paths_have_their_container() {
    let whole = [
        (Kind::Podman, "/machine.slice/libpod-@.scope"),
        (Kind::Podman, "/machine.slice/libpod-@.scope/container"),
        (Kind::Podman, "/system.slice/libpod-@"),
        (Kind::Podman, "/libpod_parent/libpod-@"),
        (Kind::Podman, "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-@.scope"),
        (Kind::Podman, "/system.slice/a-b.slice/x@mon.ip-10-0-25-96.service/libpod-payload-@"),
        (Kind::Podman, "/system.slice/a-b.slice/x@mon.service/libpod-payload-@.scope"),
        (Kind::Podman, "/system.slice/x.service/libpod-payload-@.scope/container"),
        (Kind::Docker, "/docker/@"),
        (Kind::Docker, "/docker/0123/docker/@"),
        (Kind::Docker, "/system.slice/docker-@.scope"),
        (Kind::Docker, "/my/own/parent/@"),
        (Kind::Cri, "/kubepods/besteffort/podac04f3f2-1f2c-11e9-b015-1ebee232acfa/@"),
        (Kind::Cri, "/kubepods/besteffort/pod63b3ebfc-2890/crio-@"),
        (Kind::Cri, "/kubepods.slice/kubepods-pod1.slice/cri-containerd-@.scope"),
        (Kind::Cri, "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod6.slice/crio-@.scope"),
        (Kind::Cri, "/kubepods-burstable-podbd12dd3393227d950605a2444b13c27a.slice:cri-containerd:@"),
        (Kind::Cri, "/kubepods.slice/kubepods-pod1.slice/docker-@.scope"),
        (Kind::Cri, "/system.slice/nerdctl-@.scope"),
    ];
    for (kind, form) in whole {
        // the unit of a user has an at-sign of its own
        let form = form.replace("user@1000", "user\u{0}1000").replace("x@mon", "x\u{0}mon");
        let full = path(&form).replace('\u{0}', "@");
        let m = Matchers::default().of_path(&full);
        assert_eq!(m, Some(Match { kind, id: ID[..12].into(), full_id: ID.into() }), "{full}");
    }
    let named = [
        (Kind::Containerd, "/default/test_container", "test_contain"),
        (Kind::Containerd, "/my_very_long_namespace-1.5/test_container", "test_contain"),
        (Kind::Containerd, "/k8s.io/my-test_container", "my-test_cont"),
        (Kind::Containerd, "/default/a", "a"),
        (Kind::Containerd, "/default/service.container", "service.cont"),
        (Kind::Lxc, "/lxc/web", "web"),
        (Kind::Lxc, "/lxc.payload/web/init.scope", "web"),
        (Kind::Lxc, "/lxc.payload.a-long-name-of-it", "a-long-name-of-it"),
        (Kind::Lxc, "/user.slice/lxc/web/a/b", "web"),
        (Kind::LibvirtLxc, "/machine/web.libvirt-lxc", "web"),
        (Kind::LibvirtLxc, r"/machine.slice/machine-lxc\x2d1234\x2dweb.scope", r"1234\x2dweb"),
        (Kind::LibvirtLxc, r"/machine.slice/machine-lxc\x2d1234\x2dweb.scope/libvirt", r"1234\x2dweb"),
        (Kind::LibvirtLxc, "/libvirt/lxc/web", "web"),
        (Kind::Bpm, "/system.slice/runc-bpm-garden-1.2_x.scope", "garden-1.2_x"),
        (Kind::Bpm, "/bpm-garden", "garden"),
    ];
    for (kind, path, id) in named {
        assert_eq!(found(path), Some((kind, id.to_owned())), "{path}");
    }
}

#[test]
fn the_hosts_own_groups_have_none() {
    let long = format!("/docker/{ID}0");
    let upper = format!("/docker/{}", ID.to_uppercase());
    let odd = format!("/libpod-{}g", &ID[..63]);
    // a long path before it must not make up for a digit that is none
    let deep = format!("/a/{}/libpod-{}g.scope", "b".repeat(80), &ID[..63]);
    let parts = [
        &*long,
        &upper,
        &odd,
        &deep,
        "",
        "/",
        "/init.scope",
        "/system.slice",
        "/system.slice/cron.service",
        "/system.slice/cron.service/child",
        "/system.slice/x.service/a/b",
        "/user.slice/user-1000.slice/user@1000.service/app",
        "/user.slice/user-1000.slice/user@1000.service/init.scope",
        "/user.slice/user-1000.slice/session-1.scope",
        "/default/some_short_id.service",
        "/default/some_short_id.slice",
        "/default/some_short_id.scope",
        "/namespace/.service",
        "/namespace/.slice",
        "/namespace/.scope",
        "/default/",
        "/default//a",
        "//a",
        "/a..b/c",
        "/-a/c",
        "/a b/c",
        "/default/a/b",
        "/default/a b",
        "/../default/a",
        "/kubepods/burstable",
        "/kubepods/besteffort/pod1",
        "/kubepods.slice/kubepods-besteffort.slice",
        "/docker/buildkit",
        "/docker/short",
        "/machine/x",
        "/libpod_parent/conmon",
        "/lxc",
        "/lxc/",
        "/lxc.payload.",
        "/libvirt/lxc/",
        "/a/.libvirt-lxc",
        r"/machine.slice/machine-lxc\x2d1.scope/other",
        "/x/bpm-/y",
        "/x/bpm-a:b",
        "/bpm-",
    ];
    for path in parts {
        assert_eq!(found(path), None, "{path:?}");
    }
}

#[test]
fn all_hierarchies_of_a_process_are_looked_at() {
    let all = Matchers::default();
    let v1 = path("12:pids:/\n11:cpu,cpuacct:/docker/@\n1:name=systemd:/docker/@\n");
    let v2 = path("0::/system.slice/docker-@.scope\n");
    let hybrid = path("4:memory:/\n0::/docker/@\n");
    for file in [v1, v2, hybrid] {
        assert_eq!(all.of_process(&file).map(|m| m.full_id).as_deref(), Some(ID), "{file}");
    }
    let odd = path("0::/a:cri-containerd:@\nno line\n1:2\n");
    assert_eq!(all.of_process(&odd).unwrap().kind, Kind::Cri);
    assert_eq!(all.of_process("0::/init.scope\n"), None);
}

#[test]
fn engines_can_be_switched_off_and_replaced_by_one_name() {
    let without = Matchers { without: vec![Kind::Docker, Kind::Cri], ..Matchers::default() };
    assert_eq!(without.of_path(&path("/docker/@")), None);
    assert_eq!(without.of_path(&path("/libpod-@")).unwrap().kind, Kind::Podman);
    let fixed = Matchers { fixed: Some("mine".into()), ..Matchers::default() };
    assert_eq!(fixed.of_path("/").unwrap(), Match { kind: Kind::Static, id: "mine".into(), full_id: "mine".into() });
}

#[test]
fn a_process_of_another_container_does_not_belong() {
    let other = "f".repeat(64);
    for (file, may) in [
        ("0::/docker/@", true),
        ("0::/docker/@/init.scope", true),
        ("0::/\n", true),
        ("0::/system.slice/x.service", true),
        ("0::/docker/#", false),
        ("0::/system.slice/docker-#.scope", false),
        ("1:cpu:/docker/@\n0::/docker/#", true),
        ("0::/default/short", true),
    ] {
        assert_eq!(may_belong(&path(file).replace('#', &other), ID), may, "{file}");
    }
}
