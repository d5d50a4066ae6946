//! Every maximum of the wire, with its reason.

/// Longest path that is recorded, in bytes. Linux accepts no longer path in one call (`PATH_MAX`, with its NUL).
pub const PATH: usize = 4096;

/// Bytes of all arguments of one exec record together; what is over is cut and [`crate::record::Exec::argc`] tells.
/// Falco keeps 4096; real command lines over 8 KiB are compiler and linker calls whose tail nobody judges.
pub const ARGV: usize = 8192;

/// Arguments of one exec record. With [`ARGV`] this bounds the MessagePack array.
pub const ARGC: usize = 512;

/// Bytes of all arguments of a hello: it must fit into the ring's header beside its other fields.
pub const HELLO_ARGV: usize = 384;

/// Arguments of a hello.
pub const HELLO_ARGC: usize = 24;

/// Bytes that a hello takes beside its paths and arguments (numbers, heads, two ring names), rounded up.
pub const HELLO_FIXED: usize = 180 + 2 * RING_NAME;

/// Longest path inside a hello (working directory, executable). Longer ones are left out, not cut: half a path lies.
pub const HELLO_PATH: usize = 512;

/// One record with its ring header, in bytes. An exec record with [`PATH`] and [`ARGV`] full fits.
pub const RECORD: usize = 16 * 1024;

/// Longest socket address recorded: `sizeof(struct sockaddr_storage)`.
pub const SOCKADDR: usize = 128;

/// Longest text argument (a file system's type, a module's parameters, the name of a memory file): what is over is cut.
pub const TEXT: usize = 256;

/// Longest host name looked up: 253 characters are DNS's own limit.
pub const HOST_NAME: usize = 256;

/// Bytes of the addresses that a lookup's answer tells: sixteen of IPv6.
pub const LOOKUP: usize = 16 * 17;

/// A ring's name: a file name of the agent's own making, `[0-9a-z-]`, no slash.
pub const RING_NAME: usize = 40;

/// Bytes of a ring file before its data. Half a page, so that a process that makes a few records only touches one page
/// of its ring: each page costs a short-lived process 3 µs.
pub const RING_HEADER: usize = 2048;

/// Data bytes of a ring, unless the control page says otherwise. 64 KiB hold about 600 opens: a millisecond at full
/// speed, which is the collector's polling interval.
pub const RING_DATA: usize = 64 * 1024;

/// Smallest and largest ring that a collector accepts (powers of two).
pub const RING_DATA_MIN: usize = 16 * 1024;
/// See [`RING_DATA_MIN`].
pub const RING_DATA_MAX: usize = 256 * 1024;

/// Largest hello: what is left of the header behind the fixed part.
pub const HELLO: usize = RING_HEADER - crate::ring::HELLO_OFFSET;

/// Name of the ring that all processes share which have no room for one of their own.
pub const OVERFLOW_RING: &str = "overflow";

/// Data bytes of the overflow ring. Its pages are allocated when the container is registered.
pub const OVERFLOW_DATA: usize = 64 * 1024;
