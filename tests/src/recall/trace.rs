//! Lines of `strace -f -o`: calls with their process, in the order in which they began.

/// One system call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Process that the calling thread belongs to.
    pub pid: i64,
    /// Name of the system call.
    pub name: String,
    /// As strace prints them.
    pub args: String,
    /// `SUCCESS`, or the name of the error.
    pub result: String,
    /// The number that it returned: of a fork, the child.
    pub made: Option<i64>,
}

/// All finished calls; a call in two halves stands where its first half stood.
pub fn parse(text: &str) -> Vec<Call> {
    let mut calls: Vec<(i64, String)> = Vec::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let (Ok(pid), rest) = (pid.parse::<i64>(), rest.trim_start()) else { continue };
        if rest.starts_with("<... ") {
            let tail = rest.split_once(" resumed>").map_or("", |(_, tail)| tail);
            if let Some((_, half)) = calls.iter_mut().rev().find(|(p, t)| *p == pid && t.ends_with(" <unfinished ...>"))
            {
                half.truncate(half.len() - " <unfinished ...>".len());
                half.push_str(tail);
            }
        } else if !rest.starts_with("+++") && !rest.starts_with("---") {
            calls.push((pid, rest.to_owned()));
        }
    }
    // Records carry the process, strace the thread.
    let mut leader = std::collections::BTreeMap::new();
    for (pid, text) in calls.iter().filter(|(_, t)| t.starts_with("clone") && t.contains("CLONE_THREAD")) {
        let made = text.rsplit_once(" = ").and_then(|(_, n)| n.split(' ').next()?.parse::<i64>().ok());
        let process = *leader.get(pid).unwrap_or(pid);
        made.filter(|n| *n > 0).map(|thread| leader.insert(thread, process));
    }
    let process = |pid| *leader.get(&pid).unwrap_or(&pid);
    calls.iter().filter_map(|(pid, text)| finished(process(*pid), text)).collect()
}

fn finished(pid: i64, text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (args, result) = rest.rsplit_once(" = ")?;
    let mut words = result.split(' ');
    let (result, made) = match words.next()? {
        "-1" => (words.next()?.to_owned(), None),
        "?" => return None,
        number => ("SUCCESS".to_owned(), number.parse().ok()),
    };
    let args = args.trim_end().strip_suffix(')')?.to_owned();
    Some(Call { pid, name: name.to_owned(), args, result, made })
}

/// The strings of a list of arguments, unescaped: a path, an address, or the elements of an argument vector.
pub fn strings(args: &str) -> Vec<String> {
    let mut found = vec![];
    let mut bytes = args.bytes().peekable();
    while bytes.find(|b| *b == b'"').is_some() {
        let mut text = vec![];
        while let Some(b) = bytes.next() {
            match b {
                b'"' => break,
                b'\\' => text.push(match bytes.next() {
                    Some(b'n') => b'\n',
                    Some(b't') => b'\t',
                    Some(b'r') => b'\r',
                    Some(b'v') => 11,
                    Some(b'f') => 12,
                    Some(digit @ b'0'..=b'7') => {
                        let mut value = digit - b'0';
                        for _ in 0..2 {
                            let Some(digit) = bytes.next_if(|b| (b'0'..=b'7').contains(b)) else { break };
                            value = value << 3 | (digit - b'0');
                        }
                        value
                    }
                    Some(b) => b,
                    None => break,
                }),
                b => text.push(b),
            }
        }
        found.push(String::from_utf8_lossy(&text).into_owned());
    }
    found
}

/// The first of them.
pub fn quoted(args: &str) -> String {
    strings(args).into_iter().next().unwrap_or_default()
}

/// What follows the first string: `O_RDONLY|O_CLOEXEC` and the mode of an open.
pub fn after_string(args: &str) -> &str {
    let bytes = args.as_bytes();
    let Some(start) = args.find('"') else { return "" };
    let mut at = start + 1;
    while bytes.get(at).is_some_and(|b| *b != b'"') {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    args.get(at + 1..).map_or("", |rest| rest.trim_start_matches(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_joined() {
        let calls = parse(
            "7 openat(AT_FDCWD, \"/a\\\"b\" <unfinished ...>\n8 +++ exited with 0 +++\n7 <... openat resumed>, O_RDONLY) = -1 ENOENT (No such file)\n",
        );
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].result, "ENOENT");
        assert_eq!(quoted(&calls[0].args), "/a\"b");
        assert_eq!(after_string(&calls[0].args), "O_RDONLY");
    }

    #[test]
    fn strings_are_what_they_were() {
        let args = r#""/bin/x", ["x", "a\"\\\n\0", "\303\244\33", ""], 0x7 /* 3 vars */"#;
        assert_eq!(strings(args), ["/bin/x", "x", "a\"\\\n\0", "ä\x1b", ""]);
        assert_eq!(after_string(r#"AT_FDCWD, "a\"b", O_WRONLY|O_CREAT, 0666"#), "O_WRONLY|O_CREAT, 0666");
    }
}
