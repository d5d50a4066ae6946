//! Links the agent without any other library, and only in the release profile gives it hooks at all.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=discard.ld");
    for arg in [
        "-nostdlib",
        "-nostartfiles",
        "-Wl,-z,now",
        // Two segments instead of four, and no mprotect: each costs every exec a system call. There is no table of
        // function pointers to protect, the library has one relocation.
        "-Wl,-z,norelro",
        "-Wl,-z,noseparate-code",
        "-Wl,--no-rosegment",
        "-Wl,--hash-style=gnu",
        "-Wl,-Bsymbolic",
        "-Wl,--gc-sections",
        "-Wl,--strip-all",
        "-Wl,--no-undefined-version",
        "-Wl,-soname,libporthole.so",
    ] {
        println!("cargo:rustc-cdylib-link-arg={arg}");
    }
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("discard.ld");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-T,{}", script.display());
    let release = std::env::var("PROFILE").is_ok_and(|p| p == "release");
    let x86_64 = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|a| a == "x86_64");
    if release && x86_64 {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-init=porthole_init");
    }
    // A debug build of a library without std refers to symbols that nothing defines and would kill every program that
    // loads it. So only the optimised build exports hooks and has a constructor; any other is inert.
    println!("cargo:rustc-check-cfg=cfg(porthole_agent)");
    if release && x86_64 {
        println!("cargo:rustc-cfg=porthole_agent");
    }
}
