//! What Rust programs use of their standard library: files, directories, sockets, children, threads.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

fn main() -> std::io::Result<()> {
    fs::write("one", "first\n")?;
    OpenOptions::new().append(true).open("one")?.write_all(b"second\n")?;
    let new = OpenOptions::new().write(true).create_new(true).open("one");
    println!("{} {:?}", fs::read_to_string("one")?.len(), new.map_err(|e| e.kind()).err());
    fs::create_dir_all("a/b")?;
    fs::copy("one", "a/b/two")?;
    std::thread::scope(|s| {
        (0..4).for_each(|n| drop(s.spawn(move || fs::write(format!("a/{n}"), "x"))));
    });
    println!("{} files", fs::read_dir("a")?.count());
    fs::remove_dir_all("a")?;

    // posix_spawn, then fork and exec, then with nothing in the environment, then one that is not there
    println!("{:?}", Command::new("ls").output()?.stdout);
    println!("{}", Command::new("cat").arg("one").current_dir(".").status()?);
    println!("{}", Command::new("/bin/sh").args(["-c", "cat one"]).env_clear().stdout(Stdio::null()).status()?);
    println!("{:?}", Command::new("./nothere").status().map_err(|e| e.kind()).err());

    println!("{:?}", TcpStream::connect("127.0.0.1:9").map_err(|e| e.kind()).err());
    let listener = TcpListener::bind("127.0.0.1:7002")?;
    let mut client = TcpStream::connect(("localhost", 7002))?;
    listener.accept()?.0.write_all(b"hello")?;
    let mut text = String::new();
    client.read_to_string(&mut text)?;
    println!("{text} {:?}", UnixStream::connect("./nothere").map_err(|e| e.kind()).err());
    UdpSocket::bind("127.0.0.1:7003")?.connect("127.0.0.1:9")
}
