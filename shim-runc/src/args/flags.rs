//! The options of runc 1.1 to 1.3, and those of crun and youki that may stand before a verb.

/// Names of an option (long, short or empty) and whether it takes a value.
pub type Flag = (&'static str, &'static str, Value);

/// Whether an option takes a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A switch; `=true` or `=false` may follow.
    No,
    /// The next word, or behind `=`.
    Yes,
    /// `true`, `false` or `auto`; runc wants it, others take it as a switch.
    Truth,
}

/// Before the verb.
pub const GLOBAL: &[Flag] = &[
    ("root", "", Value::Yes),
    ("log", "", Value::Yes),
    ("log-format", "", Value::Yes),
    ("log-level", "", Value::Yes),
    ("criu", "", Value::Yes),
    ("cgroup-manager", "", Value::Yes),
    ("rootless", "", Value::Truth),
    ("debug", "", Value::No),
    ("systemd-cgroup", "", Value::No),
];

/// `create` and `run`.
pub const CREATE: &[Flag] = &[
    ("bundle", "b", Value::Yes),
    ("console-socket", "", Value::Yes),
    ("pid-file", "", Value::Yes),
    ("preserve-fds", "", Value::Yes),
    ("no-pivot", "", Value::No),
    ("no-new-keyring", "", Value::No),
    ("no-subreaper", "", Value::No),
    ("detach", "d", Value::No),
    ("keep", "", Value::No),
];

/// `restore`.
pub const RESTORE: &[Flag] = &[
    ("bundle", "b", Value::Yes),
    ("console-socket", "", Value::Yes),
    ("image-path", "", Value::Yes),
    ("work-path", "", Value::Yes),
    ("manage-cgroups-mode", "", Value::Yes),
    ("pid-file", "", Value::Yes),
    ("empty-ns", "", Value::Yes),
    ("lsm-profile", "", Value::Yes),
    ("lsm-mount-context", "", Value::Yes),
    ("tcp-established", "", Value::No),
    ("ext-unix-sk", "", Value::No),
    ("shell-job", "", Value::No),
    ("file-locks", "", Value::No),
    ("detach", "d", Value::No),
    ("no-subreaper", "", Value::No),
    ("no-pivot", "", Value::No),
    ("auto-dedup", "", Value::No),
    ("lazy-pages", "", Value::No),
];

/// `exec`.
pub const EXEC: &[Flag] = &[
    ("console-socket", "", Value::Yes),
    ("cwd", "", Value::Yes),
    ("env", "e", Value::Yes),
    ("user", "u", Value::Yes),
    ("additional-gids", "g", Value::Yes),
    ("process", "p", Value::Yes),
    ("pid-file", "", Value::Yes),
    ("process-label", "", Value::Yes),
    ("apparmor", "", Value::Yes),
    ("cap", "c", Value::Yes),
    ("preserve-fds", "", Value::Yes),
    ("cgroup", "", Value::Yes),
    ("tty", "t", Value::No),
    ("detach", "d", Value::No),
    ("no-new-privs", "", Value::No),
    ("ignore-paused", "", Value::No),
];

/// `delete`.
pub const DELETE: &[Flag] = &[("force", "f", Value::No)];
