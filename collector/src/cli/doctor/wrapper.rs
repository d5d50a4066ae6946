//! The wrapper: porthole-runc, its settings, the agent, the runtime behind it.

use super::{Finding, program};
use porthole_registration::layout::LIBRARY;
use porthole_registration::share::Agent;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// porthole-runc's configuration, where no variable names another.
const SETTINGS: &str = "/etc/porthole/porthole-runc.json";
/// Variable that names another.
const SETTINGS_ENV: &str = "PORTHOLE_RUNC_CONFIG";

pub fn look(state_dir: &Path) -> Vec<Finding> {
    let Some(wrapper) = program("porthole-runc") else {
        let advice = "put porthole-runc beside porthole, or into a directory of PATH";
        return vec![Finding::fail("wrapper", "porthole-runc is not here", advice)];
    };
    let path = std::env::var_os(SETTINGS_ENV).filter(|v| !v.is_empty()).map_or_else(|| SETTINGS.into(), PathBuf::from);
    let settings = settings(&path);
    let mut findings = vec![runs(&wrapper)];
    match &settings {
        Ok(settings) => findings.extend(same_state(settings, state_dir, &path)),
        Err(e) => findings.push(Finding::fail("settings", e, "correct the file: until then porthole-runc ignores it")),
    }
    let named = settings.ok().and_then(|s| s["library"].as_str().map(PathBuf::from));
    findings.push(library(named, &wrapper));
    findings
}

/// Whether the wrapper finds a runtime and becomes it.
fn runs(wrapper: &Path) -> Finding {
    let out = Command::new(wrapper).arg("--version").stdin(Stdio::null()).output();
    let advice = "install runc (or crun), or name it in the settings as \"runtime\"";
    match out {
        Ok(out) if out.status.success() => {
            let first = String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().to_owned();
            Finding::ok("wrapper", format!("{} in front of {first}", wrapper.display()))
        }
        Ok(out) => {
            let why = String::from_utf8_lossy(&out.stderr).trim().to_owned();
            Finding::fail("wrapper", format!("{} --version fails: {why}", wrapper.display()), advice)
        }
        Err(e) => Finding::fail("wrapper", format!("{} cannot be executed: {e}", wrapper.display()), advice),
    }
}

/// The settings; an empty object where there is no file.
fn settings(path: &Path) -> Result<Value, String> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| format!("{} is no JSON: {e}", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Value::Object(Default::default())),
        Err(e) => Err(format!("{} cannot be read: {e}", path.display())),
    }
}

/// Wrapper and collector must meet in one directory.
fn same_state(settings: &Value, state_dir: &Path, path: &Path) -> Option<Finding> {
    let theirs = settings["state_dir"].as_str().map(Path::new)?;
    (theirs != state_dir).then(|| {
        let found =
            format!("porthole-runc registers containers in {}, not in {}", theirs.display(), state_dir.display());
        Finding::fail("settings", found, format!("use one state_dir in {} and for the collector", path.display()))
    })
}

/// The agent, where the wrapper looks for it.
fn library(named: Option<PathBuf>, wrapper: &Path) -> Finding {
    let variable = std::env::var_os("PORTHOLE_LIBRARY").filter(|v| !v.is_empty()).map(PathBuf::from);
    let bin = wrapper.parent().unwrap_or(Path::new("/"));
    let places = [bin.join(LIBRARY), bin.join("../lib/porthole").join(LIBRARY)];
    let path = variable.or(named).or_else(|| places.iter().find(|p| p.exists()).cloned());
    let Some(path) = path else {
        let advice = format!("put {LIBRARY} beside porthole-runc, or name it in the settings as \"library\"");
        return Finding::fail("agent", format!("{LIBRARY} is not here"), advice);
    };
    match Agent::load(&path) {
        Ok(_) => Finding::ok("agent", path.display().to_string()),
        Err(e) => Finding::fail("agent", e.to_string(), "build or install the agent of this version"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn settings_that_lead_elsewhere_or_nowhere_fail() {
        let path = std::env::temp_dir().join(format!("porthole-doctor-{}.json", std::process::id()));
        assert_eq!(settings(&path), Ok(serde_json::json!({})));
        std::fs::write(&path, "{").unwrap();
        assert!(settings(&path).unwrap_err().contains("no JSON"));
        std::fs::write(&path, r#"{"state_dir": "/a"}"#).unwrap();
        let read = settings(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(same_state(&read, Path::new("/a"), &path), None);
        assert_eq!(same_state(&read, Path::new("/b"), &path).map(|f| f.verdict), Some(Verdict::Fail));
        assert_eq!(same_state(&serde_json::json!({}), Path::new("/b"), &path), None);
        assert_eq!(library(Some("/no/such.so".into()), Path::new("/x/porthole-runc")).verdict, Verdict::Fail);
    }
}
