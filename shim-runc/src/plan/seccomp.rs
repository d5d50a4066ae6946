//! Whether a spec's seccomp filter lets the agent live.
//!
//! A filter that answers a call with an error is fine, the agent does without. One that kills or signals the program
//! for a call that the agent makes and the program would not have made is the end of the program: such a container is
//! not injected. A tracer or a listener sees calls that the program did not make, and may kill too.

use serde_json::Value;

/// Every system call of the agent's initialisation and of its look at what is executed.
const NEEDED: [&str; 28] = [
    "openat",
    "ftruncate",
    "mmap",
    "madvise",
    "close",
    "socket",
    "connect",
    "sendto",
    "getpid",
    "getppid",
    "getpgid",
    "getsid",
    "capget",
    "getcwd",
    "prctl",
    "prlimit64",
    "newfstatat",
    "fallocate",
    "unlinkat",
    "mprotect",
    "munmap",
    "getresuid",
    "getresgid",
    "faccessat",
    "pread64",
    "readlinkat",
    "fgetxattr",
    "nanosleep",
];

/// Why the filter (`linux.seccomp`) rules the agent out; `None` if it does not.
pub fn obstacle(filter: Option<&Value>) -> Option<String> {
    let filter = filter.filter(|f| !f.is_null())?;
    let default = filter.get("defaultAction").and_then(Value::as_str).unwrap_or_default();
    let rules = filter.get("syscalls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    NEEDED.iter().find_map(|call| {
        let mut settled = false;
        for rule in rules.iter().filter(|rule| names(rule).any(|name| name == *call)) {
            let action = rule.get("action").and_then(Value::as_str).unwrap_or_default();
            if !harmless(action) {
                return Some(reason(call, action));
            }
            let conditional = rule.get("args").and_then(Value::as_array).is_some_and(|args| !args.is_empty());
            settled |= !conditional;
        }
        (!settled && !harmless(default)).then(|| reason(call, default))
    })
}

/// `names` is a list; specs of before 1.0 have one `name`.
fn names(rule: &Value) -> impl Iterator<Item = &str> {
    let many = rule.get("names").and_then(Value::as_array).into_iter().flatten();
    many.chain(rule.get("name")).filter_map(Value::as_str)
}

fn harmless(action: &str) -> bool {
    matches!(action, "SCMP_ACT_ALLOW" | "SCMP_ACT_LOG" | "SCMP_ACT_ERRNO")
}

fn reason(call: &str, action: &str) -> String {
    format!("the seccomp filter answers {call}, which the agent needs, with {action}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn which_filters_rule_the_agent_out() {
        let all = json!({"names": NEEDED, "action": "SCMP_ACT_ALLOW"});
        let on = |call: &str, action: &str| json!({"names": ["x", call], "action": action});
        let when = |call: &str, action: &str| json!({"names": [call], "action": action, "args": [{"index": 0}]});
        let table = [
            (json!(null), None),
            (json!({"defaultAction": "SCMP_ACT_ERRNO"}), None),
            (json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [on("socket", "SCMP_ACT_ERRNO")]}), None),
            (json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [on("ptrace", "SCMP_ACT_KILL")]}), None),
            (json!({"defaultAction": "SCMP_ACT_KILL", "syscalls": [all]}), None),
            (json!({"defaultAction": "SCMP_ACT_KILL"}), Some("openat")),
            (json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": null}), Some("openat")),
            (json!({"defaultAction": "SCMP_ACT_TRAP"}), Some("openat")),
            (json!({}), Some("openat")),
            (json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [on("socket", "SCMP_ACT_KILL")]}), Some("socket")),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [on("connect", "SCMP_ACT_NOTIFY")]}),
                Some("connect"),
            ),
            (json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [on("prctl", "SCMP_ACT_TRACE")]}), Some("prctl")),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [all, when("ftruncate", "SCMP_ACT_KILL_THREAD")]}),
                Some("ftruncate"),
            ),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "mmap", "action": "SCMP_ACT_KILL"}]}),
                Some("mmap"),
            ),
        ];
        for (filter, expected) in table {
            let got = obstacle(Some(&filter));
            match expected {
                None => assert_eq!(got, None, "{filter}"),
                Some(call) => assert!(got.as_ref().is_some_and(|g| g.contains(call)), "{filter}: {got:?}"),
            }
        }
        assert_eq!(obstacle(None), None);
    }

    #[test]
    fn a_conditional_permission_leaves_the_rest_to_the_default() {
        let mut others = NEEDED.to_vec();
        others.retain(|c| *c != "prctl");
        let filter = json!({"defaultAction": "SCMP_ACT_KILL", "syscalls": [
            {"names": others, "action": "SCMP_ACT_ALLOW"},
            {"names": ["prctl"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 15, "op": "SCMP_CMP_EQ"}]},
        ]});
        assert!(obstacle(Some(&filter)).unwrap().contains("prctl"));
    }
}
