use super::*;

const MADE: &str = r#"version = 3
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = true
"#;

#[test]
fn templates_of_k3s_and_the_like() {
    for distribution in ["k3s", "rke2"] {
        for version in [2, 3] {
            for text in [None, Some("version = 3\n{{ if .x }}a = \"{{ .y }}\"{{ end }}")] {
                a_template(distribution, version, text);
            }
        }
    }
}

fn a_template(distribution: &str, version: u8, text: Option<&str>) {
    let place = Place::new(distribution);
    let dir = place.0.join(format!("var/lib/rancher/{distribution}/agent/etc/containerd"));
    fs::create_dir_all(&dir).unwrap();
    let old = MADE.replace("version = 3", "version = 2").replace("cri.v1.runtime", "grpc.v1.cri");
    fs::write(dir.join("config.toml"), if version == 3 { MADE } else { &old }).unwrap();
    let template = places::usual(Engine::Containerd, &place.0).unwrap();
    let name = if version == 3 { "config-v3.toml.tmpl" } else { "config.toml.tmpl" };
    assert_eq!(template, dir.join(name));
    if let Some(text) = text {
        fs::write(&template, text).unwrap();
    }
    let mut request = place.request(Engine::Containerd, false);
    request.config = Some(template.clone());
    place.install(&request);
    let after = fs::read_to_string(&template).unwrap();
    assert!(after.starts_with(text.unwrap_or("{{ template \"base\" . }}\n")), "{after}");
    let plugin = if version == 3 { "io.containerd.cri.v1.runtime" } else { "io.containerd.grpc.v1.cri" };
    let ours = &after[after.find("# porthole: begin").unwrap()..];
    let ours: toml_edit::DocumentMut = ours.parse().unwrap();
    let options = &ours["plugins"][plugin]["containerd"]["runtimes"]["porthole"]["options"];
    assert_eq!(options["SystemdCgroup"].as_bool(), Some(true), "{after}");
    assert_eq!(options["BinaryName"].as_str(), Some("/usr/bin/porthole-runc"));
    assert!(place.install(&request).is_nothing());
    // what came out of the template at the next start has it, too
    let made = dir.join("config.toml");
    fs::write(&made, format!("{}{ours}", fs::read_to_string(&made).unwrap())).unwrap();
    assert!(place.install(&request).is_nothing());

    request.default = true;
    assert!(super::super::install(&request).unwrap_err().to_string().contains("default-runtime"));
    // what the distribution makes of the template is not edited itself
    request.config = Some(made);
    assert!(super::super::install(&request).unwrap_err().to_string().contains(name));
    request.config = Some(template.clone());
    place.uninstall(&request);
    assert_eq!(fs::read_to_string(&template).ok().as_deref(), text);
}

#[test]
fn other_distributions() {
    let place = Place::new("distributions");
    let usual = |root: &Path| places::usual(Engine::Containerd, root);
    assert_eq!(usual(&place.0).unwrap(), place.0.join("etc/containerd/config.toml"));
    let microk8s = place.0.join("var/snap/microk8s/current/args/containerd-template.toml");
    fs::create_dir_all(microk8s.parent().unwrap()).unwrap();
    let text = CONTAINERD.replace("\"io.containerd.runc.v2\"", "\"${RUNTIME_TYPE}\"");
    fs::write(&microk8s, &text).unwrap();
    assert_eq!(usual(&place.0).unwrap(), microk8s);
    let mut request = place.request(Engine::Containerd, false);
    request.config = Some(microk8s.clone());
    place.install(&request);
    let after: toml_edit::DocumentMut = fs::read_to_string(&microk8s).unwrap().parse().unwrap();
    let ours = &after["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]["porthole"];
    assert_eq!(ours["runtime_type"].as_str(), Some("io.containerd.runc.v2"), "{after}");
    assert_eq!(ours["options"]["SystemdCgroup"].as_bool(), Some(true), "{after}");
    place.uninstall(&request);
    assert_eq!(fs::read_to_string(&microk8s).unwrap(), text);
    fs::create_dir_all(place.0.join("etc")).unwrap();
    fs::write(place.0.join("etc/os-release"), "NAME=x\nID=bottlerocket\n").unwrap();
    assert!(usual(&place.0).unwrap_err().to_string().contains("Bottlerocket"));
}

#[test]
fn containerd_without_the_interface_is_told_apart() {
    let place = Place::new("disabled");
    // what docker's packages for other distributions bring
    place.put(Some("#   comment\ndisabled_plugins = [\"cri\"]\n#root = \"/var/lib/containerd\"\n"));
    let said = super::super::install(&place.request(Engine::Containerd, false)).unwrap_err().to_string();
    assert!(said.contains("porthole install docker"), "{said}");
}
