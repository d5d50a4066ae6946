//! Results of network plugins (CNI): their addresses, and where they are kept on disk.

use crate::trusted;
use crate::values::{list, str_at};
use serde_json::Value;
use std::path::Path;

/// Where libcni keeps them: a file for each network, container and interface.
const KEPT: &str = "/var/lib/cni/results";
/// Largest result.
const LIMIT: u64 = 1 << 20;

/// The result for the first interface of a sandbox, as it is kept.
pub fn kept(sandbox: &str) -> Option<Value> {
    kept_in(Path::new(KEPT), sandbox)
}

fn kept_in(dir: &Path, sandbox: &str) -> Option<Value> {
    let end = format!("-{sandbox}-eth0");
    let mut files: Vec<_> = std::fs::read_dir(dir).ok()?.flatten().map(|e| e.file_name()).collect();
    files.retain(|name| !sandbox.is_empty() && name.to_str().is_some_and(|n| n.ends_with(&end)));
    files.sort();
    let all = files.iter().filter_map(|name| trusted::json(&dir.join(name), LIMIT));
    all.filter_map(|mut kept| Some(kept.get_mut("result")?.take())).find(Value::is_object)
}

/// The first IPv4 address of a result.
pub fn address(result: &Value) -> String {
    let addresses = list(result, "/ips").map(|ip| without_length(str_at(ip, "/address")));
    addresses.into_iter().find(|ip| ip.contains('.')).unwrap_or_default().to_owned()
}

/// `10.0.0.1/24` without the length of its network.
pub fn without_length(address: &str) -> &str {
    address.split_once('/').map_or(address, |(ip, _)| ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_found_by_the_sandbox_and_has_an_address() {
        let dir = std::env::temp_dir().join(format!("porthole-cni-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let result = r#"{"kind":"cniCacheV1","result":{"ips":[{"address":"fd00::2/64"},{"address":"10.1.0.7/16"}]}}"#;
        std::fs::write(dir.join("net-abc-eth0"), result).unwrap();
        std::fs::write(dir.join("net-abcd-eth0"), "{").unwrap();
        assert_eq!(address(&kept_in(&dir, "abc").unwrap()), "10.1.0.7");
        assert_eq!((kept_in(&dir, "abcd"), kept_in(&dir, ""), kept_in(&dir, "bc")), (None, None, None));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
