//! Where engines have their configuration.

use super::{Engine, Request, template};
use crate::error::Error;
use std::path::{Path, PathBuf};

/// Where k3s and rke2 have containerd's.
const TEMPLATES: [&str; 2] = ["var/lib/rancher/k3s/agent/etc/containerd", "var/lib/rancher/rke2/agent/etc/containerd"];
/// And microk8s, whose template is plain TOML.
const MICROK8S: &str = "var/snap/microk8s/current/args/containerd-template.toml";
/// Where LXC has its containers.
const LXC: &str = "/var/lib/lxc";
const CONTAINERD: &str = "etc/containerd/config.toml";

/// The configuration that a request is about.
pub fn config(request: &Request) -> Result<PathBuf, Error> {
    if request.engine == Engine::Lxc {
        return lxc(request);
    }
    let Some(config) = &request.config else { return usual(request.engine, Path::new("/")) };
    let config = std::path::absolute(config).map_err(|e| Error::io("find", config, e))?;
    let dir = config.parent().unwrap_or(Path::new("/"));
    if request.engine == Engine::Containerd
        && config.ends_with("config.toml")
        && TEMPLATES.iter().any(|t| dir.ends_with(t))
    {
        let (config, template) = (config.display(), template::of(dir));
        let advice = "leave --config out, or name its template";
        return Err(Error::new(format!("{config} is made anew at each start; {advice}: {}", template.display())));
    }
    Ok(config)
}

/// The configuration of one container of LXC, which has to be there.
fn lxc(request: &Request) -> Result<PathBuf, Error> {
    let name = lxc_name(request)?;
    let usual = || Path::new(LXC).join(name).join("config");
    let config = request.config.clone().unwrap_or_else(usual);
    let config = std::path::absolute(&config).map_err(|e| Error::io("find", &config, e))?;
    if config.is_file() {
        return Ok(config);
    }
    let config = config.display();
    Err(Error::new(format!(
        "there is no container {name:?}: {config} is not there; name its configuration with --config"
    )))
}

/// The container that is asked for.
pub fn lxc_name(request: &Request) -> Result<&str, Error> {
    let advice = "name the container: porthole install lxc --container NAME";
    request.container.as_deref().ok_or_else(|| Error::new(advice))
}

/// The one in the usual place. Those of Kubernetes' distributions come first: with them, `/etc/containerd` is for
/// something else.
pub fn usual(engine: Engine, root: &Path) -> Result<PathBuf, Error> {
    let at = |path: &str| root.join(path);
    Ok(match engine {
        Engine::Docker => at("etc/docker/daemon.json"),
        Engine::Crio => at("etc/crio/crio.conf.d/99-porthole.conf"),
        Engine::Lxc => PathBuf::from(LXC),
        Engine::Podman => at("etc/containers/containers.conf.d/50-porthole.conf"),
        Engine::Containerd => {
            let os = std::fs::read_to_string(at("etc/os-release")).unwrap_or_default();
            if os.lines().any(|line| line == "ID=bottlerocket") {
                return Err(Error::new(
                    "Bottlerocket makes /etc/containerd/config.toml of its settings at each boot, and has no setting for \
                     another runtime: what is written there is gone with the next boot. If that will do: --config \
                     /etc/containerd/config.toml",
                ));
            }
            if let Some(dir) = TEMPLATES.map(at).iter().find(|dir| dir.is_dir()) {
                return Ok(template::of(dir));
            }
            Some(at(MICROK8S)).filter(|path| path.exists()).unwrap_or_else(|| at(CONTAINERD))
        }
    })
}
