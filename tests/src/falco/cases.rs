//! The acceptance cases: ordinary commands, by the ids that the expectations have.

/// What a container of a case is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Capabilities beside the usual ones.
    pub capabilities: &'static [&'static str],
    /// A directory of the host that is mounted at `/h`.
    pub mount: Option<&'static str>,
    /// Programs can be executed from `/dev/shm`.
    pub executable_memory: bool,
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// As the expectations have it.
    pub id: &'static str,
    /// A shell's commands in the container before it, which may raise alerts of their own.
    pub setup: &'static str,
    /// Options of exec before the command: `user=`, `env=`, `cwd=`, `tty`.
    pub how: &'static [&'static str],
    /// What is executed.
    pub run: &'static [&'static str],
    /// What the container is like.
    pub options: Options,
    /// It is the container's own first process that is the case.
    pub entry: bool,
    /// It is about a parent that is called runc, which with other engines it is not.
    pub of_runc: bool,
    /// What other events of the same command fire.
    pub also: &'static [&'static str],
}

const PLAIN: Options = Options { capabilities: &[], mount: None, executable_memory: false };

const MEMORY_OF_PROGRAMS: Options = Options { executable_memory: true, ..PLAIN };

const fn with(capabilities: &'static [&'static str]) -> Options {
    Options { capabilities, mount: None, executable_memory: false }
}

const fn case(id: &'static str, setup: &'static str, run: &'static [&'static str]) -> Case {
    Case { id, setup, how: &[], run, options: PLAIN, entry: false, of_runc: false, also: &[] }
}

const fn how(how: &'static [&'static str], case: Case) -> Case {
    Case { how, ..case }
}

const fn in_container(options: Options, case: Case) -> Case {
    Case { options, ..case }
}

const fn entry(id: &'static str, options: Options) -> Case {
    Case { id, setup: "", how: &[], run: &["/bin/true"], options, entry: true, of_runc: false, also: &[] }
}

const DUP: &str = "import socket,os;s=socket.create_server(('127.0.0.1',0));c=socket.create_connection(s.getsockname());\
                   os.dup2(c.fileno(),0)";
const MODULE: &str = "import ctypes;ctypes.CDLL(None).syscall(313,-1,b'',0)";
const ATTACH: &str = "import ctypes,os,time;p=os.fork();p or time.sleep(2);ctypes.CDLL(None).ptrace(16,p,0,0);\
                      p and os.kill(p,9)";
const MEMORY: &str = "printf 'import os\\nf=os.memfd_create(\"x\",0)\\nos.write(f,open(\"/bin/true\",\"rb\").read())\\n\
                      os.execv(\"/proc/self/fd/%%d\"%%f,[\"x\"])\\n' > /tmp/m.py";
const METADATA: &str = "import socket;s=socket.socket();s.setblocking(0);s.connect_ex(('169.254.169.254',80))";
const KUBERNETES: &str = "import socket;s=socket.socket();s.setblocking(False);\
                          s.connect_ex((socket.gethostbyname('kubernetes.default.svc.cluster.local'),443))";

const SERVER: &str = "import socket;s=socket.create_server(('0.0.0.0',8000));\
                      c=socket.create_connection(('172.31.9.2',8000));s.accept()";
const OUTWARD: &str = "import socket;s=socket.socket();s.setblocking(0);s.connect_ex(('203.0.113.1',80))";
const DATAGRAM: &str = "import socket;s=socket.socket(2,2);s.connect_ex(('203.0.113.5',53))";
const POOL: &str = "import socket;s=socket.socket();s.setblocking(0);\
                    s.connect_ex((socket.gethostbyname('pool.minexmr.com'),3333))";

/// The cases. (042 is not here: engines cannot make a privileged container where root lacks a capability. 064 wants an
/// environment, which is not recorded.)
pub const CASES: &[Case] = &[
    case("001", "", &["cat", "/etc/../etc/../etc/hostname"]),
    case("001-n1", "", &["cat", "/etc/hostname"]),
    case("001-n2", "", &["sh", "-c", "cat /etc/../etc/../etc/hostname; :"]),
    case("002", "", &["cat", "/etc/../etc/../etc/no-such"]),
    case("003", "ln -s /bin/bash /tmp/httpd", &["/tmp/httpd", "-c", "sleep 6; exec 3</etc/shadow"]),
    case("003-n1", "ln -sf /bin/bash /tmp/httpd", &["/tmp/httpd", "-c", "exec 3</etc/shadow"]),
    case("004", "", &["cat", "/etc/shadow"]),
    case("004-n2", "", &["passwd", "-S", "root"]),
    case("005", "", &["cat", "/etc/pam.d/login"]),
    how(&["user=1:1"], case("007", "ln -s /bin/true /tmp/login", &["/tmp/login"])),
    how(&["tty"], case("008", "", &["sh", "-c", "true"])),
    case("009", "echo 203.0.113.9 kubernetes.default.svc.cluster.local >> /etc/hosts", &["python3", "-c", KUBERNETES]),
    case("011", "", &["grep", "-r", "BEGIN RSA PRIVATE", "/tmp"]),
    case("011-n1", "", &["grep", "-r", "BEGIN CERT", "/tmp"]),
    case("012", "", &["find", "/", "-maxdepth", "1", "-name", "id_rsa"]),
    case("013", "", &["sh", "-c", "echo > /tmp/syslog"]),
    case("013-n1", "", &["sh", "-c", "echo >> /tmp/syslog"]),
    case("014", "", &["sh", "-c", ": > /var/log/dpkg.log"]),
    case("015", "touch /tmp/f", &["shred", "-u", "/tmp/f"]),
    case("016-n1", "", &["ln", "-s", "/etc/hosts", "/tmp/l3"]),
    case("017", "", &["ln", "-s", "/etc", "/tmp/l2"]),
    case("018", "", &["ln", "/etc/shadow", "/tmp/h"]),
    case("020", "", &["python3", "-c", DUP]),
    in_container(with(&["CAP_SYS_MODULE"]), case("021", "", &["python3", "-c", MODULE])),
    case("021-n1", "", &["python3", "-c", MODULE]),
    in_container(with(&["CAP_SYS_ADMIN"]), case("023", "", &["sh", "-c", "echo x > /tmp/release_agent"])),
    case("023-n1", "", &["sh", "-c", "echo x > /tmp/release_agent"]),
    case("024", "", &["python3", "-c", ATTACH]),
    case("022-n1", "ln -s /bin/true /tmp/debugfs", &["/tmp/debugfs"]),
    case("025-n1", "", &["python3", "-c", "import ctypes;ctypes.CDLL(None).ptrace(7,1,0,0)"]),
    case("026", "", &["grep", "-r", "aws_access_key_id", "/tmp"]),
    in_container(MEMORY_OF_PROGRAMS, case("029", "cp /bin/true /dev/shm/t", &["/dev/shm/t"])),
    how(&["cwd=/dev/shm"], case("030", "echo true > /dev/shm/x.sh", &["sh", "./x.sh"])),
    case("031", "cp /bin/ls /usr/local/bin/newls", &["newls"]),
    case("031-n1", "", &["ls"]),
    case("033", MEMORY, &["sh", "-c", "python3 /tmp/m.py; :"]),
    Case { of_runc: true, ..case("033-n1", MEMORY, &["python3", "/tmp/m.py"]) },
    case("034", "", &["python3", "-c", "open('/tmp/.bashrc','a')"]),
    case("034-n1", "", &["bash", "-c", "echo >> /tmp/.bashrc"]),
    case("035", "mkdir -p /etc/cron.d", &["touch", "/etc/cron.d/x"]),
    case("036", "ln -s /bin/true /tmp/crontab", &["/tmp/crontab", "-l"]),
    case("037", "mkdir -p /root/.ssh; touch /root/.ssh/id_rsa", &["ls", "/root/.ssh"]),
    case("039", "ln -s /bin/bash /tmp/mysqld", &["/tmp/mysqld", "-c", "ls; :"]),
    case("040", "", &["python3", "-c", "import ctypes;ctypes.CDLL(None).setns(0,0)"]),
    case("041", "", &["unshare", "-U", "true"]),
    in_container(with(&["CAP_SYS_ADMIN"]), case("041-n1", "", &["unshare", "-U", "true"])),
    entry("042-n1", PLAIN),
    entry("043-n1", PLAIN),
    entry("043", with(&["CAP_NET_ADMIN"])),
    how(&["user=1:1"], case("047", "", &["python3", "-c", "import os;os.setuid(1)"])),
    case("047-n1", "", &["python3", "-c", "import os;os.setuid(1)"]),
    case("045-n1", "ln -sf /bin/true /tmp/curl", &["/tmp/curl", "http://x"]),
    case("046-n1", "", &["python3", "-c", DATAGRAM]),
    case("049", "", &["python3", "-c", METADATA]),
    case("050", "", &["python3", "-c", METADATA]),
    case("051", "ln -s /bin/true /tmp/apt-get", &["/tmp/apt-get", "--version"]),
    case("056", "echo hi > /tmp/f2", &["chmod", "u+s", "/tmp/f2"]),
    case("056-n1", "echo hi > /tmp/f3", &["chmod", "755", "/tmp/f3"]),
    case("057", "ln -s /bin/true /tmp/scp", &["/tmp/scp", "a", "b"]),
    case("059", "ln -s /bin/true /tmp/wget", &["/tmp/wget", "http://x"]),
    case("060", "ln -sf /bin/true /tmp/curl", &["/tmp/curl", "-o", "/tmp/x", "http://x"]),
    case("060-n1", "ln -sf /bin/true /tmp/curl", &["/tmp/curl", "http://x"]),
    case("061", "", &["cat", "/proc/1/environ"]),
    case("061-n1", "", &["cat", "/proc/1/status"]),
    case("063", "mkdir -p /root/.ssh", &["sh", "-c", "echo k >> /root/.ssh/authorized_keys"]),
    case("065", "ln -sf /bin/cat /tmp/sshd; touch /tmp/liblzma.so.5.6.1", &["/tmp/sshd", "/tmp/liblzma.so.5.6.1"]),
    case("066", "", &["python3", "-c", "import ctypes;ctypes.CDLL(None).syscall(321,5,0,0)"]),
    case("068", "", &["touch", "/usr/bin/x"]),
    case("070", "", &["touch", "/etc/x"]),
    case("074", "touch /usr/bin/x", &["rm", "/usr/bin/x"]),
    case("075", "touch /usr/bin/y", &["mv", "/usr/bin/y", "/tmp/y"]),
    case("076", "", &["mkdir", "/usr/bin/d"]),
    entry("077", Options { mount: Some("/etc"), ..PLAIN }),
    entry("077-n1", Options { mount: Some("/opt"), ..PLAIN }),
    case("078", "", &["/bin/echo", "-o", "stratum+tcp://pool:3333"]),
    case("079", "ln -s /bin/true /tmp/kubectl", &["/tmp/kubectl", "version"]),
    case("080", "ln -s /bin/true /tmp/sudoedit", &["/tmp/sudoedit", "-s", "a\\"]),
    case("082", "ln -sf /bin/true /tmp/pkexec", &["/tmp/pkexec"]),
    case("082-n1", "ln -sf /bin/true /tmp/pkexec", &["/tmp/pkexec", "id"]),
    how(&["tty"], case("084", "", &["id"])),
    Case {
        also: &["Launch Package Management Process in Container"],
        ..case("085", "ln -s /bin/bash /tmp/npm; ln -s /bin/true /tmp/nc", &["/tmp/npm", "-c", "/tmp/nc x; :"])
    },
    case("086", "ln -s /bin/true /tmp/xmrig", &["/tmp/xmrig"]),
    case("087", "ln -sf /bin/bash /tmp/nginx", &["/tmp/nginx", "-c", "sh -c ls; :"]),
    case("089", "ln -sf /bin/bash /tmp/nginx", &["/tmp/nginx", "-c", "bash -i -c true; :"]),
    case("090", "touch /dev/sda", &["cat", "/dev/sda"]),
    case("091", "mkdir -p /host; touch /host/x", &["cat", "/host/x"]),
    case("092", "", &["python3", "-c", SERVER]),
    case("093", "", &["cat", "/root/.bashrc"]),
    case("094", "", &["python3", "-c", SERVER]),
    case("095", "", &["python3", "-c", OUTWARD]),
    case("098", "", &["mkdir", "/tmp/.hidd"]),
    case("099", "echo 203.0.113.7 pool.minexmr.com >> /etc/hosts", &["python3", "-c", POOL]),
    case("100", "echo hi > /tmp/f4", &["chmod", "+x", "/tmp/f4"]),
    case("101", "", &["python3", "-c", "import os;os.open('/tmp/n',os.O_CREAT|os.O_WRONLY,0o755)"]),
    entry("102", PLAIN),
    how(&["user=1:1"], entry("102-n1", PLAIN)),
];
