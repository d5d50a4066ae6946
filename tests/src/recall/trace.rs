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
    let result = match words.next()? {
        "-1" => words.next()?.to_owned(),
        "?" => return None,
        _ => "SUCCESS".to_owned(),
    };
    let args = args.trim_end().strip_suffix(')')?.to_owned();
    Some(Call { pid, name: name.to_owned(), args, result })
}

/// Text between the first pair of quotes, unescaped as far as paths need it: an escape that is not known stays and
/// shows as a difference.
pub fn quoted(args: &str) -> String {
    let mut text = String::new();
    let mut chars = args.chars().skip_while(|c| *c != '"').skip(1);
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some(c @ ('"' | '\\')) => text.push(c),
                Some(c) => text.extend(['\\', c]),
                None => break,
            },
            c => text.push(c),
        }
    }
    text
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
        assert!(calls[0].args.ends_with("O_RDONLY"));
    }
}
