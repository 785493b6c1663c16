//! Gives the shared library its SONAME and keeps it loaded: threads of the library may still run
//! when a host calls `dlclose`, so its code must stay mapped (`-z nodelete`; on macOS see `src/sys/darwin.rs`).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target_os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
    let minor = std::env::var("CARGO_PKG_VERSION_MINOR").unwrap_or_default();
    if target_os == "macos" {
        println!(
            "cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libconsul_lock.{major}.{minor}.dylib"
        );
    }
    if target_os == "linux" {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libconsul_lock.so.{major}.{minor}");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
