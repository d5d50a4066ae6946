//! Who a process is: user, group, capabilities, session.

use super::calls;

calls! { after
    setuid => Setuid, Int;
    setgid => Setgid, Int;
    setreuid => Setreuid, Int;
    setregid => Setregid, Int;
    setresuid => Setresuid, Int;
    setresgid => Setresgid, Int;
    seteuid => Seteuid, Int;
    setegid => Setegid, Int;
    setgroups => Setgroups, Int;
    setfsuid => Setfsuid, Plain;
    setfsgid => Setfsgid, Plain;
    capset => Capset, Int;
    setsid => Setsid, Int;
}
