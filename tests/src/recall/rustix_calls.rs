//! Files, directories and sockets through one version of rustix, whose name and whose `connect` are given.

macro_rules! all {
    ($rustix:ident, $connect:ident) => {{
        use $rustix::fs::{self, CWD, Mode, OFlags};
        use $rustix::net;
        let open = |name: &str, flags| fs::open(name, flags, Mode::RUSR | Mode::WUSR);
        let file = open("one", OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC);
        println!("{:?}", file.map(|f| $rustix::io::write(&f, b"x")));
        println!("{:?}", open("nothere", OFlags::RDONLY).err());
        let dir = open(".", OFlags::DIRECTORY | OFlags::RDONLY).expect("the working directory");
        println!("{}", fs::openat(&dir, "one", OFlags::RDWR | OFlags::APPEND, Mode::empty()).is_ok());
        println!("{}", fs::openat(CWD, "/etc/passwd", OFlags::RDONLY, Mode::empty()).is_ok());
        println!("{}", fs::Dir::read_from(&dir).map_or(0, |d| d.count()));
        let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).expect("a socket");
        let address = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 9);
        println!("{:?}", net::$connect(&socket, &address).err());
        // std's, which go through the C library
        println!("{:?}", std::process::Command::new("cat").arg("one").output().map(|o| o.stdout));
        println!("{:?}", std::fs::read("one"));
    }};
}
pub(crate) use all;
